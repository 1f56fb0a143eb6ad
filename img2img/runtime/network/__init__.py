"""A model file: what it says, whether it is sound, and running it over pictures of any size."""
