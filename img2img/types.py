"""Array types, named for what they hold."""

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
"""uint8 or uint16 pixels, [H, W, C] unless a docstring says otherwise."""

Floats = npt.NDArray[np.float32]
"""float32 values, usually [N, C, H, W] in 0..1."""

Mask = npt.NDArray[np.bool_]
"""bool [H, W], true where to fill."""

Bytes = npt.NDArray[np.uint8]
"""uint8 values, such as a frame of video [H, W, 3]."""
