"""Which family a state dict is of."""

from img2img.errors import CheckpointError
from img2img.exchange.foreign import others
from img2img.exchange.foreign.family import NAMED, Built, Family, Options, State
from img2img.exchange.foreign.inpainters import ContextEncoderFamily, GatedFamily
from img2img.exchange.foreign.translation import ResNetFamily, StarGANFamily, UNetFamily
from img2img.exchange.foreign.upscalers import CompactFamily, RRDBFamily, SRResNetFamily

FAMILIES: tuple[Family, ...] = (
    UNetFamily(),
    ResNetFamily(),
    StarGANFamily(),
    RRDBFamily(),
    CompactFamily(),
    SRResNetFamily(),
    GatedFamily(),
    ContextEncoderFamily(),
)
"""Tried in this order; no state dict fits two of them."""


def family(state: State) -> Family | None:
    """The first one that `state` fits."""
    return next((one for one in FAMILIES if one.fits(state)), None)


def build(state: State, options: Options) -> Built:
    """The network that `state` is for, with the face of contract 1.

    Raises:
        CheckpointError: no family fits, and the message says what was looked for; or the family's own reasons.
        UsageError: something has to be said in `options`.
    """
    found = family(state)
    if found is not None:
        try:
            return found.build(state, options)
        except CheckpointError as error:
            # A relative of the family, perhaps; if it is none, what the family missed says more.
            if (built := _relative(state, options)) is None:
                raise error
            return built
    if others.installed():
        built = others.build(state, options)
        if built is not None:
            return built
        more = " or among those that spandrel knows"
    else:
        more = f"; some forty others are known with spandrel: pip install '{others.EXTRA}'"
    looked = "; ".join(f"{one.name}: {one.looks_for}" for one in FAMILIES)
    keys = ", ".join(list(state)[:NAMED]) or "there are none"
    raise CheckpointError(f"is of no known architecture (looked for {looked}){more}; its first keys: {keys}")


def _relative(state: State, options: Options) -> Built | None:
    try:
        return others.build(state, options) if others.installed() else None
    except CheckpointError:
        return None
