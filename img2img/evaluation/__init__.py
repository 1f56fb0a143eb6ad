"""Measure results: metrics as the papers define them, and comparisons with baselines.

Only `domain_classifier`, `inception`, and the modules that use them need torch.
"""
