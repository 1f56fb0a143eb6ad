"""Compare the results of two files for pictures of a single colour.

Networks with instance norm divide by a deviation that is 0 there, so their results consist of rounding errors and
differ between torch, onnxruntime and every device, even in fp32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from img2img.errors import ExportError
from img2img.exchange import samples
from img2img.exchange.samples import Sample

NOISE = 1e-4
"""Deviation of the noise added to flat pictures, values 0..1: a fortieth of an 8-bit step, so it is invisible."""

FLAT_MARGIN = 3.0
"""dB; see `compare`."""


def compare(
    session: Any, fp32_session: Any, flat: Sequence[Sample], min_psnr: float, *, source: Path, how: str
) -> tuple[float, float]:
    """Compare the results of a new file with those of the fp32 file `source`, picture by picture.

    The results may differ as much as the fp32 result changes if invisible noise is added to the picture, plus
    `FLAT_MARGIN`. They must still be finite, and must not be flat unless the fp32 result is flat.

    Args:
        min_psnr: a PSNR in dB that is always enough.
        how: what is new in the file, for messages: "in fp16".

    Returns:
        For the worst picture, the PSNR of the new result to the fp32 result; and the PSNR of the fp32 result to itself
        after noise was added to the picture.

    Raises:
        ExportError: a result is broken or too different.
    """
    found = []
    for sample in flat:
        (ours,), (theirs,) = (samples.results(one, [sample]) for one in (session, fp32_session))
        (noisy,) = samples.results(fp32_session, [samples.with_noise(sample, NOISE)])
        psnr, noise_psnr = samples.psnr_between([ours], [theirs]), samples.psnr_between([noisy], [theirs])
        problem = None
        if not np.isfinite(ours).all():
            problem = "not finite"
        elif np.ptp(ours) == 0 and np.ptp(theirs) > 2 * NOISE:
            problem = "blank"
        elif psnr < min(min_psnr, noise_psnr - FLAT_MARGIN):
            problem = f"too different from that in fp32, with a PSNR of only {psnr:.1f} dB"
        if problem:
            colour = ", ".join(f"{value * 255:.0f}" for value in sample.inputs["image"][0, :, 0, 0])
            raise ExportError(
                f"{source}: the result {how} for a picture of the single colour RGB {colour} is {problem}; nothing"
                " written, keep the fp32 file",
                path=source,
            )
        found.append((psnr, noise_psnr))
    return min(found)
