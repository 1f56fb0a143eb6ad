"""The journal of an output folder: a second run does only what is missing or changed."""
