"""How a method's settings see a data set: which picture is what, in words for a person, and what is wrong with it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from img2img.data import folders, labelled, paired, unpaired
from img2img.data.domains import DomainData
from img2img.data.jitter import JitterSection
from img2img.data.pairs import PairedData, Part
from img2img.data.unpaired import UnpairedData
from img2img.errors import DataError

Level = Literal["error", "warning", "note"]
Split = Literal["train", "held out"]

FEW = 10
"""So few pictures to train on are worth a warning."""


class Entry(NamedTuple):
    """A picture, its place in the data set ("input", "A", a domain's name, ...) and whether it is held out."""

    group: str
    split: Split
    part: Part


class Finding(NamedTuple):
    """Something to know. Errors stop a training; `files` are those concerned."""

    level: Level
    text: str
    files: list[str]


@dataclass
class Plan:
    """The pictures of a data set by their place in it."""

    entries: list[Entry]
    becomes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def plan(data: Any) -> Plan:
    """The pictures of the data set that `data`, a method's settings of its data, names. Looks at names only, save that
    label maps are recognised by their colours. What is wrong becomes a finding.
    """
    try:
        if isinstance(data, PairedData):
            return _plan_pairs(data)
        if isinstance(data, UnpairedData):
            return _plan_unpaired(data)
        if isinstance(data, DomainData):
            return _plan_domains(data)
        return _plan_photos(data)
    except DataError as error:
        fault = Finding("error", str(error), [])
    if getattr(data, "missing", None) == "fail":
        rest = plan(data.model_copy(update={"missing": "skip"}))  # to see what else there is
        if any(finding.level == "error" for finding in rest.findings):
            return rest
        return Plan(rest.entries, rest.becomes, [fault])
    there = [folder for folder in (*data.folders, *data.validation) if folder.is_dir()]
    found: list[Path] = []
    for folder in there:
        try:
            found += folders.find([folder])
        except DataError as error:
            if str(error) != fault.text:
                return Plan([], [], [fault, Finding("error", str(error), [])])
    return Plan([Entry("pictures", "train", Part(path)) for path in found], [], [fault])


def _plan_pairs(data: PairedData) -> Plan:
    pairs = paired.find(data)
    entries = [
        Entry(group, split, part)
        for split, members in _splits(pairs.train, pairs.test)
        for pair in members
        for group, part in (("input", pair.input), ("target", pair.target))
    ]
    palette = paired.label_palette(pairs, data)
    counts = f"{len(pairs.train)} pairs to train on, {len(pairs.test)} held out"
    becomes = [counts, pairs.layout, *pairs.notes, paired.said(data, palette), _crops(data, "pair")]
    return Plan(entries, becomes, _few({"pairs": len(pairs.train)}))


def _plan_unpaired(data: UnpairedData) -> Plan:
    found = unpaired.find_unpaired(data.folders, validation=data.validation)
    entries = [
        Entry(group, split, Part(named.path))
        for split, sides in _splits(found.train, found.held)
        for group, side in zip("AB", sides, strict=True)
        for named in side
    ]
    becomes = [*unpaired.said(found)]
    if truth := unpaired.same_things(*found.held, data.truth):
        becomes.append(f"{len(truth)} held-out pictures have one name in A and B: results are compared with that truth")
    counts = {f"pictures of {letter}": len(side) for letter, side in zip("AB", found.train, strict=True)}
    return Plan(entries, [*becomes, _crops(data, "picture")], _few(counts))


def _plan_domains(data: DomainData) -> Plan:
    found = labelled.find(data)
    entries: list[Entry] = []
    findings: list[Finding] = []
    for one, block in zip(found.sets, labelled.columns_of(found), strict=True):
        columns = found.columns[block]
        for split, items in _splits(one.train, one.held):
            for item in items:
                group = columns[int(item.label.argmax())] if one.exclusive else one.name
                entries.append(Entry(group, split, Part(item.path)))
        counts = Counter(columns[place] for item in one.train for place in np.flatnonzero(item.label))
        findings += _few({f"pictures of {column}": counts[column] for column in columns})
    return Plan(entries, [*labelled.said(found), _crops(data, "picture")], findings)


def _plan_photos(data: Any) -> Plan:
    paths = folders.find(data.folders)
    held = folders.find(data.validation) if data.validation else []
    how = "held out: " + ", ".join(map(str, data.validation))
    if not held:
        paths, held = folders.hold_out(paths)
        how = "held out: the last twentieth of each folder"
    entries = [Entry("photos", split, Part(path)) for split, group in _splits(paths, held) for path in group]
    becomes = [f"{len(paths)} photos to train on, {len(held)} held out", how]
    return Plan(entries, [*becomes, f"crops of {data.crop} x {data.crop} pixels at the photos' own size"])


def _splits(train: Any, held: Any) -> list[tuple[Split, Any]]:
    return [("train", train), ("held out", held)]


def _crops(data: JitterSection, what: str) -> str:
    centre = getattr(data, "centre", 0)
    first = f"the middle {centre} x {centre} pixels of each {what}, " if centre else f"each {what} is "
    if data.load == 0:
        how = f"{first}cropped at its own size to {data.crop} x {data.crop}"
    elif data.aspect == "squash":
        how = f"{first}resized to {data.load} x {data.load} and cropped to {data.crop} x {data.crop}"
    else:
        how = f"{first}resized to {data.load} pixels on the shorter side and cropped to {data.crop} x {data.crop}"
    return f"{how}{', half of them mirrored' if data.flip else ''}"


def _few(counts: dict[str, int]) -> list[Finding]:
    return [
        Finding("warning", f"only {count} {what} to train on: it will be learnt by heart", [])
        for what, count in counts.items()
        if count < FEW
    ]
