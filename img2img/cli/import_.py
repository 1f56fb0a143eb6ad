"""`img2img import FILE.pth -o model.onnx`: import third-party checkpoints."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from img2img.cli import console, trainer
from img2img.errors import UsageError
from img2img.runtime.network.usage import usage
from img2img.runtime.tasks.settings import Settings


class NormMode(StrEnum):
    paper = "paper"
    running = "running"


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights: .pth, .pt, .ckpt or .safetensors.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="MODEL", help="Model file to write. [default: FILE's name, in the current folder]"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name in the card. [default: FILE's name]")
    ] = None,
    domains: Annotated[
        str | None,
        typer.Option("--domains", metavar="A,B,C", help="StarGAN: names of the domains, in the order of training."),
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="StarGAN: a picture belongs to exactly one domain.")
    ] = False,
    norm_mode: Annotated[
        NormMode | None,
        typer.Option(
            "--norm-mode",
            help="Batch norm statistics: of each picture (paper) or of training (running). "
            "[default: as in the official test code]",
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", metavar="TEXT", help="Licence of the weights, for the card.")
    ] = "",
    assume: Annotated[
        list[str] | None,
        typer.Option(
            "--assume",
            metavar="KEY=VALUE",
            help="offset=N: its convolutions have no padding, so extend the picture by N pixels (waifu2x).",
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="NAME", help="The generator to import, if the file holds several, such as G_A."),
    ] = None,
) -> None:
    """Import third-party checkpoints: pix2pix, CycleGAN, pix2pixHD, StarGAN, ESRGAN, Real-ESRGAN, ...

    \b
    img2img import RealESRGAN_x4plus.pth -o real-x4.onnx
    img2img import latest_net_G_A.pth -o zebra.onnx
    img2img import 200000-G.ckpt --domains Black_Hair,Blond_Hair,Brown_Hair,Male,Young

    The network, its depth and its width are read from the file. Nothing in the file is executed. pip install
    'img2img[import]' adds about forty architectures, LaMa among them.
    """
    if file.suffix.lower() == ".onnx":
        raise UsageError(f"{file}: an ONNX file needs no import: use it with --model")
    output = output or Path(f"{file.stem}.onnx")
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"--output {output}: use a name that ends in .onnx")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
    names: tuple[str, ...] = ()
    if domains is not None:
        names = tuple(part.strip() for part in domains.split(","))
        if not all(names) or len(set(names)) < len(names):
            raise UsageError(f"--domains {domains}: use different names, separated by commas")
    trainer.need_training_packages()
    from img2img.exchange.importers import Options, import_file

    offset = _offset(assume or [])
    mode: Literal["paper", "running"] | None = norm_mode.value if norm_mode else None
    options = Options(
        name=name, norm_mode=mode, domains=names, exclusive=exclusive, licence=licence, part=part, offset=offset
    )
    done = import_file(file, output, options)
    for note in done.notes:
        console.say(note)
    card = done.card
    console.say(
        f"wrote {output}: {card.method}, x{card.scale}, {card.parameters:,} parameters; matches the network within"
        f" {done.verification.largest:.1g} at {len(done.verification.sizes)} sizes; use it with"
    )
    console.say(f"  {usage(output, card)}")


def _offset(assume: list[str]) -> int | None:
    """The offset in the values of --assume."""
    from img2img.runtime.network.adapter import Assumptions

    pairs = Settings(assume=tuple(assume)).assumed()
    if strange := [key for key in pairs if key != "offset"]:
        raise UsageError(f"--assume {strange[0]}: import reads this from the file; it only takes offset=N")
    return Assumptions.parse(pairs).offset
