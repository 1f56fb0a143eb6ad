"""Loads models. A loaded model is an onnxruntime session that behaves as its card says."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from img2img.errors import ModelError, UsageError
from img2img.runtime.network import cache, devices, inference_errors, model_file, models, probe
from img2img.runtime.network.adapter import Adapter, Assumptions, FixedSize, fixed_size, show_shape
from img2img.runtime.network.buffered_session import BufferedSession
from img2img.runtime.network.card import Card
from img2img.runtime.network.grid import Grid, grids
from img2img.runtime.network.inference_errors import BrokenOutput, OutOfMemory
from img2img.text import show
from img2img.threads import Cores, TookTooLong

__all__ = ["BrokenOutput", "LoadedModel", "OutOfMemory", "load"]

Floats = npt.NDArray[np.float32]

# Pixels that CUDA processes at once, in several tiles: as many as one automatic tile has, so they need no more memory.
# On the CPU, a pixel costs the same in small tiles and in large ones.
_PIXELS_AT_ONCE = 512 * 512

_MAX_RUNS = 8


class LoadedModel:
    """A loaded model. Create one with `load`. Several threads may share it.

    `infer` runs the bare network on float arrays. `tiling.run_tiled` runs it on integer arrays of any size, and
    `upscale.upscale`, `translate.translate` and `inpaint.inpaint` run it on a `Picture` with its metadata.

    Attributes:
        path: the ONNX file.
        card: the properties of the model; derived by probing if the file has no card.
        device: where the network runs: "cpu" or "cuda:N".
        notes: remarks for the user ("running on the CPU: ..."), one line each.
        adapter: converts between docs/model-file.md and the interface of the network; None: not needed.
        fixed: height and width in pixels of the only input size that the network accepts; None: any size.
        takes_batches: whether one run may process several pictures.
        pixels_at_once: number of pixels that one run may process in several tiles of one size; 0: one tile per run.
        cores: the cores that simultaneous runs share. On CUDA, one run follows the other.
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
        fixed: FixedSize | None = None,
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
        self._latent = _length_of_latent(card, inputs)
        # In a file without a card, the single input and the single output may have any name.
        self._image = "image" if "image" in inputs else next(iter(inputs))
        self._result = "result" if "result" in outputs else outputs[0]
        on_cuda = device.startswith("cuda")
        batch_is_one = inputs[self._image].shape[:1] == [1]
        self.takes_batches = not batch_is_one
        self.pixels_at_once = _PIXELS_AT_ONCE if on_cuda and not batch_is_one else 0
        self._buffered = BufferedSession(session, device) if on_cuda else None

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def is_foreign(self) -> bool:
        """The file has no card, so the card was derived by probing."""
        return self.adapter is not None

    def with_inputs(self, **others: Floats) -> "LoadedModel":
        """The same model with some of its further inputs already given (see `infer`)."""
        model = copy.copy(self)
        model._others = {**self._others, **others}
        if "reference" in others:  # each tile gets the whole reference, and several copies would take memory
            model.pixels_at_once = 0
        return model

    def with_card(self, card: Card) -> "LoadedModel":
        """The same model with another card."""
        model = copy.copy(self)
        model.card = card
        return model

    def on_all_cores(self) -> "LoadedModel":
        """The same model, but a run uses all its cores: for runs without tiles."""
        if self.cores.split:
            return self
        model = copy.copy(self)
        model._session, _, _ = devices.create(self.path, self.device, self.cores.count)
        model.cores = Cores(self.cores.count)
        return model

    def stop(self) -> None:
        """End all current runs of the network; they raise ModelError."""
        self._session.stop()

    def infer(self, image: Floats, **others: Floats) -> Floats:
        """Run the network once, without padding or tiles.

        Args:
            image: float32 [N, 3, H, W], RGB in 0..1; H and W multiples of `card.multiple`, at least `card.minimum`.
            others: the model's further inputs, by name: `mask` float32 [N, 1, H, W], `domain` float32 [N, K],
                `reference` float32 [N, 3, h, w] RGB in 0..1, `latent` float32 [N, L]. An input given to `with_inputs`
                for one picture is repeated for all N. A missing `latent` is zeros.

        Returns:
            float32 [N, 3, H * scale, W * scale], RGB in 0..1 (a network without a card may overshoot slightly).

        Raises:
            OutOfMemory: the device does not have enough memory.
            BrokenOutput: the size of the result contradicts the card.
            ModelError: onnxruntime rejects the input or fails.
        """
        n, channels, height, width = image.shape
        feeds = {self._image: image if self.adapter is None else self.adapter.to_network(image)}
        for name, other in self._others.items():
            feeds[name] = other.repeat(n, axis=0) if len(other) == 1 and n > 1 else other
        feeds |= others
        if self._latent and "latent" not in feeds:
            feeds["latent"] = np.zeros((n, self._latent), np.float32)
        if self.adapter is not None and "reference" in feeds:
            feeds["reference"] = replace(self.adapter, offset=0).to_network(feeds["reference"])
        result = self._run(feeds)
        if self.adapter is not None:
            size = height * self.card.scale, width * self.card.scale
            result, channels = self.adapter.from_network(result, size), self.adapter.channels
        expected = (n, channels, height * self.card.scale, width * self.card.scale)
        if result.shape != expected:
            raise BrokenOutput(
                f"{self.path}: its result for {width}x{height} pixels has the shape {list(result.shape)},"
                f" but its card (scale {self.card.scale}) promises {list(expected)}"
            )
        return result if self.adapter is None else self.adapter.with_colours(result, image)

    def _run(self, feeds: dict[str, Any]) -> npt.NDArray[Any]:
        try:
            if self._buffered is not None:
                return self._buffered.run(self._result, feeds)
            result: npt.NDArray[Any] = self._session.run([self._result], feeds)[0]
        except inference_errors.runtime_errors() as error:
            raise inference_errors.convert(error, f"{self.path}: running it on {self.device} failed") from error
        return result


