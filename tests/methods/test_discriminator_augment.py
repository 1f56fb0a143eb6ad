"""`discriminator_augment` in every adversarial method: what discriminators see, exact resume, and its absence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from torch import Tensor, nn

from img2img import methods
from img2img.errors import ConfigError
from img2img.methods.config import RunConfig
from img2img.methods.method import Method

ALL = ["color", "translation", "cutout"]
PATCHES = {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "none"}}
UNET = {"name": "unet", "options": {"features": 4, "downs": 3}}
COMMON: dict[str, Any] = {"batch": 2, "steps": 4, "log_every": 1, "validate_every": 4, "checkpoint_every": 2}
UPSCALING: dict[str, Any] = {
    "stage": "adversarial",
    "scale": 2,
    "generator": {"name": "compact", "options": {"features": 4, "convs": 1}},
    "perceptual": {"weight": 0.0},
}
TRANSLATING: dict[str, Any] = {"generator": UNET}
STARGAN: dict[str, Any] = {
    "batch": 4,
    "generator": {"name": "stargan", "options": {"features": 4, "blocks": 1}},
    "adversarial": {"name": "lsgan", "discriminator_steps": 1},
}
INPAINTING: dict[str, Any] = {"generator": {"name": "gated", "options": {"features": 4}}}
CASES = {
    "srgan": (trials.photos, UPSCALING),
    "esrgan": (trials.photos, UPSCALING),
    "real-esrgan": (trials.photos, UPSCALING),
    "pix2pix": (trials.paired, TRANSLATING),
    "cyclegan": (trials.domains, TRANSLATING),
    "stargan": (trials.domains, STARGAN),
    "inpaint": (trials.photos, INPAINTING),
    "context-encoder": (trials.photos, INPAINTING),
}


def settings(name: str, folder: Path, **changes: Any) -> tuple[type[Method], RunConfig]:
    make, values = CASES[name]
    data = make(folder / "data") if not (folder / "data").exists() else folder / "data"
    folders = [str(data / side) for side in ("red", "green")] if name == "cyclegan" else [str(data)]
    values = {
        **COMMON,
        "method": name,
        "data": {"folders": folders, "crop": 32},
        "discriminator": PATCHES,
        "discriminator_augment": ALL,
        **values,
        **changes,
    }
    method = methods.find(name)
    return method, method.recipe.parse(method.recipe.with_defaults(values), where="test")


@pytest.mark.parametrize("name", CASES)
def test_every_adversarial_method_augments(name: str, tmp_path: Path) -> None:
    found = {}
    for kinds in (ALL, []):
        method, config = settings(name, tmp_path, discriminator_augment=kinds)
        lines = trials.train_steps(method, config, tmp_path / str(len(kinds)), 1)
        found[len(kinds)] = {key: value for key, value in lines[0].items() if isinstance(value, float)}
        assert all(np.isfinite(value) for value in found[len(kinds)].values())
    (key, *_) = (key for key in found[0] if key.startswith("discriminator"))
    assert found[0][key] != found[3][key], "the discriminator saw other pictures"


def seen(method: Method) -> Iterator[Tensor]:
    """The inputs of the first convolution of the discriminator, in one step."""
    inputs: list[Tensor] = []
    first = next(one for one in method.networks["discriminator"].modules() if isinstance(one, nn.Conv2d))
    first.register_forward_pre_hook(lambda module, given: inputs.append(given[0].detach()))
    data = method.load()
    items = [data[i] for i in range(2)]
    step = method.step(method.networks, [{name: torch.stack([item[name] for item in items]) for name in items[0]}])
    while True:
        try:
            next(step)
        except StopIteration:
            return iter(inputs)


def test_condition_and_picture_of_pix2pix_move_together(tmp_path: Path) -> None:
    method, config = settings("pix2pix", tmp_path, discriminator_augment=["cutout"])
    for pictures in seen(method(config)):
        assert pictures.shape[1] == 6
        given, judged = (pictures[:, part].abs().amax(1) for part in (slice(0, 3), slice(3, 6)))
        hole = given == 0
        assert hole.any() and (judged[hole] == 0).all(), "both lack the same rectangle"


def test_the_generator_is_judged_by_augmented_pictures_too(tmp_path: Path) -> None:
    method, config = settings("pix2pix", tmp_path, discriminator_augment=["cutout"])
    views = list(seen(method(config)))
    assert len(views) == 3, "real and generated for the discriminator, generated for the generator"
    holes = [(view[:, :3].abs().amax(1) == 0) for view in views]
    assert not torch.equal(holes[0], holes[1]) and not torch.equal(holes[1], holes[2]), "each call draws anew"


def test_the_mask_of_inpainting_moves_with_its_picture(tmp_path: Path) -> None:
    method, config = settings("inpaint", tmp_path, discriminator_augment=["color", "cutout"])
    for pictures in seen(method(config)):
        assert set(pictures[:, 3].unique().tolist()) <= {0.0, 1.0}
        hole = pictures[:, :3].abs().amax(1) == 0
        assert hole.any() and (pictures[:, 3][hole] == 0).all()


def test_pictures_that_are_compared_one_by_one_are_augmented_alike(tmp_path: Path) -> None:
    changes = {"matching": {"weight": 1.0, "kind": "pairwise"}, "adversarial": {"name": "lsgan", "weight": 0.0}}
    method, config = settings("pix2pix", tmp_path, discriminator_augment=["cutout"], **changes)
    *_, real, fake = seen(method(config))
    assert torch.equal(real[:, :3], fake[:, :3])


@pytest.mark.parametrize("penalty", ["gradient", "r1"])
def test_gradient_penalties_work_with_augmentation(penalty: str, tmp_path: Path) -> None:
    adversarial = {"name": "non-saturating", "penalty": penalty}
    method, config = settings("pix2pix", tmp_path, adversarial=adversarial)
    (line,) = trials.train_steps(method, config, tmp_path / "run", 1)
    assert np.isfinite(line["penalty"]) and line["penalty"] > 0


def test_an_augmented_run_continues_exactly(tmp_path: Path) -> None:
    method, config = settings("pix2pix", tmp_path)
    trials.check_resume(method, config, tmp_path, stop=3)


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_a_run_with_an_adaptive_probability_continues_exactly(name: str, tmp_path: Path) -> None:
    # The threshold of a critic lies between real and generated pictures, so some real ones are always above it.
    changes: dict[str, Any] = {"adversarial": {"name": "wgan"}, "discriminator_augment_target": -0.9}
    method, config = settings(name, tmp_path, steps=8, checkpoint_every=4, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("img2img.objectives.adaptive.SPAN", 20)  # so that a few steps augment often
        trials.check_resume(method, config, tmp_path, stop=5)
    figures = [
        value for line in trials.log(tmp_path / "whole") for key, value in line.items() if key.startswith("augment")
    ]
    assert figures[0] == 0 and max(figures) >= 0.4


def test_a_target_without_augmentations_is_refused(tmp_path: Path) -> None:
    method, config = settings("pix2pix", tmp_path, discriminator_augment=[], discriminator_augment_target=0.6)
    with pytest.raises(ConfigError, match=r"discriminator_augment_target adapts augmentations, but .* is empty"):
        method(config)


def test_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"discriminator_augment.*'color', 'translation' or 'cutout'"):
        settings("pix2pix", tmp_path, discriminator_augment=["rotation"])
