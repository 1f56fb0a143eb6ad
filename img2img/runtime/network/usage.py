"""The command that uses a model file."""

import shlex
from pathlib import Path

from img2img.runtime.network.card import Card

INPUTS = {"upscale": "PHOTO", "translate": "PICTURE", "inpaint": "PHOTO --mask MASK"}


def usage(model: Path, card: Card) -> str:
    """Return the command that uses a model file."""
    if card.morphs:
        return f"img2img morph FIRST LAST --model {shlex.quote(str(model))}"
    to = f" --to {shlex.quote(card.domains[0])}" if card.domains else ""
    reference = " --reference REFERENCE" if card.reference is not None else ""
    samples = " --samples 8" if card.latent is not None else ""
    command = "restore" if card.task == "upscale" and card.scale == 1 else card.task
    return f"img2img {command} {INPUTS[card.task]} --model {shlex.quote(str(model))}{to}{reference}{samples}"
