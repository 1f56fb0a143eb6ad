"""The tasks: upscaling, translation and inpainting. Batches use them through `task.Task`."""
