"""Export trained networks as verified model files, and import third-party weights as model files."""

from img2img.exchange.card_update import update_card
from img2img.exchange.onnx_file import Verification, export

__all__ = ["Verification", "export", "update_card"]
