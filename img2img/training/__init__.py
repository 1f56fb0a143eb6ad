"""The training loop, checkpoints, resume and contact sheets. They know `methods.method.Method` and no particular
method.
"""
