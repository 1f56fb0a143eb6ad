"""The page about a data set: what a check has found, and what the method sees."""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from img2img.evaluation.report import parts
from img2img.evaluation.report.parts import text
from img2img.pages import page

FILES = 20
"""Files listed under a finding."""


def build(method: str, sheet: Image.Image, items: Sequence[Mapping[str, Any]], checked: Mapping[str, Any]) -> str:
    """Return the HTML page.

    Args:
        sheet: training pictures as the method sees them.
        items: their files and what is odd about them, as in `folder.SEEN_NOTES`.
        checked: the record of the check (`data.check.Report.record`).
    """
    groups = [
        [
            text(group["name"]),
            text(group["split"]),
            f"{group['count']:,}",
            *("x".join(map(str, group[key])) for key in ("smallest", "median", "largest")),
            text(", ".join(f"{count} {mode}" for mode, count in group["modes"].items())),
        ]
        for group in checked["groups"]
    ]
    head = ["part", "split", "pictures", "smallest", "median", "largest", "kinds"]
    body = (
        f"<header><h1>Data for {text(method)}</h1>{parts.items(checked['becomes'])}</header>\n<main>\n"
        f"{parts.section('Findings', ''.join(map(_finding, checked['findings'])))}"
        f"{parts.section('Pictures', parts.table(head, groups, numbers=(2,)))}"
        f"{parts.section('What the method sees', _seen(sheet, items))}</main>"
    )
    return page.build(f"Data for {method}", body, styles=["report.css"])


def _seen(sheet: Image.Image, items: Sequence[Mapping[str, Any]]) -> str:
    url = page.picture_url(sheet, "webp", quality=90, method=4)
    words = "Training pictures after resizing, cropping and augmentation, odd ones first."
    return f'<p class="quiet">{words}</p>{parts.odd_ones(list(items))}{parts.picture(url, "What the method sees")}'


def _finding(finding: Mapping[str, Any]) -> str:
    level, files = finding["level"], finding["files"]
    kind = {"error": "bad", "warning": "warning"}.get(level, "quiet")
    more = [f"and {len(files) - FILES} more"] if len(files) > FILES else []
    return f'<p><strong class="{kind}">{text(level)}</strong>: {text(finding["text"])}</p>' + parts.items(
        [*files[:FILES], *more]
    )
