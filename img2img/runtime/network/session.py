"""A model in memory: an onnxruntime session that keeps the promises of its card."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.network import devices, face, failures, modelfile, models, probing
from img2img.runtime.network.card import Card
from img2img.runtime.network.failures import BrokenOutput, OutOfMemory
from img2img.runtime.network.foreign_face import Adapter, Assumed, Fixed
from img2img.runtime.network.grid import grids

if TYPE_CHECKING:
    from PIL import Image

    from img2img.runtime.image.pictures import Picture
    from img2img.runtime.network.sizing import Size
    from img2img.runtime.network.tiling import Tile

__all__ = ["BrokenOutput", "Model", "OutOfMemory", "load"]

Floats = npt.NDArray[np.float32]

# Tiles that CUDA runs at once: as many pixels as one automatic tile has, so that they need no more memory than that.
# On the CPU a pixel costs the same in small tiles and large ones.
_TOGETHER = 512 * 512


class Model:
    """A loaded model. Get one from `load`; it may be used from several threads at once.

    `run` takes and gives pictures; `infer` is the bare network on arrays; between them lie `tiling.run_tiled` (integer
    arrays) and `upscale.upscale`, `translate.translate`, `inpaint.inpaint` (a `Picture` with all that its file says).

    Attributes:
        path: the ONNX file.
        card: what the model is; made up from its face where the file carries none.
        device: "cpu" or "cuda:N", where it really runs.
        notes: what a person should know ("running on the CPU: ..."), one line each.
        adapter: what stands between contract 1 and a network with another face; None: nothing.
        fixed: height and width in pixels, where the network takes no others; None: any.
        together: pixels that one run may take in several tiles of one size; 0: one tile a run.
    """

    def __init__(
        self,
        path: Path,
        card: Card,
        session: Any,
        device: str = "cpu",
        notes: Sequence[str] = (),
        *,
        adapter: Adapter | None = None,
        fixed: Fixed | None = None,
    ) -> None:
        self.path = path
        self.card = card
        self.device = device
        self.notes = tuple(notes)
        self.adapter = adapter
        self.fixed = fixed
        self._session = session
        self._others: dict[str, Floats] = {}
        inputs = {one.name: one for one in session.get_inputs()}
        outputs = [one.name for one in session.get_outputs()]
        # A file without a card may call its one input and its one output what it likes.
        self._image = "image" if "image" in inputs else next(iter(inputs))
        self._result = "result" if "result" in outputs else outputs[0]
        on_cuda = device.startswith("cuda")
        takes_one = inputs[self._image].shape[:1] == [1]
        self.together = _TOGETHER if on_cuda and not takes_one else 0
        self._buffered = devices.Buffered(session, device) if on_cuda else None

    @property
    def name(self) -> str:
        return self.card.name

    def bound(self, **others: Floats) -> "Model":
        """The same model with some of its further inputs given (see `infer`), so that a picture is all it needs."""
        model = copy.copy(self)
        model._others = {**self._others, **others}
        return model

    def infer(self, image: Floats, **others: Floats) -> Floats:
        """One bare run of the network: no padding, no tiles.

        Args:
            image: float32 [N, 3, H, W], RGB in 0..1; H and W multiples of `card.multiple`, at least `card.minimum`.
            others: the model's further inputs, by name: `mask` float32 [N, 1, H, W], `domain` float32 [N, K]. What was
                given to `bound` for one picture holds for each of N.

        Returns:
            float32 [N, 3, H * scale, W * scale], RGB in 0..1 (a network without a card may overshoot a little).

        Raises:
            OutOfMemory: the device's memory does not suffice.
            BrokenOutput: the result has another size than the card promises.
            ModelError: onnxruntime refuses the input or fails.
        """
        n, channels, height, width = image.shape
        feeds = {self._image: image if self.adapter is None else self.adapter.read(image)}
        for name, other in self._others.items():
            feeds[name] = other.repeat(n, axis=0) if len(other) == 1 and n > 1 else other
        result = self._run(feeds | others)
        if self.adapter is not None:
            result, channels = self.adapter.planes(result), self.adapter.channels
        expected = (n, channels, height * self.card.scale, width * self.card.scale)
        if result.shape != expected:
            raise BrokenOutput(
                f"{self.path}: its result for {width}x{height} pixels has shape {list(result.shape)},"
                f" its card (scale {self.card.scale}) promises {list(expected)}"
            )
        return result if self.adapter is None else self.adapter.coloured(result, image)

    def _run(self, feeds: dict[str, Any]) -> npt.NDArray[Any]:
        try:
            if self._buffered is not None:
                return self._buffered.run(self._result, feeds)
            result: npt.NDArray[Any] = self._session.run([self._result], feeds)[0]
        except failures.runtime_errors() as error:
            raise failures.typed(error, f"{self.path}: running it on {self.device} failed") from error
        return result

    def run(
        self,
        picture: "Image.Image | str | os.PathLike[str]",
        *,
        scale: float | None = None,
        tile: "Tile" = "auto",
        to: str | Sequence[str] = (),
        mask: "Image.Image | str | os.PathLike[str] | None" = None,
        size: "Size | None" = None,
        strength: float = 1.0,
    ) -> "Image.Image":
        """A picture through the model: alpha, grey and sizes handled as the command of the model's task does.

        Args:
            picture: a Pillow image of any mode, or the path of a picture file.
            scale: upscaling only: wanted sides of the result / sides of the picture; None: the model's own.
            tile: "auto", a side in pixels, or None for the whole picture at once; not for inpainting.
            to: translation only: a domain of the model, or several where they do not exclude each other.
            mask: inpainting only, and needed there: a picture of the same size, white where to fill, or "alpha" for
                what is transparent in `picture`.
            size: translation and inpainting: "keep", "fit" or the side at which the network sees the picture, as
                `translate.translate` and `inpaint.inpaint` explain.
            strength: 0 gives the (resized) picture, 1 the network's result, numbers between their weighted mean.

        Returns:
            A Pillow image of mode L, LA, RGB or RGBA, or I;16 for 16-bit grey. Pillow has no 16-bit colour, so that is
            reduced to 8 bits; `upscale.upscale` and its like keep it. EXIF (turned upright), ICC profile and resolution
            are in `info`, where Pillow's `save` finds what it can write.

        Raises:
            PictureError: the picture or the mask cannot be read, or they do not fit together.
            UsageError: the model needs more than it was given, or has no use for an option.
            OutOfMemory, BrokenOutput, ModelError: as `infer`.
        """
        from img2img.runtime.image import imaging

        task = self.card.task
        uses = {"upscale": ("scale", "tile"), "translate": ("tile", "to", "size"), "inpaint": ("mask", "size")}[task]
        given = {"scale": scale, "tile": tile, "to": to, "mask": mask, "size": size}
        idle = {"scale": None, "tile": "auto", "to": (), "mask": None, "size": None}
        used = {name: value for name, value in given.items() if value is not idle[name] and value != idle[name]}
        if strangers := [name for name in used if name not in uses]:
            raise UsageError(f"{self.name} is for {task!r} and has no use for {', '.join(strangers)}")
        options: dict[str, Any] = used | {"strength": strength}
        source = _opened(picture)
        if task == "upscale":
            from img2img.runtime.verbs.upscale import upscale

            return imaging.image_of(upscale(self, source, **options))
        if task == "translate":
            from img2img.runtime.verbs.translate import translate

            return imaging.image_of(translate(self, source, **options))
        from img2img.runtime.verbs import masks
        from img2img.runtime.verbs.inpaint import inpaint

        if mask is None:
            raise UsageError(f"{self.name} needs a mask: a picture that is white where to fill, or 'alpha'")
        transparent = mask == "alpha"
        source, options["mask"] = masks.Wanted(transparent).apply(
            source, None if transparent else masks.of(_opened(mask))
        )
        return imaging.image_of(inpaint(self, source, **options))


def load(
    name_or_path: str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int | None = None,
    card: Card | None = None,
    assume: Mapping[str, str] | None = None,
) -> Model:
    """Load a model by name or path.

    Args:
        name_or_path: as `models.find` takes it.
        device: "auto" (CUDA where it works, else the CPU), "cpu", "cuda" or "cuda:N".
        threads: CPU threads, at least 1; None: as many as this process may use.
        card: what a file without a card is, which has the face of contract 1 otherwise; None: it is probed.
        assume: what of a file without a card is known, and need not or cannot be probed: `scale`, `range` ("1", "255"
            or "signed": -1..1), `channels` ("rgb" or "bgr"), `task` ("upscale" or "translate"), `context` and
            `multiple` in pixels.

    Raises:
        ModelError: there is no such model, or it is broken, unsafe, or does not do what its card says; or it has none,
            and cannot be probed.
        DeviceError: CUDA is asked for and does not work.
        UsageError: `device` or `threads` make no sense, `card` or `assume` is given for a file that has a card, or
            `assume` holds a key or a value that is not known.
        OutOfMemory: it does not fit the device.
    """
    assumed = Assumed.of(assume or {})
    path = models.find(name_or_path)
    found = models.read_card(path)
    if found is not None and (card is not None or assume):
        raise UsageError(f"{path}: it has a card of its own{': nothing is to be assumed' if assume else ''}")
    if card is not None and assume:
        raise UsageError(f"{path}: give its card or what to assume, not both")
    modelfile.require_safe(path)
    session, where, notes = devices.create(path, device, threads)
    if found is not None:
        return _noted(Model(path, found, session, where, notes, fixed=face.check(session, found, path)))
    if card is not None:
        return Model(path, card, session, where, notes)
    probed = probing.probe(session, path, assumed)
    notes = [*notes, *probed.notes]
    return _noted(Model(path, probed.card, session, where, notes, adapter=probed.adapter, fixed=probed.fixed))


def _noted(model: Model) -> Model:
    """The model with a note where it takes pictures in pieces of one size."""
    if model.fixed is not None:
        height, width = model.fixed
        by_row, by_column = grids(model)
        note = f"{model.path.name} takes pieces of exactly {width}x{height} pixels"
        if not (by_row.is_exact and by_column.is_exact):
            note += f", which overlap by {by_column.context}x{by_row.context}; seams are possible in larger pictures"
        model.notes = (*model.notes, note)
    return model


def _opened(picture: "Image.Image | str | os.PathLike[str]") -> "Picture":
    from PIL import Image

    from img2img.runtime.image import imaging, pictures

    return imaging.picture_of(picture) if isinstance(picture, Image.Image) else pictures.read(Path(picture))
