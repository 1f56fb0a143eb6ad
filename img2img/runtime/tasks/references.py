"""The reference picture of models that take one. It is read once and prepared for the network."""

import dataclasses
import io
from dataclasses import dataclass, field

import numpy as np

from img2img.errors import PictureError, UsageError
from img2img.runtime.files import digests, storage
from img2img.runtime.files.storage_uri import StorageFile, location
from img2img.runtime.image import hdr, pictures
from img2img.runtime.image.depth import over_white
from img2img.runtime.image.pictures import Picture
from img2img.runtime.image.resize import lanczos
from img2img.runtime.network import input_size
from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import Grid
from img2img.runtime.network.input_size import Size
from img2img.text import show
from img2img.types import Floats


@dataclass(frozen=True)
class Reference:
    """A reference picture that is ready for the network. Can be pickled and compared.

    Attributes:
        values: the input `reference`, float32 [1, 3, h, w], RGB 0..1.
        sha256: digest of the file.
    """

    values: Floats = field(compare=False, repr=False)
    sha256: str

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.values[0, 0].size)


def read(source: str | bytes, card: Card, size: Size, *, max_pixels: int | None = None) -> Reference:
    """Read the reference picture for a model with this card from a path, a URI, or the content of a file.

    Args:
        size: see `to_input`.
        max_pixels: the most pixels that it may have; None: the usual limit.

    Raises:
        UsageError: the picture cannot be read, or the model takes none.
    """
    check(card, is_given=True)
    name = "the reference" if isinstance(source, bytes) else show(source)
    try:
        data = source if isinstance(source, bytes) else _bytes(source)
        limit = max_pixels or pictures.DEFAULT_MAX_PIXELS
        picture = pictures.read(io.BytesIO(data), name=name, max_pixels=limit)
    except PictureError as error:
        raise UsageError(f"--reference: {error}", path=None if isinstance(source, bytes) else source) from error
    return Reference(to_input(picture, card, size), digests.of_bytes(data).sha256)


def _bytes(name: str) -> bytes:
    file = location(name)
    if isinstance(file, StorageFile):
        return storage.read(file)
    try:
        return file.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read {show(file)}: {error.strerror or error}") from error


def check(card: Card, *, is_given: bool) -> None:
    """Raise UsageError if a reference is given for a model that takes none, or missing for one that needs it."""
    if is_given and card.reference is None:
        raise UsageError(f"{card.name} takes no reference picture: omit --reference")
    if card.reference is not None and not is_given:
        about = f" ({card.reference['about']})" if card.reference["about"] else ""
        raise UsageError(f"{card.name} needs a reference picture{about}: name one with --reference FILE")


def to_input(picture: Picture, card: Card, size: Size) -> Floats:
    """The input `reference`, float32 [1, 3, h, w], RGB 0..1, for a model with this card.

    Grey becomes three equal channels, and transparent pixels lie on white. The sides are padded by reflection to those
    that the model accepts.

    Args:
        size: what the network sees, as for the picture itself (see `input_size.Size`). With "fit", large references are
            reduced to `input_size.MOST_PIXELS`, because every run of the network gets the whole reference.
    """
    assert card.reference is not None
    if picture.is_pq:
        picture = hdr.shown(picture)
    colour = picture.colour if picture.colour.shape[2] == 3 else picture.colour.repeat(3, axis=2)
    if picture.alpha is not None:
        colour = over_white(colour, picture.alpha)
    seen = picture.size
    if size == "fit":
        seen = input_size.near_training_size(seen, card.side, note=lambda text: None)
        seen = input_size.at_most(seen, input_size.MOST_PIXELS)
    elif size != "keep":
        seen = input_size.scaled(seen, size / min(seen))
    colour = lanczos(colour, seen)
    limits = {name: card.reference[name] for name in ("multiple", "minimum")}
    grid = Grid(dataclasses.replace(card, **limits))
    rows, columns = (grid.padded_indices(length) for length in colour.shape[:2])
    planes = colour[rows[:, None], columns].transpose(2, 0, 1)[None]
    return np.ascontiguousarray(planes, np.float32) / np.float32(np.iinfo(colour.dtype).max)
