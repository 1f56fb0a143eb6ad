"""The command lines that made the files of version 0.1.0. Paths are relative to the folder with these files."""

from pathlib import Path

FILES = Path(__file__).parent / "img2img-0.1.0"
"""Made by `make_010.py`."""

PLACEHOLDER = "/home/somebody/img2img-0.1.0"
"""The folder that the configurations of the runs name: 0.1.0 writes absolute paths."""

BATCHES = {
    "upscaled": "upscale photos -o upscaled/ -m models/upscaler.onnx",
    "options": (
        "upscale photos -r -o options/ -m models/upscaler.onnx"
        " --scale 3 --strength 0.75 --color-fix --format jpg --quality 80"
    ),
    "translated": "translate photos -o translated/ -m models/translator.onnx --background white",
    "styles": "translate photos -o styles/ -m models/styles.onnx --to all",
    "filled": "inpaint photos -o filled/ -m models/filler.onnx --mask masks --dilate 1 --feather 2",
}
"""Output folder to the command that fills it."""

_COMMON = " --device cpu --threads 1 --set batch=2 --set log_every=1 --set keep=1 --set ema=0.5 --set precision=fp32"

TRAIN = {
    "pix2pix": (
        "train pix2pix --data pairs --out runs/pix2pix --steps 2"
        " --set data.load=20 --set data.crop=16"
        " --set generator.options.features=2 --set generator.options.downs=2"
        " --set discriminator.options.features=2 --set discriminator.options.layers=1"
        " --set initialise=normal --set gain=0.1" + _COMMON
    ),
    "esrgan": (
        "train esrgan --data photos --out runs/esrgan --steps 2 --scale 2"
        " --set data.crop=16 --set generator.options.features=4"
        " --set generator.options.convs=1 --set generator.options.expand=8" + _COMMON
    ),
    "stargan": (
        "train stargan --data domains --out runs/stargan --steps 2"
        " --set data.crop=16 --set data.load=16"
        " --set generator.options.features=1 --set generator.options.blocks=1"
        " --set discriminator.options.features=2 --set discriminator.options.layers=2"
        " --set adversarial.discriminator_steps=1" + _COMMON
    ),
}
"""Run to the command that began it. Each stopped after its two steps."""

GO_ON = "train {method} --out runs/{method} --resume --steps 4 --device cpu --threads 1"
"""Continues a run."""


def move_run(run: Path, before: str, after: str) -> None:
    """Let the configuration of a run name its data below `after` and not below `before`."""
    config = run / "config.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(before, after), encoding="utf-8", newline="\n")
