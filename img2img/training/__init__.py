"""The training loop, checkpoints, resume and contact sheets. Nothing here depends on a particular method."""
