"""`img2img compare --votes FILE...`: prints what the participants of a study prefer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from img2img.cli import console, figures
from img2img.errors import DataError, ExitStatus
from img2img.evaluation.comparison import votes
from img2img.evaluation.comparison.votes import Preference, Tally
from img2img.text import count_of, show

_COLUMNS = ("preferred", "95 % interval", "wins", "losses", "ties")


def report(files: Sequence[str], *, json: bool) -> ExitStatus:
    """Print the preferences. Files that are no votes are reported, and the others count.

    Raises:
        DataError: no file has votes.
    """
    ballots, problems = [], []
    for name in files:
        try:
            ballots.append(votes.read(Path(name)))
        except DataError as error:
            problems.append(str(error))
    ballots, repeats = votes.without_repeats(ballots)
    for problem in (*problems, *repeats):
        console.error(problem)
    counted = [vote for ballot in ballots for vote in ballot.votes]
    if not counted:
        raise DataError("there are no votes to report")
    tally = votes.tally(counted)
    pages = len({ballot.salt for ballot in ballots})
    if json:
        console.write_json(_record(tally, len(ballots), pages))
    else:
        _print(tally, len(ballots), pages)
    return ExitStatus.SOME_FAILED if problems or repeats else ExitStatus.OK


def _print(tally: Tally, sessions: int, pages: int) -> None:
    title = count_of(tally.count, "vote")
    figures.table(title, _COLUMNS, {show(name): _cells(one) for name, one in tally.sides.items()})
    if len(tally.sides) > 2:
        rows = {f"{show(one)} / {show(other)}": _cells(found) for (one, other), found in tally.pairs.items()}
        figures.table("first / second", _COLUMNS, rows)
    sys.stdout.flush()
    about = f"{count_of(sessions, 'session')}, {count_of(pages, 'page')}; ties do not count in shares"
    first = tally.first
    console.say(f"{about}; A was preferred in {first.share:.0%} ({first.low:.0%} to {first.high:.0%})")


def _cells(one: Preference) -> list[str]:
    share = "-" if not one.wins + one.losses else f"{one.share:.1%}"
    return [share, f"{one.low:.1%} to {one.high:.1%}", str(one.wins), str(one.losses), str(one.ties)]


def _record(tally: Tally, sessions: int, pages: int) -> dict[str, Any]:
    return {
        "votes": tally.count,
        "sessions": sessions,
        "pages": pages,
        "sides": {name: _values(one) for name, one in tally.sides.items()},
        "pairs": [{"first": one, "second": other, **_values(v)} for (one, other), v in tally.pairs.items()],
        "a": _values(tally.first),
    }


def _values(one: Preference) -> dict[str, Any]:
    known = {"wins": one.wins, "losses": one.losses, "ties": one.ties}
    return {"preferred": one.share, "low": one.low, "high": one.high, **known}
