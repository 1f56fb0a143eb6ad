"""`validate_pictures` limits the held-out pictures that a validation uses, in every method."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trials

from img2img import methods
from img2img.methods import METHODS

TRANSLATION = {"load": 32, "crop": 32}
GENERATOR = {"options": {"features": 4, "blocks": 1}}
UNPAIRED = ("cyclegan", "dualgan", "discogan", "distancegan", "simgan", "cut", "fastcut", "unit", "munit")
OWN_NETWORK = ("unit", "munit")
CASES: dict[str, tuple[Callable[[Path], Path], dict[str, Any], Callable[[Any], int]]] = {
    "pix2pix": (
        lambda folder: trials.paired(folder, 160),
        {"data": TRANSLATION, "generator": {"name": "resnet", **GENERATOR}},
        lambda method: len(method.data.held_out),
    ),
    "pix2pixhd": (
        lambda folder: trials.paired(folder, 160),
        {"data": TRANSLATION, "generator": {"name": "resnet", **GENERATOR}, "perceptual": {"weight": 0}},
        lambda method: len(method.data.held_out),
    ),
    "pldt": (
        lambda folder: trials.paired(folder, 160),
        {"data": TRANSLATION, "generator": {"name": "resnet", **GENERATOR}},
        lambda method: len(method.data.held_out),
    ),
    "bicyclegan": (
        lambda folder: trials.paired(folder, 160),
        {
            "data": TRANSLATION,
            "generator": {"name": "resnet", **GENERATOR},
            "encoder": {"options": {"features": 4}},
            "discriminator": {"name": "patchgan"},
        },
        lambda method: len(method.data.held_out),
    ),
    **{
        name: (
            lambda folder: trials.domains(folder, ("A", "B"), 160),
            {
                "data": TRANSLATION,
                "generator": {"name": name if name in OWN_NETWORK else "resnet", **GENERATOR},
                "discriminator": {"name": "patchgan"},
            },
            lambda method: max(len(method.data.held_out_a), len(method.data.held_out_b)),
        )
        for name in UNPAIRED
    },
    "dtn": (
        lambda folder: trials.domains(folder, ("A", "B"), 160),
        {"data": TRANSLATION, "start": "missing"},
        lambda method: max(len(method.data.held_out_a), len(method.data.held_out_b)),
    ),
    "stargan": (
        lambda folder: trials.domains(folder, count=80),
        {"data": TRANSLATION, "generator": GENERATOR},
        lambda method: len(method.domain_validation.sources),
    ),
    **{
        name: (
            lambda folder: trials.domains(folder, count=80),
            {
                "data": TRANSLATION,
                "generator": {"options": {"features": 2}},
                "discriminator": {"options": {"features": 2}},
                "classifier": {"options": {"features": 2}},
            },
            lambda method: len(method.validation.inner.sources),
        )
        for name in ("cvae-gan", "fm-cgan")
    },
    "ip-gan": (
        lambda folder: trials.domains(folder, count=80),
        {"data": TRANSLATION, "stage": "identity", "identity": {"options": {"features": 2}}},
        lambda method: len(method.held_out),
    ),
    "inpaint": (lambda folder: trials.photos(folder, 80, 32), {"data": {"crop": 32}}, lambda one: len(one.held_out)),
    "context-encoder": (
        lambda folder: trials.photos(folder, 80, 32),
        {"data": {"crop": 32}},
        lambda one: len(one.held_out),
    ),
    **{
        name: (lambda folder: trials.photos(folder, 80), {"data": {"crop": 32}}, lambda one: len(one.validation))
        for name in ("esrgan", "srgan", "real-esrgan")
    },
}


def test_every_method_is_tested() -> None:
    assert CASES.keys() == set(METHODS)


@pytest.mark.parametrize("name", CASES)
def test_a_validation_uses_no_more_pictures_than_the_setting_says(name: str, tmp_path: Path) -> None:
    make, values, count = CASES[name]
    folder = make(tmp_path / "data")
    found = methods.find(name)

    def used(**changes: int) -> int:
        data = {**values["data"], "folders": [str(folder)]}
        config = found.recipe.parse(found.recipe.with_defaults({**values, "data": data, **changes}), where="test")
        method = found(config)
        method.load()
        return count(method)

    assert used() > 2 and used(validate_pictures=2) == 2 and used(validate_pictures=1) == 1
