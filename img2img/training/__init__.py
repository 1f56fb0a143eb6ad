"""The loop, checkpoints, resume, sample sheets. Knows `methods.method.Method`, never a particular method."""
