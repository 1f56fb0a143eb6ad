"""How a method sees a data set: the role of each picture, a summary for the user, and what is wrong."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from img2img.data import folders, labelled, paired, unpaired
from img2img.data.domains import DomainData
from img2img.data.instances import find_instances
from img2img.data.jitter import JitterSection
from img2img.data.pairs import PairedData, Part
from img2img.data.unpaired import UnpairedData
from img2img.errors import DataError
from img2img.text import count_of

Level = Literal["error", "warning", "note"]
Split = Literal["train", "held out"]

FEW_PICTURES = 10
"""Fewer training pictures than this cause a warning."""


class Entry(NamedTuple):
    """A picture, its group in the data set ("input", "A", the name of a domain, ...) and whether it is held out."""

    group: str
    split: Split
    part: Part


class Finding(NamedTuple):
    """Something the user should know. Errors prevent training; `files` lists the files concerned."""

    level: Level
    text: str
    files: list[str]


@dataclass
class Plan:
    """The pictures of a data set by their role."""

    entries: list[Entry]
    summary: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def plan(data: Any) -> Plan:
    """Plan the data set of `data`, the data section of a method's configuration. Problems become findings.

    Looks only at names, except that label maps are recognised by their colours.
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
        rest = plan(data.model_copy(update={"missing": "skip"}))  # to find other problems too
        if any(finding.level == "error" for finding in rest.findings):
            return rest
        return Plan(rest.entries, rest.summary, [fault])
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
    groups = ("photos",) if data.derived else ("input", "target")
    entries = [
        Entry(group, split, part)
        for split, members in _splits(pairs.train, pairs.test)
        for pair in members
        for group, part in zip(groups, (pair.target,) if data.derived else (pair.input, pair.target), strict=True)
    ]
    palette = paired.label_palette(pairs, data)
    instances = find_instances(data, pairs)
    counts = f"{count_of(len(pairs.train), 'training pair')}, {len(pairs.test)} held out"
    summary = [counts, pairs.layout, *pairs.notes, paired.describe(data, palette)]
    summary += ["with instance maps"] if instances is not None else []
    summary.append(_crops(data, "pair"))
    return Plan(entries, summary, _warn_if_few({("pair", ""): len(pairs.train)}))


def _plan_unpaired(data: UnpairedData) -> Plan:
    found = unpaired.find_unpaired(data.folders, validation=data.validation)
    entries = [
        Entry(group, split, Part(named.path))
        for split, sides in _splits(found.train, found.held_out)
        for group, side in zip("AB", sides, strict=True)
        for named in side
    ]
    summary = [*unpaired.describe(found)]
    if truth := unpaired.pairs_by_name(*found.held_out, data.truth):
        summary.append(
            f"{count_of(len(truth), 'held-out picture')} with the same name in A and B: results are compared with this "
            "truth"
        )
    counts = {("picture", f" of {letter}"): len(side) for letter, side in zip("AB", found.train, strict=True)}
    return Plan(entries, [*summary, _crops(data, "picture")], _warn_if_few(counts))


def _plan_domains(data: DomainData) -> Plan:
    found = labelled.find(data)
    entries: list[Entry] = []
    findings: list[Finding] = []
    for label_set, block in zip(found.sets, labelled.column_slices(found), strict=True):
        columns = found.columns[block]
        for split, items in _splits(label_set.train, label_set.held_out):
            for item in items:
                group = columns[int(item.label.argmax())] if label_set.exclusive else label_set.name
                entries.append(Entry(group, split, Part(item.path)))
        counts = Counter(columns[place] for item in label_set.train for place in np.flatnonzero(item.label))
        findings += _warn_if_few({("picture", f" of {column}"): counts[column] for column in columns})
    return Plan(entries, [*labelled.describe(found), _crops(data, "picture")], findings)


def _plan_photos(data: Any) -> Plan:
    paths = folders.find(data.folders)
    held = folders.find(data.validation) if data.validation else []
    source = "held out: " + ", ".join(map(str, data.validation))
    if not held:
        paths, held = folders.hold_out(paths)
        source = "held out: the last twentieth of each folder"
    entries = [Entry("photos", split, Part(path)) for split, group in _splits(paths, held) for path in group]
    summary = [f"{count_of(len(paths), 'training photo')}, {len(held)} held out", source]
    return Plan(entries, [*summary, f"crops of {data.crop} x {data.crop} pixels at the photos' original size"])


def _splits(train: Any, held: Any) -> list[tuple[Split, Any]]:
    return [("train", train), ("held out", held)]


def _crops(data: JitterSection, what: str) -> str:
    centre = getattr(data, "centre", 0)
    first = f"the middle {centre} x {centre} pixels of each {what} are " if centre else f"each {what} is "
    if data.load == 0:
        how = f"{first}cropped at the original size to {data.crop} x {data.crop}"
    elif data.aspect == "squash":
        how = f"{first}resized to {data.load} x {data.load} and cropped to {data.crop} x {data.crop}"
    else:
        how = f"{first}resized to {data.load} pixels on the shorter side and cropped to {data.crop} x {data.crop}"
    return f"{how}{', half of them mirrored' if data.flip else ''}"


def _warn_if_few(counts: dict[tuple[str, str], int]) -> list[Finding]:
    return [
        Finding("warning", f"only {count_of(count, f'training {noun}')}{of}; the network will memorise them", [])
        for (noun, of), count in counts.items()
        if count < FEW_PICTURES
    ]
