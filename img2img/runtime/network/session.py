"""A model in memory: an onnxruntime session that keeps the promises of its card."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from img2img.errors import UsageError
from img2img.runtime.network import devices, failures, interface, model_file, models, probing
from img2img.runtime.network.card import Card
from img2img.runtime.network.cores import Cores
from img2img.runtime.network.failures import BrokenOutput, OutOfMemory
from img2img.runtime.network.foreign_interface import Adapter, Assumed, Fixed
from img2img.runtime.network.grid import grids

if TYPE_CHECKING:
    pass

__all__ = ["BrokenOutput", "LoadedModel", "OutOfMemory", "load"]

Floats = npt.NDArray[np.float32]

# Tiles that CUDA runs at once: as many pixels as one automatic tile has, so that they need no more memory than that.
# On the CPU a pixel costs the same in small tiles and large ones.
_TOGETHER = 512 * 512


class LoadedModel:
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
        pixels_at_once: pixels that one run may take in several tiles of one size; 0: one tile a run.
        cores: the cores that runs at the same time share. On CUDA one run follows the other.
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
        cores: Cores | None = None,
    ) -> None:
        self.path = path
        self.card = card
        self.device = device
        self.notes = tuple(notes)
        self.adapter = adapter
        self.fixed = fixed
        self.cores = cores or Cores()
        self._session = session
        self._others: dict[str, Floats] = {}
        inputs = {one.name: one for one in session.get_inputs()}
        outputs = [one.name for one in session.get_outputs()]
        # A file without a card may call its one input and its one output what it likes.
        self._image = "image" if "image" in inputs else next(iter(inputs))
        self._result = "result" if "result" in outputs else outputs[0]
        on_cuda = device.startswith("cuda")
        takes_one = inputs[self._image].shape[:1] == [1]
        self.pixels_at_once = _TOGETHER if on_cuda and not takes_one else 0
        self._buffered = devices.Buffered(session, device) if on_cuda else None

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def is_foreign(self) -> bool:
        """The card was derived by probing the file, which has none."""
        return self.adapter is not None

    def with_inputs(self, **others: Floats) -> "LoadedModel":
        """The same model with some of its further inputs given (see `infer`), so that a picture is all it needs."""
        model = copy.copy(self)
        model._others = {**self._others, **others}
        return model

    def with_card(self, card: Card) -> "LoadedModel":
        """The same model with another card, for a run under other rules."""
        model = copy.copy(self)
        model.card = card
        return model

    def infer(self, image: Floats, **others: Floats) -> Floats:
        """One bare run of the network: no padding, no tiles.

        Args:
            image: float32 [N, 3, H, W], RGB in 0..1; H and W multiples of `card.multiple`, at least `card.minimum`.
            others: the model's further inputs, by name: `mask` float32 [N, 1, H, W], `domain` float32 [N, K]. What was
                given to `with_inputs` for one picture holds for each of N.

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


def load(
    name_or_path: str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int | None = None,
    card: Card | None = None,
    assume: Mapping[str, str] | None = None,
    runs: int | None = None,
    split: bool = True,
) -> LoadedModel:
    """Load a model by name or path.

    Args:
        name_or_path: as `models.find` takes it.
        device: "auto" (CUDA where it works, else the CPU), "cpu", "cuda" or "cuda:N".
        threads: CPU threads, at least 1; None: as many as this process may use.
        card: what a file without a card is, which has the face of contract 1 otherwise; None: it is probed.
        assume: what of a file without a card is known, and need not or cannot be probed: `scale`, `range` ("1", "255"
            or "signed": -1..1), `channels` ("rgb" or "bgr"), `task` ("upscale" or "translate"), `context` and
            `multiple` in pixels.
        runs: the most runs of the network at the same time, on the CPU; None: as many as threads.
        split: split a run over all threads when the others are idle. False: one thread per run, which is faster when
            all of them are busy anyway.

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
    model_file.require_safe(path)
    session, where, notes = devices.create(path, device, threads if split else 1)
    cores = Cores(runs or threads or devices.cores(), split=split) if where == "cpu" else Cores()
    if found is not None:
        fixed = interface.check(session, found, path)
        return _noted(LoadedModel(path, found, session, where, notes, fixed=fixed, cores=cores))
    if card is not None:
        return LoadedModel(path, card, session, where, notes, cores=cores)
    probed = probing.probe(session, path, assumed)
    given: dict[str, Any] = {"adapter": probed.adapter, "fixed": probed.fixed, "cores": cores}
    return _noted(LoadedModel(path, probed.card, session, where, [*notes, *probed.notes], **given))


def _noted(model: LoadedModel) -> LoadedModel:
    """The model with a note where it takes pictures in pieces of one size."""
    if model.fixed is not None:
        height, width = model.fixed
        by_row, by_column = grids(model)
        note = f"{model.path.name} takes pieces of exactly {width}x{height} pixels"
        if not (by_row.is_exact and by_column.is_exact):
            note += f", which overlap by {by_column.context}x{by_row.context}; seams are possible in larger pictures"
        model.notes = (*model.notes, note)
    return model
