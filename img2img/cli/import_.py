"""`img2img import FOREIGN.pth -o model.onnx`"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from img2img.cli import console, trainer
from img2img.errors import UsageError


class NormMode(StrEnum):
    paper = "paper"
    running = "running"


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights: .pth, .pt, .ckpt or .safetensors.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="MODEL", help="The .onnx file to write. Default: FILE's name, here."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name in the card. Default: FILE's, without ending.")
    ] = None,
    domains: Annotated[
        str | None,
        typer.Option("--domains", metavar="A,B,C", help="StarGAN: what its domains are called, in training's order."),
    ] = None,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="StarGAN: a picture is in exactly one of the domains.")
    ] = False,
    norm_mode: Annotated[
        NormMode | None,
        typer.Option(
            "--norm-mode",
            help="Batch norm with the statistics of each picture (paper) or of the training (running)."
            " Default: as the official test does.",
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option("--licence", metavar="TEXT", help="Licence of the weights, for the card.")
    ] = "",
) -> None:
    """Make a model file of somebody else's weights: pix2pix, CycleGAN, pix2pixHD, StarGAN, ESRGAN, Real-ESRGAN, ...

    \b
    img2img import RealESRGAN_x4plus.pth -o real-x4.onnx
    img2img import latest_net_G_A.pth -o zebra.onnx
    img2img import 200000-G.ckpt --domains Black_Hair,Blond_Hair,Brown_Hair,Male,Young

    Which network it is, how deep and how wide, is read off the file. Nothing in the file is executed. With
    pip install 'img2img[import]' some forty more architectures are known, LaMa among them.
    """
    output = output or Path(f"{file.stem}.onnx")
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"--output {output}: say a name that ends in .onnx")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
    names: tuple[str, ...] = ()
    if domains is not None:
        names = tuple(part.strip() for part in domains.split(","))
        if not all(names) or len(set(names)) < len(names):
            raise UsageError(f"--domains {domains}: say names that differ, with commas between them")
    trainer.need_training_packages()
    from img2img.exchange.importers import Options, import_file

    mode: Literal["paper", "running"] | None = norm_mode.value if norm_mode else None
    options = Options(name=name, norm_mode=mode, domains=names, exclusive=exclusive, licence=licence)
    done = import_file(file, output, options)
    for note in done.notes:
        console.say(note)
    card = done.card
    console.say(
        f"wrote {output}: {card.method}, x{card.scale}, {card.parameters:,} parameters; equal to the network within"
        f" {done.verification.largest:.1g} at {len(done.verification.sizes)} sizes; use it with"
    )
    console.say(f"  {trainer.usage(output, card)}")