def load(
    name_or_path: str | os.PathLike[str],
    *,
    device: str = "auto",
    threads: int | None = None,
    card: Card | None = None,
    assume: Mapping[str, str] | None = None,
    runs: int | None = None,
    split: bool | None = None,
    verify: bool = False,
) -> LoadedModel:
    """Load a model by name or path.

    Args:
        name_or_path: see `models.find`.
        device: "auto" (CUDA if it works, otherwise the CPU), "cpu", "cuda" or "cuda:N".
        threads: CPU threads, at least 1; None: all that this process may use.
        card: the properties of a file without a card that follows docs/model-file.md otherwise; None: probe it.
        assume: known properties of a file without a card, which are not probed: `scale`, `range` ("1", "255" or
            "signed": -1..1), `channels` ("rgb" or "bgr"), `task` ("upscale" or "translate"), `context`, `multiple`
            and `offset` in pixels.
        runs: maximum number of simultaneous runs of the network on the CPU; None: as many as threads, but at most 8,
            because each run needs memory.
        split: True: a run uses all threads while the others are idle. False: one thread per run, which is faster if
            runs side by side keep all threads busy. None: False if `Grid.tiles_beat_threads`.
        verify: refuse a model whose bytes differ from the digest in its card. Otherwise a note says so.

    Raises:
        ModelError: the model does not exist, is damaged or unsafe, contradicts its card, or cannot be probed.
        DeviceError: CUDA was requested and does not work.
        UsageError: `device` or `threads` has an invalid value, `card` or `assume` is given for a file that has a card,
            or `assume` has an unknown key or an invalid value.
        OutOfMemory: the model does not fit the device.
    """
    assumed = Assumptions.parse(assume) if assume else Assumptions()
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, not {threads}")
    path = models.find(name_or_path)
    found = models.read_card(path)
    if found is not None and (card is not None or assume):
        raise UsageError(f"{path}: the file has its own card: {'omit --assume' if assume else 'pass no other card'}")
    if card is not None and assume:
        raise UsageError(f"{path}: give a card or assumptions, not both")
    model_file.require_safe(path)
    doubts = [] if found is None else _doubts(path, found, verify=verify)
    count = devices.cores() if threads is None else threads
    expected = split  # before it is known whether the network takes one size only
    if split is None:
        known = found or card
        expected = known is None or not devices.is_cpu(device) or not Grid(known).tiles_beat_threads(count)
    session, where, notes = devices.create(path, device, threads if expected else 1)
    notes = [*doubts, *notes]
    fixed, adapter = None, None
    if found is not None:
        fixed = check_interface(session, found, path)
    elif card is not None:
        found = card
    else:
        try:
            with session.limited():
                probed = probe.probe(session, path, assumed)
        except TookTooLong as error:
            raise TookTooLong(f"{path}: probing it failed: {error}") from error
        found, fixed, adapter, notes = probed.card, probed.fixed, probed.adapter, [*notes, *probed.notes]
    cores = Cores()
    if where == "cpu":
        if split is None:
            split = fixed is not None or not Grid(found, is_foreign=adapter is not None).tiles_beat_threads(count)
        if split != expected:
            session, _, _ = devices.create(path, "cpu", threads if split else 1)
        cores = Cores(runs or min(count, _MAX_RUNS), split=split)
    return _with_size_note(LoadedModel(path, found, session, where, notes, adapter=adapter, fixed=fixed, cores=cores))


