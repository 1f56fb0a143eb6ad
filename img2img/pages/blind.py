"""The page of `img2img compare --blind`: two pictures without names, and a vote for one of them or for neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from img2img.atomic import atomic
from img2img.pages import page
from img2img.pages.embedded import Store
from img2img.text import count_of

FORMAT = "img2img-votes"
"""The value of `format` in a file of votes."""


@dataclass(frozen=True)
class Trial:
    """One choice.

    Attributes:
        a, b: numbers of the two pictures in the store.
        input: number of the input.
        size: width and height of both.
        key: which sides they are, sealed.
    """

    a: int
    b: int
    input: int
    size: tuple[int, int]
    key: str


def write(file: Path, salt: str, trials: Sequence[Trial], store: Store) -> None:
    """Write the page. The votes that it saves have the `salt` and the keys of their trials.

    Raises:
        PictureError: the file cannot be written.
    """
    data = {
        "format": FORMAT,
        "salt": salt,
        "trials": [{"a": one.a, "b": one.b, "input": one.input, "size": one.size, "key": one.key} for one in trials],
    }
    html = page.build(
        "Which picture is better?",
        _body(len(trials)),
        styles=("stage.css", "blind.css"),
        scripts=("payload.js", "stage.js", "blind.js"),
        data=data,
    )
    with atomic(file) as stream:
        store.write(html, page.END, stream)


def _body(count: int) -> str:
    return f"""<main>
<div class="row head"><h1>Which picture is better?</h1>
<span class="quiet" id="place" aria-live="polite"></span>
<progress id="progress" max="{count}" value="0" aria-label="Answered"></progress></div>
<p class="quiet">{count_of(count, "choice")}. Zoom and move as you like: all pictures follow. Your answers stay in
this page until you save them.</p>
<div id="stage" class="stage">
<div class="pane"><div class="layer" id="a"></div><span class="tag left">A</span></div>
<div class="pane" id="input-pane" hidden><div class="layer" id="input"></div><span class="tag left">input</span></div>
<div class="pane"><div class="layer" id="b"></div><span class="tag left">B</span></div>
</div>
<div class="row votes" role="group" aria-label="Your answer">
<button type="button" data-vote="A">A is better</button>
<button type="button" data-vote="tie">No difference</button>
<button type="button" data-vote="B">B is better</button>
</div>
<div class="row">
<button type="button" id="back">Back</button>
<button type="button" id="forward">Next</button>
<button type="button" id="show-input" aria-pressed="false">Show input</button>
<button type="button" id="zoom">Zoom <span id="level"></span></button>
<button type="button" id="whole">Whole picture</button>
<button type="button" class="main" id="save" disabled>Save answers</button>
<span class="quiet" id="message" role="status"></span>
</div>
<p class="quiet">Keys: <kbd>a</kbd> or <kbd>1</kbd> A, <kbd>b</kbd> or <kbd>2</kbd> B, <kbd>t</kbd> or <kbd>3</kbd> no
difference, <kbd>←</kbd> <kbd>→</kbd> back and next, <kbd>i</kbd> input, <kbd>z</kbd> zoom,
<kbd>0</kbd> whole picture.</p>
</main>"""
