"""Checks a data set before training and describes what a method will make of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from img2img.data import facts, folders, odd, orientation
from img2img.data.facts import Facts
from img2img.data.jitter import JitterSection
from img2img.data.pairs import Pair, Part
from img2img.data.plan import Entry, Finding, Level, Split, plan
from img2img.section import Section
from img2img.text import count_of


@dataclass(frozen=True)
class Group:
    """Statistics of the pictures in one part of the data set. Sizes are `(width, height)`, ordered by area."""

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
    """The result of a check. `summary` describes in sentences what the method will make of the data."""

    summary: list[str]
    groups: list[Group]
    findings: list[Finding]
    odd: dict[Part, list[str]] = field(default_factory=dict)
    """What is odd about training pictures, for those that are, see `odd.of_files`. Not part of `record`."""

    @property
    def trainable(self) -> bool:
        return not any(finding.level == "error" for finding in self.findings)

    def record(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        findings = [finding._asdict() for finding in self.findings]
        groups = [asdict(group) for group in self.groups]
        # "becomes" stays the name of the summary, because scripts may read this JSON.
        return {"trainable": self.trainable, "becomes": self.summary, "groups": groups, "findings": findings}


def check(data: Section, progress: Callable[[int, int], None] = lambda done, all: None) -> Report:
    """Check the data set of `data`, the data section of a method's configuration.

    Decodes every file and calls `progress(done, total)` after each.
    """
    found, reading = plan(data), folders.Reading.of(data)
    parts = list(dict.fromkeys(entry.part for entry in found.entries))
    total = len({part.path for part in parts})
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    known, broken = facts.examine(parts, tick, reading=reading)
    findings = list(found.findings)
    if broken:
        findings.append(Finding("error", f"{_pictures(len(broken))} not readable", list(broken.values())))
    examined = [(entry, known[entry.part]) for entry in found.entries if entry.part in known]
    groups = sorted({entry.group for entry, _ in examined})
    pairs = groups == ["input", "target"]
    if found.summary:
        findings += _check_sizes(examined, data) + _check_kinds(examined)
        findings += _check_depth(examined, reading.white)
        findings += _check_frames(found.entries, known) if pairs else []
        # An input may equal its target. All other duplicates are worth reporting, also across groups.
        for names in [[group] for group in groups] if pairs else [groups]:
            members = [entry for entry in examined if entry[0].group in names]
            findings += _check_duplicates(members, f"{names[0]}s" if pairs else "pictures")
    findings.sort(key=lambda finding: ("error", "warning", "note").index(finding.level))
    training = [one for entry, one in examined if entry.split == "train"]
    return Report(found.summary, _groups(examined), findings, odd.of_files(training, int(getattr(data, "crop", 0))))


EntryFacts = Sequence[tuple[Entry, Facts]]


def _check_sizes(examined: EntryFacts, data: Any) -> list[Finding]:
    crop = int(data.crop)
    if not isinstance(data, JitterSection):
        small = [one for entry, one in examined if entry.split == "train" and min(one.size) < crop]
        if not small:
            return []
        if len(small) == sum(entry.split == "train" for entry, _ in examined):
            return [Finding("error", f"every photo is smaller than data.crop = {crop}", _names(small))]
        text = f"{_pictures(len(small))} smaller than data.crop = {crop} and will be skipped"
        return [Finding("warning", text, _names(small))]
    cut = getattr(data, "centre", 0)
    sides = [(one, [min(side, cut or side) for side in one.size]) for _, one in examined]
    if data.load == 0:
        small = [one for one, size in sides if min(size) < crop]
        text = f"{_pictures(len(small))} smaller than data.crop = {crop}; set data.load"
        return [Finding("error", text, _names(small))] if small else []
    found: list[Finding] = []
    if tiny := [one for one, size in sides if 2 * min(size) < data.load]:
        text = f"{_pictures(len(tiny))} tiny and will be enlarged more than twice (to {data.load} pixels)"
        found.append(Finding("warning", text, _names(tiny)))
    if data.aspect == "squash" and (long := [one for one, size in sides if max(size) > 1.6 * min(size)]):
        text = f"{_pictures(len(long))} far from square and will be distorted (data.aspect = keep crops them instead)"
        found.append(Finding("warning", text, _names(long)))
    return found


def _check_frames(entries: Sequence[Entry], known: Mapping[Part, Facts]) -> list[Finding]:
    """Find pairs of different shapes and side-by-side pictures of odd width. Entries alternate: input, target."""
    odd: list[str] = []
    stretched: list[str] = []
    for source, target in zip(entries[::2], entries[1::2], strict=True):
        a, b = known.get(source.part), known.get(target.part)
        if a is None or b is None:
            continue
        if a.part.half:
            odd += [str(a.part.path)] if a.size != b.size else []
        elif abs(a.size[0] * b.size[1] / (a.size[1] * b.size[0]) - 1) > 0.02:
            stretched.append(b.name)
    found: list[Finding] = []
    pairs = [Pair("", a.part, b.part) for a, b in zip(entries[::2], entries[1::2], strict=True)]
    if turned := orientation.turned_apart(pairs):
        found.append(Finding("warning", orientation.explain(len(turned)), turned))
    if odd:
        found.append(Finding("error", f"{_pictures(len(odd))} of odd width and cannot be split into two halves", odd))
    if stretched:
        text = f"{_pictures(len(stretched))} of another shape than the input and will be stretched to its shape"
        found.append(Finding("warning", text, stretched))
    return found


def _check_kinds(examined: EntryFacts) -> list[Finding]:
    found: list[Finding] = []
    kinds: list[tuple[str, Level, str]] = [
        ("alpha", "note", "partly transparent and will be composited over white"),
        ("16-bit", "note", "16-bit and will be rounded to 8 bits"),
        ("animated", "warning", "animated; only the first frame is used"),
    ]
    for word, level, text in kinds:
        names = _names(dict.fromkeys(one.part.path for _, one in examined if word in one.mode.split()))
        if names:
            found.append(Finding(level, f"{_pictures(len(names))} {text}", names))
    for group in dict.fromkeys(entry.group for entry, _ in examined):
        members = [one for entry, one in examined if entry.group == group]
        grey = [one for one in members if one.grey]
        # A group that is mostly grey is probably meant to be grey.
        if 0 < len(grey) < len(members) / 2:
            text = f"{_pictures(len(grey))} without colour, out of {len(members)} in {group}"
            found.append(Finding("note", text, _names(grey)))
    return found


def _check_depth(examined: EntryFacts, white: int | None) -> list[Finding]:
    """Find 16-bit pictures that use a small part of the range, and pictures that exceed `data.white`."""
    deep = {one.part.path: one.highest for _, one in examined if one.highest is not None}
    if white is not None:
        over = [path for path, highest in deep.items() if highest > white]
        text = f"{_pictures(len(over))} brighter than data.white = {white} and will be clipped"
        return [Finding("warning", text, _names(over))] if over else []
    used = folders.used_range([*deep.values()])
    if used is None:
        return []
    text = (
        f"{_pictures(len(deep))} 16-bit, but only values 0 to {used[0]} are used: nearly black. For pictures of "
        f"{used[1].bit_length()} bits, set data.white = {used[1]}"
    )
    return [Finding("warning", text, _names(deep))]


def _check_duplicates(examined: EntryFacts, what: str) -> list[Finding]:
    members = [one for _, one in examined]
    held = [entry.split == "held out" for entry, _ in examined]
    identical = [
        places
        for places in facts.identical(members)
        if len({members[place].part for place in places}) > 1  # a file with two attributes is listed twice
    ]
    similar = [list(pair) for pair in facts.similar(members, held)]
    found: list[Finding] = []
    for lists, duplicates, leaking in (
        (identical, f"identical {what}", "identical to training ones"),
        (similar, f"similar {what}", "nearly identical to training ones"),
    ):
        leaks = [places for places in lists if len({held[place] for place in places}) == 2]
        if count := len({place for places in leaks for place in places if held[place]}):
            held_out = f"{count} held-out {what} are" if count > 1 else f"1 held-out {what.removesuffix('s')} is"
            text = f"{held_out} {leaking}, so metrics will be too good"
            found.append(Finding("warning", text, _list_duplicates(leaks, members)))
        rest = [places for places in lists if places not in leaks and not held[places[0]]]
        two = [places for places in rest if len({examined[place][0].group for place in places}) > 1]
        if two:
            found.append(
                Finding("warning", f"{len(two)} x {duplicates} in two domains", _list_duplicates(two, members))
            )
        if more := [places for places in rest if places not in two]:
            found.append(
                Finding("note", f"{len(more)} x {duplicates} in the training set", _list_duplicates(more, members))
            )
    return found


def _list_duplicates(lists: Iterable[Sequence[int]], members: Sequence[Facts]) -> list[str]:
    return [" = ".join(members[place].name for place in places) for places in lists]


def _groups(examined: EntryFacts) -> list[Group]:
    found: list[Group] = []
    for name, split in dict.fromkeys((entry.group, entry.split) for entry, _ in examined):
        members = [one for entry, one in examined if (entry.group, entry.split) == (name, split)]
        sizes = sorted((one.size for one in members), key=lambda size: (size[0] * size[1], size))
        modes = dict(Counter(one.mode for one in members).most_common())
        grey = sum(one.grey for one in members)
        found.append(Group(name, split, len(members), sizes[0], sizes[len(sizes) // 2], sizes[-1], modes, grey))
    return found


def _names(items: Iterable[Facts | Path]) -> list[str]:
    return [item.name if isinstance(item, Facts) else str(item) for item in items]


def _pictures(count: int) -> str:
    return f"{count_of(count, 'picture')} {'is' if count == 1 else 'are'}"
