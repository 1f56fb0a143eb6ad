"""`img2img evaluate MODEL --data FOLDER`"""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from img2img.cli import console
from img2img.errors import ModelError


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name or path of a super-resolution model.")],
    data: Annotated[
        list[Path],
        typer.Option("--data", "-d", metavar="FOLDER", help="Folder with NAME_HR and NAME_LR pictures, or any photos."),
    ],
    device: Annotated[str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, metavar="N", help="CPU threads. Default: all cores.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Write the means into the model's card (needs the training packages).")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON a picture, and one for the mean.")] = False,
) -> None:
    """Measure a super-resolution model as the papers do, against bicubic.

    PSNR and SSIM on Y (ITU-R BT.601), the border cropped by the scale. The low-resolution pictures are those of the
    folder (NAME_LR beside NAME_HR) or made by MATLAB's antialiased bicubic.
    """
    from img2img.evaluation import super_resolution as sr
    from img2img.runtime import session, tiling

    loaded = session.load(model, device=device, threads=threads)
    scale = loaded.card.scale
    if loaded.card.task != "upscale" or scale < 2:
        raise ModelError(f"{model}: a model to {loaded.card.task} at scale {scale}; evaluate measures super-resolution")
    measured: dict[str, dict[str, float | str]] = {}
    for folder in data:
        if not json:
            console.say(f"{loaded.name} on {folder}: PSNR (dB) and SSIM on Y, border {scale}")
            sys.stdout.write(_line("picture", "bicubic", "", loaded.name, "", "gain"))
        bicubic, ours = [], []
        for name, one, other in sr.evaluate(lambda low: tiling.run_tiled(loaded, low), folder, scale):
            bicubic.append(one)
            ours.append(other)
            _print(name, folder, one, other, json)
        means = sr.mean(ours)
        _print("mean", folder, sr.mean(bicubic), means, json)
        name = "/".join(folder.resolve().parts[-2:])
        command = f"img2img evaluate {loaded.name} --data {name}"
        measured[name] = {"psnr_y": round(means.psnr_y, 3), "ssim_y": round(means.ssim_y, 4), "command": command}
    if record:
        from img2img import exchange

        exchange.amend(loaded.path, metrics={**loaded.card.metrics, **measured})


def _print(name: str, folder: Path, bicubic: object, ours: object, json: bool) -> None:
    one, other = asdict(bicubic), asdict(ours)  # type: ignore[call-overload]
    if json:
        record = {"picture": name, "data": str(folder), **other, "bicubic": one}
        sys.stdout.write(jsonlib.dumps(record) + "\n")
    else:
        figures = [f"{s['psnr_y']:.2f}" if k == "p" else f"{s['ssim_y']:.4f}" for s in (one, other) for k in "ps"]
        sys.stdout.write(_line(name, *figures, f"{other['psnr_y'] - one['psnr_y']:+.2f}"))
    sys.stdout.flush()


def _line(name: str, *cells: str) -> str:
    widths = (8, 8, 12, 8, 7)
    padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"{name:<24}{'  '.join(padded)}\n"
