"""Votes of a user study: sealed on the page, counted with an interval."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from img2img.errors import DataError
from img2img.evaluation.comparison import blind, votes
from img2img.evaluation.comparison.blind import Pair, Shown
from img2img.evaluation.comparison.votes import Vote

CASES = [Shown(f"{n}.png", (8, 6), {"ours": 3 * n, "theirs": 3 * n + 1, "input": 3 * n + 2}) for n in range(20)]


@pytest.mark.parametrize(
    ("wins", "count", "low", "high"),
    [
        # By hand, with z = 1.96: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
        (8, 10, 0.4902, 0.9433),  # (0.8 + 0.19207 ± 1.96 sqrt(0.016 + 0.0096037)) / 1.38415
        (50, 100, 0.4038, 0.5962),  # (0.5 + 0.019207 ± 1.96 sqrt(0.0025 + 0.000096037)) / 1.038415
        (0, 10, 0.0, 0.2775),  # z² / (n + z²) = 3.84146 / 13.84146
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),  # 1 / (1 + z²)
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_is_the_one_of_wilson(wins: int, count: int, low: float, high: float) -> None:
    assert votes.wilson(wins, count) == pytest.approx((low, high), abs=5e-5)


def test_a_tally_counts_wins_losses_and_ties_of_each_side() -> None:
    one, other = Pair("p", "ours", "theirs"), Pair("q", "theirs", "ours")
    tally = votes.tally([Vote(one, "A"), Vote(one, "A"), Vote(other, "A"), Vote(other, "B"), Vote(one, "tie")])
    ours, theirs = tally.sides["ours"], tally.sides["theirs"]
    assert (ours.wins, ours.losses, ours.ties) == (3, 1, 1)
    assert (theirs.wins, theirs.losses, theirs.ties) == (1, 3, 1)
    assert ours.share == 0.75 and (ours.low, ours.high) == votes.wilson(3, 4)
    assert (tally.first.wins, tally.first.losses) == (3, 1)
    assert tally.count == 5


def test_a_side_without_any_decision_has_no_share() -> None:
    tally = votes.tally([Vote(Pair("p", "a", "b"), "tie")])
    assert math.isnan(tally.sides["a"].share) and (tally.sides["a"].low, tally.sides["a"].high) == (0, 1)


def test_three_sides_are_compared_in_pairs() -> None:
    tally = votes.tally(
        [Vote(Pair("p", "a", "b"), "A"), Vote(Pair("p", "b", "c"), "A"), Vote(Pair("p", "a", "c"), "B")]
    )
    assert {name: (one.wins, one.losses) for name, one in tally.sides.items()} == {
        "a": (1, 1),
        "b": (1, 1),
        "c": (1, 1),
    }
    assert set(tally.pairs) == {("a", "b"), ("a", "c"), ("b", "c")}


def test_a_study_shows_every_pair_once_in_an_order_that_the_seed_decides() -> None:
    made = blind.study(CASES, ["ours", "theirs"], seed=1)
    again, other = blind.study(CASES, ["ours", "theirs"], seed=1), blind.study(CASES, ["ours", "theirs"], seed=2)
    assert made == again and made.salt != other.salt
    pairs = [blind.unseal(trial.key, made.salt, place) for place, trial in enumerate(made.trials)]
    assert sorted(pair.picture for pair in pairs) == sorted(case.name for case in CASES)
    assert [pair.picture for pair in pairs] != [case.name for case in CASES]
    assert {pair.a for pair in pairs} == {"ours", "theirs"}  # each is sometimes the first
    for pair, trial in zip(pairs, made.trials, strict=True):
        numbers = next(case.numbers for case in CASES if case.name == pair.picture)
        assert (trial.a, trial.b) == (numbers[pair.a], numbers[pair.b])


def test_a_side_without_a_result_is_not_shown() -> None:
    cases = [Shown("a.png", (8, 6), {"ours": 0, "input": 1}), CASES[1]]
    assert len(blind.study(cases, ["ours", "theirs"], seed=0).trials) == 1


def test_keys_show_neither_names_nor_their_lengths() -> None:
    short, long = (blind.seal(Pair("p.png", name, "x"), "salt", 0) for name in ("a", "a-longer-name"))
    assert len(short) == len(long)
    assert blind.seal(Pair("p", "a", "b"), "salt", 0) != blind.seal(Pair("p", "a", "b"), "salt", 1)


@pytest.mark.parametrize("key", ["", "not base64!", "AAAA", blind.seal(Pair("p", "a", "b"), "other", 0)])
def test_a_damaged_key_is_refused(key: str) -> None:
    with pytest.raises(DataError, match="choice 1"):
        blind.unseal(key, "salt", 0)


def ballot(path: Path, **changes: Any) -> Path:
    """A file of votes; a value of `...` removes the key."""
    study = blind.study(CASES, ["ours", "theirs"], seed=0)
    answers = [{"trial": n, "key": one.key, "vote": "A", "seconds": 1} for n, one in enumerate(study.trials)]
    values = {"format": "img2img-votes", "version": 1, "salt": study.salt, "session": "1", "votes": answers} | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))
    return path


def test_a_file_of_votes_is_read(tmp_path: Path) -> None:
    read = votes.read(ballot(tmp_path / "a.json"))
    assert len(read.votes) == 20 and read.session == "1"
    assert all(vote.choice == "A" and set(vote.pair[1:]) == {"ours", "theirs"} for vote in read.votes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "no file of votes"),
        ({"version": 2}, "version is 2: install a newer"),
        ({"version": "1"}, "save the votes again"),
        ({"votes": []}, "no votes yet"),
        ({"salt": ...}, "salt, session or votes"),
        ({"votes": [{"trial": 0, "key": "x", "vote": "C"}]}, "is no vote"),
        ({"votes": [7]}, "is no vote"),
        ({"salt": "0"}, "key of choice 1 is damaged"),
    ],
)
def test_a_file_that_is_damaged_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"a\.json: .*{message}"):
        votes.read(ballot(tmp_path / "a.json", **changes))


def test_a_session_counts_once_with_its_most_complete_file(tmp_path: Path) -> None:
    whole = votes.read(ballot(tmp_path / "whole.json"))
    part = votes.read(
        ballot(tmp_path / "part.json", votes=json.loads((tmp_path / "whole.json").read_text())["votes"][:3])
    )
    kept, reasons = votes.without_repeats([part, whole])
    assert kept == [whole] and "part.json: the same session as" in reasons[0]
