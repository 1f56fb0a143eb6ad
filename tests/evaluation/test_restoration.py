"""Restorers are compared with their input, for each standard fault."""

from pathlib import Path

import numpy as np
import pytest
import trials

from img2img.data.folders import read_rgb
from img2img.data.jpeg_noise import STANDARD
from img2img.evaluation import restoration
from img2img.evaluation.metrics import luma, psnr
from img2img.evaluation.results import MAX_PSNR, Picture, means


def test_every_fault_is_measured_on_the_input_and_on_the_result(tmp_path: Path) -> None:
    paths = restoration.photos([trials.photos(tmp_path, count=3)], count=2)
    truths = [read_rgb(path) for path in paths]
    perfect = iter([truth for truth in truths for _ in STANDARD])
    cases = list(restoration.evaluate({"perfect": lambda poor: next(perfect)}, paths))
    assert [case.name for case in cases] == [path.stem for path in paths]
    assert set(cases[0].figures["input"]) == {"psnr_y", *(f"psnr_y_{fault}" for fault in STANDARD)}
    assert means(cases)["perfect"] == dict.fromkeys(cases[0].figures["input"], MAX_PSNR)
    poor = STANDARD["jpeg10"](truths[0], np.random.default_rng(0))
    expected = psnr(luma(poor), luma(truths[0]), border=1)
    assert cases[0].figures["input"]["psnr_y_jpeg10"] == pytest.approx(expected)


def test_a_photo_gets_the_same_noise_every_time_and_sheets_show_all_faults(tmp_path: Path) -> None:
    paths = restoration.photos([trials.photos(tmp_path, count=5)])
    seen: list[list[Picture]] = [[], []]
    for kept in seen:

        def restore(poor: Picture, kept: list[Picture] = kept) -> Picture:
            kept.append(poor)
            return poor

        cases = list(restoration.evaluate({"model": restore}, paths))
    assert len(seen[0]) == len(paths) * len(STANDARD)
    assert all(np.array_equal(a, b) for a, b in zip(*seen, strict=True))
    for place, case in enumerate(cases):
        shown = [np.array_equal(case.pictures["input"], one) for one in seen[0][5 * place : 5 * place + 5]]
        assert shown == [place == number for number in range(5)]
        assert list(case.pictures) == ["input", "model", "truth"]


def test_only_held_out_photos_are_measured_if_asked(tmp_path: Path) -> None:
    folder = trials.photos(tmp_path, count=40, size=8)
    assert len(restoration.photos([folder], held_out=True)) < len(restoration.photos([folder])) == 40
