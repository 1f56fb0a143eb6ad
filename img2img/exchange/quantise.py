"""Convert a model file to 8-bit integers for CPUs. It is written only if it is good enough and faster than fp32.

Static quantisation (Jacob et al. 2018) by onnxruntime: weights are int8 with one scale per output channel, activations
are uint8 with ranges from real pictures. The first and the last convolutions stay in float because they touch the
picture itself. So does everything that is not a convolution.
"""

import dataclasses
import logging
import shlex
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from img2img.atomic import atomic
from img2img.errors import ExportError
from img2img.exchange import activation_ranges, model_files, samples
from img2img.exchange.outer_convolutions import outer_convolutions
from img2img.exchange.prelu import split_prelu
from img2img.exchange.samples import Sample
from img2img.runtime.network.card import Card

QUANTISED = ("Conv", "Relu")
"""Quantised operators. A ReLU after a convolution becomes part of it."""

CALIBRATION_SAMPLES = 100
"""Number of windows that the ranges are computed from."""

TEST_SAMPLES = 16
"""Number of other windows, from about every sixth picture, that the loss is measured on."""

RANKING_SAMPLES = 4
"""Number of test windows that each layer's share of the loss is measured on."""

MIN_PSNR = 45.0
"""Smallest allowed PSNR in dB to the results of the fp32 file, if there is no truth to compare with."""

MAX_DROP = 0.1
"""Largest allowed loss of PSNR in dB on Y, if there is a truth."""


@dataclass(frozen=True)
class QuantisationReport:
    """How the int8 file compares with the fp32 file.

    Attributes:
        psnr_drop: loss of PSNR in dB on Y; None if there is no truth.
        psnr: PSNR to the results of the fp32 file in dB.
        seconds: CPU seconds per megapixel of input on this machine, of the fp32 file and of the int8 file.
        layers: number of convolutions in int8, and number of all convolutions.
        folders: names of the folders with the pictures for calibration and measurement.
        command: repeats the conversion, apart from the paths of the folders.
    """

    psnr_drop: float | None
    psnr: float
    seconds: tuple[float, float]
    layers: tuple[int, int]
    folders: tuple[str, ...]
    command: str

    def figures(self) -> dict[str, float | str]:
        """The figures for the card."""
        drop = {} if self.psnr_drop is None else {"psnr_y_drop": round(self.psnr_drop, 4)}
        return {
            **drop,
            "psnr_to_fp32": round(self.psnr, 2),
            "seconds_per_megapixel": round(self.seconds[1], 3),
            "seconds_per_megapixel_fp32": round(self.seconds[0], 3),
            "layers": f"{self.layers[0]} of {self.layers[1]}",
            "calibrated_on": ", ".join(self.folders),
            "command": self.command,
        }


class _Quality(NamedTuple):
    """`psnr_drop` and `psnr` as in `QuantisationReport`, and whether they are good enough."""

    psnr_drop: float | None
    psnr: float
    is_enough: bool


def quantise(
    source: Path,
    target: Path,
    folders: Sequence[Path],
    *,
    max_drop: float = MAX_DROP,
    max_pixels: int | None = None,
) -> QuantisationReport:
    """Write the fp32 model file `source` to `target` in 8-bit integers.

    Puts the layers that lose the most back into float until the loss is small enough.

    Args:
        folders: pictures of the kind that the model is for. Some are used for calibration, others for measurement.
        max_drop: largest loss of PSNR in dB on Y if there is a truth. For upscaling the pictures themselves are the
            truth. Without a truth, the PSNR to the results of the fp32 file must be at least `MIN_PSNR`.
        max_pixels: see `samples.of_pictures`.

    Raises:
        ModelError: `source` cannot be used.
        DataError: there are no usable pictures.
        ExportError: nothing can be quantised, the loss is too large, or the file is not faster on this machine;
            nothing is written.
    """
    card = model_files.float_card(source)
    calibration, test = _drawn(folders, card, max_pixels)
    session = samples.session(source)
    expected = samples.results(session, test)
    best_psnr_y = None if test[0].truth is None else samples.mean_psnr_y(expected, test, card.scale)

    def assess(data: bytes) -> _Quality:
        found = samples.results(samples.session(data), test)
        psnr = samples.psnr_between(found, expected)
        if best_psnr_y is None:
            return _Quality(None, psnr, psnr >= MIN_PSNR)
        drop = best_psnr_y - samples.mean_psnr_y(found, test, card.scale)
        return _Quality(drop, psnr, drop <= max_drop)

    quantiser = _Quantiser(source, card, calibration)
    float_layers: list[str] = []
    data = quantiser.model(float_layers)
    quality = assess(data)
    if not quality.is_enough:
        ranked = quantiser.ranked(test[:RANKING_SAMPLES], expected[:RANKING_SAMPLES])
        # Bisection over the number of layers in float: `too_few` of them are not enough, `enough` of them are.
        too_few, enough = 0, len(ranked)
        while enough - too_few > 1:
            count = (too_few + enough) // 2
            if assess(quantiser.model(ranked[:count])).is_enough:
                enough = count
            else:
                too_few = count
        float_layers = ranked[:enough]
        if enough < len(ranked):
            data = quantiser.model(float_layers)
            quality = assess(data)
    if not quality.is_enough:
        raise ExportError(_too_lossy(source, quality, max_drop), path=source)
    fp32_seconds, int8_seconds = samples.seconds_per_megapixel([session, samples.session(data)], card, rounds=5)
    if int8_seconds >= fp32_seconds:
        raise ExportError(
            f"{source}: int8 is not faster on this machine ({int8_seconds:.3g} CPU-s per megapixel, fp32"
            f" {fp32_seconds:.3g}); nothing written, keep the fp32 file",
            path=source,
        )
    names = tuple(dict.fromkeys(folder.resolve().name for folder in folders))
    report = QuantisationReport(
        quality.psnr_drop,
        quality.psnr,
        (fp32_seconds, int8_seconds),
        (len(quantiser.inner) - len(float_layers), len(quantiser.convolutions)),
        names,
        _command(card, names, None if quality.psnr_drop is None else max_drop),
    )
    # The metrics of the fp32 file do not apply to this one.
    calibrated_on = tuple(f"{name} (ranges of int8)" for name in names if name not in card.trained_on)
    card = dataclasses.replace(
        card, precision="int8", metrics={"int8": report.figures()}, trained_on=(*card.trained_on, *calibrated_on)
    )
    content = model_files.serialise(onnx.load_from_string(data), card)
    with atomic(target) as file:
        file.write(content)
    return report


