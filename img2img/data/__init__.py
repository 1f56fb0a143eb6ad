"""Folders to batches. A data set is checked before it is trained on."""
