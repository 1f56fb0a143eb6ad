"""The importable architectures, and detection of the one that a state dict belongs to."""

from img2img.errors import CheckpointError
from img2img.exchange.importers import spandrel_models
from img2img.exchange.importers.family import BuiltNetwork, Family, Options, State
from img2img.exchange.importers.inpainters import ContextEncoderFamily, GatedFamily
from img2img.exchange.importers.translation import ResNetFamily, StarGANFamily, UNetFamily
from img2img.exchange.importers.upscalers import CompactFamily, RRDBFamily, SRResNetFamily
from img2img.exchange.listing import MAX_NAMES

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
"""Tried in this order. No state dict fits two of them."""


def detect(state: State) -> Family | None:
    """The family that `state` belongs to; None if no family fits."""
    return next((family for family in FAMILIES if family.fits(state)), None)


def build(state: State, options: Options) -> BuiltNetwork:
    """The network that `state` belongs to, ready to be exported.

    Raises:
        CheckpointError: no family fits (the message lists the keys that were looked for), or the family refuses it.
        UsageError: `options` must say more.
    """
    family = detect(state)
    if family is not None:
        try:
            return family.build(state, options)
        except CheckpointError:
            # spandrel may know a variant of the family. If not, the message of the family says more.
            built = _build_variant(state, options)
            if built is None:
                raise
            return built
    if spandrel_models.installed():
        built = spandrel_models.build(state, options)
        if built is not None:
            return built
        more = " or among those that spandrel knows"
    else:
        more = f"; spandrel knows some forty more: pip install '{spandrel_models.EXTRA}'"
    looked_for = "; ".join(f"{one.name}: {one.looks_for}" for one in FAMILIES)
    keys = ", ".join(list(state)[:MAX_NAMES]) or "there are none"
    raise CheckpointError(f"is of no known architecture (looked for {looked_for}){more}; its first keys: {keys}")


def _build_variant(state: State, options: Options) -> BuiltNetwork | None:
    """The network that spandrel builds from `state`; None if spandrel is not installed or refuses it."""
    if not spandrel_models.installed():
        return None
    try:
        return spandrel_models.build(state, options)
    except CheckpointError:
        return None
