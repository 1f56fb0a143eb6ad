"""Loads folders of pictures as training batches. Checks a data set before training starts."""
