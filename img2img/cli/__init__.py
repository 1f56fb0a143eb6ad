"""The command line. `main` is the entry point of the installed command."""

from img2img.cli.app import main

__all__ = ["main"]
