"""Looks a data set over before it is trained on, and says what a method will make of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from img2img.data import facts
from img2img.data.facts import Facts
from img2img.data.jitter import JitterSection
from img2img.data.pairs import Part
from img2img.data.plan import Entry, Finding, Split, plan
from img2img.section import Section


@dataclass(frozen=True)
class Group:
    """Pictures of one place in the data set; sizes are `(width, height)`, by area."""

    name: str
    split: Split
    count: int
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    modes: dict[str, int]
    grey: int


@dataclass(frozen=True)
class Report:
    """What a check found. `becomes` says in sentences what the method will make of the data."""

    becomes: list[str]
    groups: list[Group]
    findings: list[Finding]

    @property
    def trainable(self) -> bool:
        return not any(finding.level == "error" for finding in self.findings)

    def record(self) -> dict[str, Any]:
        """Everything as plain values."""
        findings = [finding._asdict() for finding in self.findings]
        groups = [asdict(group) for group in self.groups]
        return {"trainable": self.trainable, "becomes": self.becomes, "groups": groups, "findings": findings}


def check(data: Section, progress: Callable[[int, int], None] = lambda done, all: None) -> Report:
    """Check the data set that `data`, a method's settings of its data, names.

    Every file is decoded. `progress(done, of)` is called after each.
    """
    found = plan(data)
    parts = list(dict.fromkeys(entry.part for entry in found.entries))
    total = len({part.path for part in parts})
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    known, broken = facts.examine(parts, tick)
    findings = list(found.findings)
    if broken:
        findings.append(Finding("error", f"{_pictures(len(broken))} not readable", list(broken.values())))
    seen = [(entry, known[entry.part]) for entry in found.entries if entry.part in known]
    groups = sorted({entry.group for entry, _ in seen})
    pairs = groups == ["input", "target"]
    if found.becomes:
        findings += _sizes(seen, data) + _kinds(seen)
        findings += _frames(found.entries, known) if pairs else []
        # An input may well be equal to its target; other pictures have no business being in two places.
        for names in [[group] for group in groups] if pairs else [groups]:
            one = [entry for entry in seen if entry[0].group in names]
            findings += _doubles(one, f"{names[0]}s" if pairs else "pictures")
    findings.sort(key=lambda finding: ("error", "warning", "note").index(finding.level))
    return Report(found.becomes, _groups(seen), findings)


Seen = Sequence[tuple[Entry, Facts]]


def _sizes(seen: Seen, data: Any) -> list[Finding]:
    crop = int(data.crop)
    if not isinstance(data, JitterSection):
        small = [one for entry, one in seen if entry.split == "train" and min(one.size) < crop]
        if not small:
            return []
        if len(small) == sum(entry.split == "train" for entry, _ in seen):
            return [Finding("error", f"every photo is smaller than the crop, data.crop = {crop}", _names(small))]
        text = f"{_pictures(len(small))} smaller than data.crop = {crop} and will be passed over"
        return [Finding("warning", text, _names(small))]
    cut = getattr(data, "centre", 0)
    sides = [(one, [min(side, cut or side) for side in one.size]) for _, one in seen]
    if data.load == 0:
        small = [one for one, size in sides if min(size) < crop]
        text = f"{_pictures(len(small))} smaller than data.crop = {crop}; set data.load"
        return [Finding("error", text, _names(small))] if small else []
    found: list[Finding] = []
    if tiny := [one for one, size in sides if 2 * min(size) < data.load]:
        text = f"{_pictures(len(tiny))} tiny, to be enlarged more than twice (to {data.load} pixels)"
        found.append(Finding("warning", text, _names(tiny)))
    if data.aspect == "squash" and (long := [one for one, size in sides if max(size) > 1.6 * min(size)]):
        text = f"{_pictures(len(long))} far from square and will be squashed (data.aspect = keep crops instead)"
        found.append(Finding("warning", text, _names(long)))
    return found


def _frames(entries: Sequence[Entry], known: Mapping[Part, Facts]) -> list[Finding]:
    """Pairs of two shapes, and side-by-side pictures without a middle. An input's entry stands before its target's."""
    odd: list[str] = []
    bent: list[str] = []
    for source, target in zip(entries[::2], entries[1::2], strict=True):
        a, b = known.get(source.part), known.get(target.part)
        if a is None or b is None:
            continue
        if a.part.half:
            odd += [str(a.part.path)] if a.size != b.size else []
        elif abs(a.size[0] * b.size[1] / (a.size[1] * b.size[0]) - 1) > 0.02:
            bent.append(b.name)
    found: list[Finding] = []
    if odd:
        found.append(Finding("error", f"{_pictures(len(odd))} of odd width, so without halves side by side", odd))
    if bent:
        text = f"{_pictures(len(bent))} of another shape than the input, to whose frame they will be stretched"
        found.append(Finding("warning", text, bent))
    return found


def _kinds(seen: Seen) -> list[Finding]:
    found: list[Finding] = []
    for word, level, text in (
        ("alpha", "note", "partly transparent and laid over white"),
        ("16-bit", "note", "of 16 bits, rounded to 8"),
        ("animated", "warning", "animated; the first frame is taken"),
    ):
        names = _names(dict.fromkeys(one.part.path for _, one in seen if word in one.mode.split()))
        if names:
            found.append(Finding(level, f"{_pictures(len(names))} {text}", names))  # type: ignore[arg-type]
    for group in dict.fromkeys(entry.group for entry, _ in seen):
        members = [one for entry, one in seen if entry.group == group]
        grey = [one for one in members if one.grey]
        # A group that is grey throughout, or for the most part, is meant so.
        if 0 < len(grey) < len(members) / 2:
            text = f"{_pictures(len(grey))} without colour, of {len(members)} of {group}"
            found.append(Finding("note", text, _names(grey)))
    return found


def _doubles(seen: Seen, what: str) -> list[Finding]:
    members = [one for _, one in seen]
    held = [entry.split == "held out" for entry, _ in seen]
    equal = [
        places
        for places in facts.same(members)
        if len({members[place].part for place in places}) > 1  # a file with two attributes is one file
    ]
    alike = [list(pair) for pair in facts.alike(members, held)]
    found: list[Finding] = []
    for lists, equals, leaking in (
        (equal, f"equal {what}", "among those trained on too, pixel for pixel"),
        (alike, f"{what} that look alike", "to the eye the same as one that is trained on"),
    ):
        leaks = [places for places in lists if len({held[place] for place in places}) == 2]
        if count := len({place for places in leaks for place in places if held[place]}):
            held_out = f"{count} held-out {what} are" if count > 1 else f"1 held-out {what.removesuffix('s')} is"
            text = f"{held_out} {leaking}: figures will flatter"
            found.append(Finding("warning", text, _sets(leaks, members)))
        rest = [places for places in lists if places not in leaks and not held[places[0]]]
        two = [places for places in rest if len({seen[place][0].group for place in places}) > 1]
        if two:
            found.append(Finding("warning", f"{len(two)} x {equals}, in two domains", _sets(two, members)))
        if more := [places for places in rest if places not in two]:
            found.append(Finding("note", f"{len(more)} x {equals} among those to train on", _sets(more, members)))
    return found


def _sets(lists: Iterable[Sequence[int]], members: Sequence[Facts]) -> list[str]:
    return [" = ".join(members[place].name for place in places) for places in lists]


def _groups(seen: Seen) -> list[Group]:
    found: list[Group] = []
    for name, split in dict.fromkeys((entry.group, entry.split) for entry, _ in seen):
        members = [one for entry, one in seen if (entry.group, entry.split) == (name, split)]
        sizes = sorted((one.size for one in members), key=lambda size: (size[0] * size[1], size))
        modes = dict(Counter(one.mode for one in members).most_common())
        grey = sum(one.grey for one in members)
        found.append(Group(name, split, len(members), sizes[0], sizes[len(sizes) // 2], sizes[-1], modes, grey))
    return found


def _names(those: Iterable[Facts | Path]) -> list[str]:
    return [one.name if isinstance(one, Facts) else str(one) for one in those]


def _pictures(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count} pictures are"
