"""Using a model file: numpy, Pillow and onnxruntime only. Nothing here imports torch, directly or through anything."""
