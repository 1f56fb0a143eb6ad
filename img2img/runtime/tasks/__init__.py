"""What is done to pictures: upscaling, translating, inpainting; all with the same face to a batch (`task.Task`)."""
