"""The importable architectures, and detection of the one that a state dict belongs to."""

import re

from img2img.errors import CheckpointError
from img2img.exchange.importers import spandrel_models
from img2img.exchange.importers.family import BuiltNetwork, Family, Options, State
from img2img.exchange.importers.inpainters import ContextEncoderFamily, GatedFamily
from img2img.exchange.importers.translation import ResNetFamily, StarGANFamily, UNetFamily
from img2img.exchange.importers.unpadded import Waifu2xFamily
from img2img.exchange.importers.upscalers import CompactFamily, RRDBFamily, SRResNetFamily
from img2img.exchange.listing import first_names

FAMILIES: tuple[Family, ...] = (
    UNetFamily(),
    ResNetFamily(),
    StarGANFamily(),
    RRDBFamily(),
    CompactFamily(),
    SRResNetFamily(),
    GatedFamily(),
    ContextEncoderFamily(),
    Waifu2xFamily(),
)
"""Tried in this order. No state dict fits two of them."""

MIN_TENSORS = 8
"""Networks that only spandrel knows have more. Asking it about every small part of a network takes seconds."""

NUMBERS_PER_TENSOR = 16
"""The largest number of a layer, for each tensor in the file. Layers without weights are numbered, too. Architectures
build as many layers as the largest number says."""


def detect(state: State) -> Family | None:
    """The family that `state` belongs to; None if no family fits."""
    return next((family for family in FAMILIES if family.fits(state)), None)


def is_known(state: State) -> bool:
    """Whether a family, or spandrel if it is installed, knows the architecture of `state`, which may lie on "meta"."""
    if detect(state) is not None:
        return True
    return len(state) >= MIN_TENSORS and spandrel_models.installed() and spandrel_models.detects(state)


def build(state: State, options: Options) -> BuiltNetwork:
    """The network that `state` belongs to, ready to be exported.

    Raises:
        CheckpointError: no family fits (the message lists the keys that were looked for), or the family refuses it.
        UsageError: `options` must say more.
    """
    largest = max((int(number) for key in state for number in re.findall(r"\d{1,18}", key)), default=0)
    if largest > NUMBERS_PER_TENSOR * max(len(state), MIN_TENSORS):
        raise CheckpointError(f"numbers its layers up to {largest}, but has only {len(state)} tensors")
    family = detect(state)
    if family is not None:
        try:
            return _built(family, state, options)
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
        more = ", and those that spandrel knows"
    else:
        more = f"; spandrel knows some forty more: pip install '{spandrel_models.EXTRA}'"
    raise CheckpointError(
        f"is of no known architecture; its first keys: {first_names(list(state)) or 'there are none'}; known are"
        f" {', '.join(one.name for one in FAMILIES)}{more}"
    )


def _built(family: Family, state: State, options: Options) -> BuiltNetwork:
    """What `family` makes of `state`. Raises CheckpointError for shapes that no network of the family has, too."""
    try:
        return family.build(state, options)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"looks like {family.name}, but has other layers or shapes") from error


def _build_variant(state: State, options: Options) -> BuiltNetwork | None:
    """The network that spandrel builds from `state`; None if spandrel is not installed or refuses it."""
    if not spandrel_models.installed():
        return None
    try:
        return spandrel_models.build(state, options)
    except CheckpointError:
        return None
