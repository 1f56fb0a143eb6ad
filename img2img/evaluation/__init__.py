"""Measure results: metrics as the papers define them, and comparisons with baselines.

Only `domain_classifier`, `segmentation`, `inception`, `perceptual_distance`, and the modules that use them need torch.
"""
