"""Measures how well a model of ip-gan draws emoji that it has not seen, in the style of another emoji.

python examples/labels/compare_identities.py prepare emoji_styles/noto emoji_styles/blob ... --out DATA [--count 400]
python examples/labels/compare_identities.py measure DATA RUN [RUN ...] [--sheet FILE]

The identity is the emoji and the attributes are the style, so the true drawing exists. `prepare` makes a folder per
emoji in DATA/train, with a link for each style, and keeps every fifth emoji back in DATA/unseen. `measure` takes the
attributes from one unseen emoji in one style and the identity from another one in another style. It prints L1 to the
true drawing of the second emoji in the first style, beside that of two copies: the reference, and the picture with the
attributes.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import img2img
from img2img.training.sheets import contact_sheet

ROWS = 8
Pictures = dict[str, NDArray[np.uint8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    prepared = commands.add_parser("prepare")
    prepared.add_argument("styles", type=Path, nargs="+", help="one folder per style, same name = same emoji")
    prepared.add_argument("--out", type=Path, required=True)
    prepared.add_argument("--count", type=int, default=400, help="emoji, evenly spread")
    prepared.set_defaults(call=lambda options: prepare(options.styles, options.out, options.count))
    measured = commands.add_parser("measure")
    measured.add_argument("data", type=Path)
    measured.add_argument("runs", type=Path, nargs="+")
    measured.add_argument("--sheet", type=Path)
    measured.set_defaults(call=lambda options: measure(options.data, options.runs, options.sheet))
    options = parser.parse_args()
    options.call(options)


def prepare(styles: list[Path], out: Path, count: int) -> None:
    names = sorted(path.name for path in styles[0].iterdir())
    for number, name in enumerate(names[:: max(1, len(names) // count)]):
        place = out / ("unseen" if number % 5 == 0 else "train") / Path(name).stem
        place.mkdir(parents=True, exist_ok=True)
        for style in styles:
            link = place / f"{style.name}{Path(name).suffix}"
            if not link.exists():
                link.symlink_to((style / name).absolute())


def measure(data: Path, runs: list[Path], sheet: Path | None) -> None:
    """Print a row for each of `runs` and the two copies. The sheet shows the first cases."""
    emoji = [{path.stem: path for path in sorted(place.iterdir())} for place in sorted((data / "unseen").iterdir())]
    models = {run.name: img2img.load(run) for run in runs}
    side = next(iter(models.values())).card.side or 128
    pairs = list(itertools.pairwise(emoji))
    errors: dict[str, list[float]] = {}
    shown: list[Pictures] = []
    for number, (one, other) in enumerate(pairs):
        styles = list(one)
        style, another = (styles[(number + shift) % len(styles)] for shift in (0, 1))
        row = {
            name: read_on_white(path, side) for name, path in (("attributes", one[style]), ("identity", other[another]))
        }
        for name, model in models.items():
            picture, reference = (Image.fromarray(row[way]) for way in ("attributes", "identity"))
            row[name] = np.asarray(model.run(picture, reference=reference).convert("RGB"))
        truth = read_on_white(other[style], side)
        for name, result in row.items():
            errors.setdefault(name, []).append(float(np.abs(result.astype(int) - truth).mean() / 255))
        shown.append({**row, "truth": truth})
    print("| | L1 to the true drawing |\n|---|---|")
    for name, found in errors.items():
        print(f"| {'the ' + name + ', copied' if name not in models else f'`{name}`'} | {np.mean(found):.3f} |")
    if sheet is not None:
        chosen = shown[:: max(1, len(shown) // ROWS)][:ROWS]
        contact_sheet(list(chosen[0]), [list(row.values()) for row in chosen]).save(sheet)


def read_on_white(path: Path, side: int) -> NDArray[np.uint8]:
    """Read a picture on white and make it `side` pixels high and wide."""
    with Image.open(path) as picture:
        rgba = picture.convert("RGBA").resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))


if __name__ == "__main__":
    main()
