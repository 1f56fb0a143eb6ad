"""Import third-party checkpoints: read a weights file safely, detect its architecture, and export a model file."""

from img2img.exchange.importers.family import Options
from img2img.exchange.importers.importing import ImportResult, import_file

__all__ = ["ImportResult", "Options", "import_file"]
