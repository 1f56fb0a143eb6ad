"""`img2img export RUN -o model.onnx`: export a trained network, or convert a model file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2img.cli import console, options, trainer
from img2img.errors import UsageError
from img2img.runtime.network.usage import usage

if TYPE_CHECKING:
    from img2img.training.export import ExportedFile

MAX_DROP = 0.1
"""In dB. Equals `exchange.quantise.MAX_DROP`, which is slow to import."""


class Precision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Storage(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"


class NormMode(StrEnum):
    PAPER = "paper"
    RUNNING = "running"


class Format(StrEnum):
    ONNX = "onnx"
    PTH = "pth"
    SAFETENSORS = "safetensors"


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Run folder, checkpoint folder, or model file (a path or an installed name).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write. [default: model.onnx, model.int8.onnx, model.pth ...]",
        ),
    ] = None,
    precision: Annotated[
        Precision, typer.Option("--precision", "-p", help="int8 for CPUs, fp16 for CUDA.")
    ] = Precision.FP32,
    storage: Annotated[
        Storage,
        typer.Option(help="fp16: store the weights with 16 bits and compute in fp32. Halves the file, same speed."),
    ] = Storage.FP32,
    to: Annotated[
        Format,
        typer.Option(help="onnx: model file. pth, safetensors: weights in the official layout."),
    ] = Format.ONNX,
    norm_mode: Annotated[
        NormMode | None,
        typer.Option(
            help="Batch norm statistics: of each picture (paper) or of training (running). "
            "[default: the better one on the run's held-out pictures]"
        ),
    ] = None,
    dropout: Annotated[
        bool, typer.Option("--dropout", help="Keep dropout on, as in the pix2pix paper: every result differs.")
    ] = False,
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="Pictures like those that the model is for, to calibrate int8 and to test what has fewer bits. "
            "[default: the run's own, if they suit the model]",
        ),
    ] = None,
    max_pixels: options.MaxPixels = None,
    max_drop: Annotated[
        float, typer.Option(min=0, metavar="DB", help="Maximum PSNR loss for int8 upscalers.")
    ] = MAX_DROP,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name in the card. [default: as trained]")
    ] = None,
) -> None:
    """Export a trained network as a verified model file, or as weights for other programs.

    \b
    img2img export runs/esrgan -o mine.onnx                   the best checkpoint
    img2img export runs/esrgan/checkpoints/step-00005000      another checkpoint
    img2img export mine.onnx --precision int8 --calibrate photos/ -o mine.int8.onnx
    img2img export mine.onnx --storage fp16 -o small.onnx
    img2img export runs/pix2pix --to pth -o latest_net_G.pth

    The file is compared with the network, or with the fp32 file, on pictures. It is written only if it passes; int8
    must also be faster on this machine.
    """
    file = _target(output, to, precision)
    place = Path(source)
    if to is not Format.ONNX:
        _refuse(
            f"--to {to} cannot be combined with",
            {
                "--precision": precision is not Precision.FP32,
                "--storage": storage is not Storage.FP32,
                "--norm-mode": norm_mode is not None,
                "--dropout": dropout,
                "--calibrate": bool(calibrate),
                "--name": name is not None,
            },
        )
    from_model = is_model(source)
    if from_model:
        _refuse(
            f"{source} is a model file, which cannot be combined with",
            {"--to": to is not Format.ONNX, "--norm-mode": norm_mode is not None, "--dropout": dropout},
        )
    if storage is not Storage.FP32 and precision is not Precision.FP32:
        raise UsageError(f"--storage {storage} is for fp32 files: omit it, or --precision {precision}")
    if dropout and (precision is not Precision.FP32 or storage is not Storage.FP32):
        wrong = "--storage" if precision is Precision.FP32 else "--precision"
        raise UsageError(f"--dropout: results that differ every time cannot be compared; omit {wrong}")
    for folder in calibrate or ():
        if not folder.is_dir():
            raise UsageError(f"--calibrate {folder}: there is no such folder")
    trainer.need_training_packages()
    from img2img.runtime.network import models
    from img2img.training import export as run

    if to is not Format.ONNX:
        for path in run.weights(place, file):
            console.say(f"wrote {path}")
        return
    pictures = tuple(calibrate or ())
    mode: Any = None if norm_mode is None else norm_mode.value
    options = run.ExportOptions(precision.value, mode, dropout, pictures, max_drop, name, storage.value, max_pixels)
    if from_model:
        written = [run.from_model(models.find(source), file, options)]
    else:
        written = run.from_run(place, file, options, console.say)
    _show(written)
    for one in written:
        console.say(f"wrote {one.path}; use it with")
        console.say(f"  {usage(one.path, one.card)}")


def is_model(source: str) -> bool:
    """Return whether `source` is a model file or the name of an installed model, and not a run."""
    place = Path(source)
    return not place.is_dir() and (place.suffix == ".onnx" or place.name == source)


def _target(output: Path | None, to: Format, precision: Precision) -> Path:
    endings = {Format.ONNX: (".onnx",), Format.PTH: (".pth", ".pt", ".ckpt"), Format.SAFETENSORS: (".safetensors",)}[to]
    middle = "" if precision is Precision.FP32 else f".{precision}"
    file = output or Path(f"model{middle}{endings[0]}")
    if file.suffix.lower() not in endings:
        raise UsageError(f"--output {file}: use a name that ends in {' or '.join(endings)}")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"--output {file}: there is no folder {file.absolute().parent}")
    return file


def _refuse(why: str, given: dict[str, bool]) -> None:
    if wrong := [option for option, is_given in given.items() if is_given]:
        raise UsageError(f"{why} {', '.join(wrong)}")


def _show(written: list[ExportedFile]) -> None:
    """Print the checks of each file on stderr."""
    from rich.console import Console
    from rich.table import Table

    for one in written:
        table = Table("check", "result", title=console.plain(one.path.name), title_justify="left", title_style="bold")
        for what, found in _rows(one):
            table.add_row(*map(console.plain, (what, found)))
        Console(stderr=True, highlight=False).print(table)


def _rows(one: ExportedFile) -> list[tuple[str, str]]:
    rows = []
    if one.proof:
        sizes = ", ".join(_size(*size) for size in one.proof.sizes)
        rows += [
            ("compared at", sizes),
            ("largest difference to the network", f"{one.proof.largest:.2g} (values 0..1)"),
            ("mean difference", f"{one.proof.mean:.2g}"),
        ]
    context = one.card.context
    rows.append(("context", "the whole picture" if context is None else f"{context} pixels around"))
    figures = {} if one.reduced is None else one.reduced.figures()
    labels = {
        "psnr_y_drop": "PSNR loss on Y, dB",
        "psnr_to_fp32": "PSNR to the fp32 file, dB",
        "largest": "largest difference to the fp32 file",
        "psnr_to_fp32_flat": "PSNR to the fp32 file, worst flat picture, dB",
        "psnr_fp32_stirred_flat": "the same, fp32 file with its input changed by 1e-4, dB",
        "calibrated_on": "calibrated and measured on",
        "layers": "convolutions in int8",
        "operators_in_fp32": "operators left in fp32",
        "seconds_per_megapixel": "CPU seconds per megapixel, one thread",
        "seconds_per_megapixel_fp32": "the same, fp32 file",
        "stored_with_16_bits": "tensors stored with 16 bits",
    }
    if one.seconds is not None:
        figures["seconds_per_megapixel"] = f"{one.seconds:.3g}"
    return rows + [(label, f"{figures[key]}") for key, label in labels.items() if key in figures]


def _size(count: int, height: int, width: int) -> str:
    return f"{width}x{height}" if count == 1 else f"{width}x{height} (x{count})"