def _drawn(folders: Sequence[Path], card: Card, max_pixels: int | None) -> tuple[list[Sample], list[Sample]]:
    """Samples for calibration and for testing. If there are too few, the two overlap."""
    drawn = samples.of_pictures(folders, card, CALIBRATION_SAMPLES + TEST_SAMPLES, max_pixels=max_pixels)
    every = max(len(drawn) // TEST_SAMPLES, 2)
    test = drawn[::every][:TEST_SAMPLES]
    calibration = [sample for place, sample in enumerate(drawn) if place % every]
    return calibration or drawn, test


def _too_lossy(source: Path, quality: _Quality, max_drop: float) -> str:
    if quality.psnr_drop is not None:
        loss = f"loses {quality.psnr_drop:.2f} dB (--max-drop {max_drop:g} is allowed)"
    else:
        loss = f"has a PSNR of only {quality.psnr:.1f} dB to the fp32 file ({MIN_PSNR:g} dB is needed)"
    return f"{source}: int8 {loss}, whichever layers stay in float; nothing written"


def _command(card: Card, folders: Sequence[str], max_drop: float | None) -> str:
    words = ["img2img", "export", card.name, "--precision", "int8"]
    for name in folders:
        words += ["--calibrate", name]
    if max_drop is not None:
        words += ["--max-drop", f"{max_drop:g}"]
    return shlex.join(words)


class _Quantiser:
    """Computes the ranges of a model's activations once, and makes quantised models with them.

    Attributes:
        convolutions: names of all convolutions.
        inner: names of those that may be quantised.
    """

    def __init__(self, source: Path, card: Card, calibration: Sequence[Sample]) -> None:
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import TensorsData
        from onnxruntime.quantization.shape_inference import quant_pre_process

        with tempfile.TemporaryDirectory() as folder, _quiet():
            plain, prepared = Path(folder) / "plain.onnx", Path(folder) / "prepared.onnx"
            onnx.save(model_files.load(source), plain)
            # Symbolic shape inference fails on sides that are computed in the graph, and is not needed here.
            quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
            self.prepared = split_prelu(onnx.load(prepared))
            for place, node in enumerate(self.prepared.graph.node):
                node.name = node.name or f"node_{place}"
            self.convolutions = [node.name for node in self.prepared.graph.node if node.op_type == "Conv"]
            outer = outer_convolutions(self.prepared.graph)
            self.inner = [name for name in self.convolutions if name not in outer]
            if not self.inner:
                raise ExportError(
                    f"{source}: has no convolutions to quantise between the first and the last", path=source
                )
            quantised = [node for node in self.prepared.graph.node if node.op_type in QUANTISED]
            names = dict.fromkeys(tensor for node in quantised for tensor in (node.input[0], node.output[0]))
            # Pure black and white are rare in photos but fill drawings. If they were clipped, they would turn grey.
            found = activation_ranges.calibrate(self.prepared, list(names), calibration, extreme=samples.flat(card))
            self.ranges: Any = TensorsData(CalibrationMethod.MinMax, found)

    def model(self, float_layers: Collection[str]) -> bytes:
        """The model with all of `inner` quantised except `float_layers`."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        copied = onnx.ModelProto()
        copied.CopyFrom(self.prepared)
        excluded = [name for name in self.convolutions if name not in self.inner or name in float_layers]
        with _quiet():
            quantizer = QDQQuantizer(
                copied,
                per_channel=True,
                reduce_range=False,  # the full range suits VNNI, whose sums do not saturate
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=self.ranges,
                nodes_to_quantize=[],
                nodes_to_exclude=excluded,
                op_types_to_quantize=list(QUANTISED),
                extra_options={},
            )
            quantizer.quantize_model()
        return bytes(quantizer.model.model.SerializeToString())

    def ranked(self, test: Sequence[Sample], expected: Sequence[NDArray[np.float32]]) -> list[str]:
        """`inner`, sorted from the largest loss to the smallest.

        The loss of a layer is measured on a model in which only this layer is quantised.
        """
        psnr = {}
        for name in self.inner:
            session = samples.session(self.model([other for other in self.inner if other != name]))
            psnr[name] = samples.psnr_between(samples.results(session, test), expected)
        return sorted(psnr, key=lambda name: psnr[name])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence onnxruntime's quantiser, which logs trivia through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
