"""Image-to-image translation with GANs: train on your own pictures, export one ONNX file, run it anywhere."""

__version__ = "0.1.0"
