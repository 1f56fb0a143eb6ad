"""`img2img blend A B --weight 0.7`: make a model between two others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from img2img.cli import console, trainer
from img2img.cli.export import is_model
from img2img.errors import UsageError
from img2img.runtime.network.usage import usage


def blend(
    a: Annotated[
        str,
        typer.Argument(metavar="A", help="Run folder, checkpoint folder, or model file (a path or an installed name)."),
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one with the same network.")],
    weight: Annotated[
        float, typer.Option("--weight", "-w", min=0, max=1, metavar="W", help="Share of B: 0 gives A, 1 gives B.")
    ] = 0.5,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL", help="Model file to write; replaces an existing file.")
    ] = Path("blend.onnx"),
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name in the card. [default: B's name with -blend]")
    ] = None,
) -> None:
    """Blend two models: every weight is (1 - W) * A + W * B (network interpolation, ESRGAN 2018).

    \b
    img2img blend runs/fidelity runs/esrgan --weight 0.7 -o mine.onnx
    img2img blend sharp.onnx soft.onnx -o between.onnx

    Usually A is a fidelity run, and B the adversarial run that started from it. Less of B gives fewer artefacts and
    less invented detail. A run folder stands for its best checkpoint; RUN/checkpoints/step-... names another one. Model
    files must be fp32 and have the same network.
    """
    if output.suffix.lower() != ".onnx":
        raise UsageError(f"--output {output}: use a name that ends in .onnx")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {output.absolute().parent}")
    trainer.need_training_packages()
    from img2img.runtime.network import models
    from img2img.training.blend import blend_any

    first, second = (models.find(one) if is_model(one) else Path(one) for one in (a, b))
    for model in blend_any(first, second, weight, output, console.say, name=name):
        console.say(f"wrote {model}: {1 - weight:.4g} of {a}, {weight:.4g} of {b}, checked; use it with")
        card = models.read_card(model)
        assert card is not None
        console.say(f"  {usage(model, card)}")
