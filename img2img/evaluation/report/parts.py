"""Parts of the HTML of reports: tables, lists and numbers."""

from collections.abc import Iterable, Sequence
from typing import Any

from img2img.pages.page import escape
from img2img.text import show


def text(value: object) -> str:
    """A text from outside as HTML, on one line."""
    return escape(show(value))


def section(title: str, inside: str, *, name: str = "") -> str:
    """A section with a heading; nothing if there is nothing inside."""
    mark = f' id="{name}"' if name else ""
    return f"<section{mark}>\n<h2>{escape(title)}</h2>\n{inside}\n</section>\n" if inside else ""


def items(lines: Iterable[str], *, kind: str = "") -> str:
    """A list of plain texts; nothing if there are none."""
    inside = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul{f' class={kind}' if kind else ''}>{inside}</ul>" if inside else ""


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of names with values, in HTML. Empty values are left out."""
    inside = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs if value)
    return f'<dl class="facts">{inside}</dl>' if inside else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), wide: int = -1) -> str:
    """A table of HTML cells. The first cell of a row is its heading. `numbers`, `wide`: columns of numbers, of prose.

    Empty if there are no rows.
    """
    if not rows:
        return ""

    def mark(place: int) -> str:
        return ' class="number"' if place in numbers else ' class="wide"' if place == wide else ""

    top = "".join(f'<th scope="col"{mark(place)}>{escape(name)}</th>' for place, name in enumerate(head))
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{mark(place)}>{cell}</td>" for place, cell in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(", ".join(head))}">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def picture(url: str, about: str) -> str:
    """A large picture that scrolls in its own area."""
    inside = f'<img class="sheet" src="{escape(url)}" alt="{escape(about)}">'
    return f'<div class="scroll view" tabindex="0" role="region" aria-label="{escape(about)}">{inside}</div>'


def odd_ones(found: Any) -> str:
    """A list of what is odd about training pictures: `items` of `folder.SEEN_NOTES`, which may be damaged."""
    lines = []
    for place, item in enumerate(found if isinstance(found, list) else [], 1):
        if isinstance(item, dict) and isinstance(item.get("odd"), list) and item["odd"]:
            files = item.get("files")
            names = ", ".join(map(str, files)) if isinstance(files, list) else ""
            lines.append(f"{place}: {'; '.join(map(str, item['odd']))}" + (f" ({names})" if names else ""))
    return items(lines, kind="warning")


def number(value: float | None) -> str:
    """A figure for people: four significant digits; a dash if there is none."""
    return "–" if value is None else f"{value:.4g}"


def size(count: int) -> str:
    """Bytes for people."""
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= one:
            return f"{count / one:.3g} {unit}"
    return f"{count} bytes"
