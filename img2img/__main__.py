"""`python -m img2img`."""

import sys

from img2img.cli import main

if __name__ == "__main__":
    sys.exit(main())
