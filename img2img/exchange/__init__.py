"""From a trained network to a model file that proves itself."""

from img2img.exchange.amend import amend
from img2img.exchange.onnx_file import Proof, export

__all__ = ["Proof", "amend", "export"]
