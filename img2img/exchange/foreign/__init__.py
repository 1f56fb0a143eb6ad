"""Published weights files of others as model files: read without running them, recognised, built, exported."""

from img2img.exchange.foreign.family import Options
from img2img.exchange.foreign.importing import Imported, import_file

__all__ = ["Imported", "Options", "import_file"]