def _doubts(path: Path, card: Card, *, verify: bool) -> list[str]:
    """A note if the bytes of a model differ from the digest in its card. With `verify`, that is a ModelError."""
    if card.sha256 is None:
        return [f"{show(path)}: its card has no digest, so --verify cannot check it"] if verify else []
    if cache.digest(path, fresh=verify) == card.sha256:
        return []
    changed = f"{show(path)}: damaged or changed: its digest differs from the one in its card"
    if verify:
        hint = "get the file again, or omit --verify"
        raise ModelError(f"{changed}; {hint}", path=path, hint=hint)
    return [f"warning: {changed}; get the file again (--verify refuses such models)"]


def _with_size_note(model: LoadedModel) -> LoadedModel:
    """Add a note to the model if it only accepts one input size."""
    if model.fixed is not None:
        height, width = model.fixed
        by_row, by_column = grids(model)
        note = f"{model.path.name} only takes tiles of {width}x{height} pixels"
        if not (by_row.is_exact and by_column.is_exact):
            note += f", which overlap by {by_column.context}x{by_row.context}; seams are possible in larger pictures"
        model.notes = (*model.notes, note)
    return model


def check_interface(session: Any, card: Card, path: Path) -> FixedSize | None:
    """Check that the network has the inputs and the output that its card promises.

    Returns:
        Height and width in pixels if the network accepts only one input size; None: any size, as docs/model-file.md
        requires.

    Raises:
        ModelError: an input or the output is missing or wrong; the message names it.
    """
    inputs = {one.name: one for one in session.get_inputs()}
    wanted = card.inputs
    if length := _length_of_latent(card, inputs):
        wanted["latent"] = ("N", length)
    for name, shape in wanted.items():
        if name not in inputs:
            raise ModelError(
                f"{path}: a model for {card.task!r} needs an input named {name!r}, its inputs are {_list(inputs)}"
            )
        _check_tensor(inputs[name], shape, path)
    if unknown := set(inputs) - set(wanted):
        raise ModelError(f"{path}: it has inputs that its card does not explain: {_list(unknown)}")
    outputs = {one.name: one for one in session.get_outputs()}
    if "result" not in outputs:
        raise ModelError(f"{path}: it needs an output named 'result', its outputs are {_list(outputs)}")
    _check_tensor(outputs["result"], ("N", 3, "H", "W"), path)
    image = inputs["image"]
    sides = image.shape[2:]
    fixed = fixed_size(sides, image.name, path) if any(isinstance(side, int) for side in sides) else None
    if fixed is None:
        return None
    if card.task == "inpaint":  # a hole runs in one window with its mask, and windows have many sizes
        raise ModelError(
            f"{path}: {image.name!r} has a fixed size ({show_shape(image.shape)}): export it with dynamic H and W"
        )
    if any(side % card.multiple or side < card.minimum for side in fixed):
        raise ModelError(
            f"{path}: {image.name!r} has a fixed size ({show_shape(image.shape)}) that its card does not allow"
            f" (multiples of {card.multiple}, at least {card.minimum})"
        )
    return fixed


def _length_of_latent(card: Card, inputs: Mapping[str, Any]) -> int:
    """Number of values of the input `latent`; 0: there is none. The card of an older file does not mention it."""
    if card.latent is not None:
        return int(card.latent["length"])
    shape = inputs["latent"].shape if "latent" in inputs else []
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else 0


def _check_tensor(tensor: Any, expected: Sequence[int | str], path: Path) -> None:
    """Check onnxruntime's description of a tensor. Variable dimensions have names or None instead of numbers.

    expected: see `Card.inputs`. The sides H and W may be fixed, and the caller checks them.
    """
    what = f"{path}: {tensor.name!r}"
    if tensor.type != "tensor(float)":
        raise ModelError(f"{what} must be float32, not {tensor.type}")
    shape = tensor.shape
    if not shape:  # the exporter declared no shape; the first run will show it
        return
    if len(shape) != len(expected):
        raise ModelError(f"{what} must have {len(expected)} dimensions, not {len(shape)}")
    if isinstance(shape[1], int) and shape[1] != expected[1]:
        raise ModelError(
            f"{what} must have {expected[1]} {'channels' if len(shape) == 4 else 'columns'}, not {shape[1]}"
        )
    if "h" in expected and any(isinstance(side, int) for side in shape[2:]):
        raise ModelError(f"{what} has a fixed size ({show_shape(shape)}): export it with dynamic h and w")
    if isinstance(shape[0], int) and shape[0] != 1:
        raise ModelError(f"{what} only takes {shape[0]} pictures at a time: export it with dynamic N")


def _list(names: Any) -> str:
    return ", ".join(repr(name) for name in sorted(names)) or "none"
