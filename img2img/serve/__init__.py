"""`img2img serve`: a page in the browser and an HTTP API that do what the commands do. Needs the extra `serve`."""
