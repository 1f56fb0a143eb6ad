"""Optional parts of networks, chosen by settings: training runs, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from PIL import Image

from img2img import methods
from img2img.errors import ConfigError
from img2img.methods.config import RunConfig
from img2img.methods.labels import DiscriminatorWithClassifier
from img2img.methods.method import Method
from img2img.networks.patchgan import PatchGAN

PALETTE = [(0, 0, 0), (250, 10, 10), (10, 10, 250)]
COMMON: dict[str, Any] = {"steps": 4, "log_every": 1, "validate_every": 4, "checkpoint_every": 2, "seed": 0}
SPADE = {"name": "spade", "options": {"features": 2, "hidden": 4, "ups": 4}}
PATCHES = {"name": "patchgan", "options": {"features": 4, "layers": 2, "norm": "instance"}}


def parsed(name: str, data: list[Path], **changes: Any) -> tuple[type[Method], RunConfig]:
    method = methods.find(name)
    values = {**COMMON, "method": name, "data": {"folders": [str(one) for one in data], "crop": 32}, **changes}
    return method, method.recipe.parse(method.recipe.with_defaults(values), where="test")


@pytest.fixture(scope="module")
def label_maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps with a palette in `A/`, and pictures in other colours in `B/`."""
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(0)
    for side in "AB":
        (folder / side).mkdir()
    for i in range(6):
        classes = np.kron(rng.integers(0, 3, (4, 4)), np.ones((10, 10), int)).astype(np.uint8)
        labels = Image.fromarray(classes, "P")
        labels.putpalette([value for colour in PALETTE for value in colour])
        labels.save(folder / "A" / f"{i}.png")
        Image.fromarray(classes * 100).convert("RGB").save(folder / "B" / f"{i}.png")
    return folder


def test_spade_learns_from_label_maps_in_pix2pix_and_exports(label_maps: Path, tmp_path: Path) -> None:
    method, config = parsed("pix2pix", [label_maps], batch=2, generator=SPADE, discriminator=PATCHES)
    trials.check_resume(method, config, tmp_path, stop=3)
    session = trials.export(method(config), tmp_path)[""]
    image = np.zeros((1, 3, 48, 64), np.float32)
    image[:, :, :, 16:40] = np.array(PALETTE[1], np.float32)[None, :, None, None] / 255
    (result,) = session.run(["result"], {"image": image})
    assert result.shape == image.shape and result.min() >= 0 and result.max() <= 1


def test_the_crop_must_fit_spade(label_maps: Path) -> None:
    options = {"features": 2, "hidden": 4, "ups": 5}
    method, config = parsed("pix2pix", [label_maps], generator={"name": "spade", "options": options})
    with pytest.raises(ConfigError, match=r"data.crop = 32: spade needs at least 64 pixels"):
        method(config)


def test_attention_minibatch_and_layer_norm_train_in_pix2pix(tmp_path: Path) -> None:
    data = trials.paired(tmp_path / "data", size=32)
    method, config = parsed(
        "pix2pix",
        [data],
        batch=2,
        generator={"name": "resnet", "options": {"features": 8, "blocks": 1, "attention": True, "norm": "layer"}},
        discriminator={
            "name": "patchgan",
            "options": {"features": 8, "layers": 2, "attention": True, "minibatch": True, "norm": "layer"},
        },
        adversarial={"name": "non-saturating", "penalty": "r1"},
    )
    lines = trials.train_steps(method, config, tmp_path / "run", 2)
    assert all(np.isfinite(value) for line in lines for value in line.values() if isinstance(value, float))
    changed = [value for key, value in trials.weights(tmp_path / "run").items() if key.endswith("gamma")]
    assert len(changed) >= 2 and all(value != 0 for value in changed), "attention has begun to learn"


def ebgan(data: Path, **changes: Any) -> tuple[type[Method], RunConfig]:
    values: dict[str, Any] = {
        "batch": 4,
        "generator": {"name": "unet", "options": {"features": 4, "downs": 3}},
        "discriminator": {"name": "auto-encoder", "options": {"features": 4, "downs": 2}},
        "adversarial": {"name": "ebgan", "pulling_away": 0.1},
        **changes,
    }
    return parsed("pix2pix", [data], **values)


def test_the_pulling_away_term_is_part_of_the_generators_loss(tmp_path: Path) -> None:
    data = trials.paired(tmp_path / "data", size=32)
    found = {}
    for weight in (0.0, 0.1):
        method, config = ebgan(data, adversarial={"name": "ebgan", "pulling_away": weight})
        (found[weight],) = trials.train_steps(method, config, tmp_path / str(weight), 1)
    term = found[0.1]["pulling_away"]
    assert 0 < term <= 1 and "pulling_away" not in found[0.0]
    assert found[0.1]["loss"] - found[0.0]["loss"] == pytest.approx(0.1 * term, rel=1e-2)


def test_the_pulling_away_term_needs_an_auto_encoder_and_two_pictures(tmp_path: Path) -> None:
    data = trials.paired(tmp_path / "data", size=32, count=4)
    method, config = ebgan(data, batch=1)
    with pytest.raises(ConfigError, match=r"adversarial.pulling_away compares pictures, but batch = 1 in"):
        method(config)
    method, config = ebgan(data, discriminator=PATCHES, adversarial={"name": "lsgan", "pulling_away": 0.1})
    with pytest.raises(ConfigError, match=r"adversarial.pulling_away needs the codes of an auto-encoder"):
        method(config)


def stargan(tmp_path: Path, **options: Any) -> tuple[type[Method], RunConfig]:
    folder = tmp_path / "data"
    data = folder if folder.exists() else trials.domains(folder, size=32)
    return parsed(
        "stargan",
        [data],
        batch=4,
        generator={"name": "stargan", "options": {"features": 4, "blocks": 1}},
        discriminator={"name": "patchgan", "options": {**PATCHES["options"], **options}},  # type: ignore[dict-item]
        adversarial={"name": "lsgan", "discriminator_steps": 1},
    )


def test_a_patchgan_with_classes_classifies_domains_in_stargan(tmp_path: Path) -> None:
    method, config = stargan(tmp_path, classes=3, minibatch=True)
    built = method(config).networks["discriminator"]
    assert isinstance(built, PatchGAN)
    scores, logits = built(torch.rand(4, 3, 32, 32))
    assert scores.shape[:2] == (4, 1) and logits.shape == (4, 3)
    lines = trials.train_steps(method, config, tmp_path / "run", 2)
    assert all(np.isfinite(line["classification_real"]) for line in lines)


def test_without_classes_stargan_adds_a_separate_classifier(tmp_path: Path) -> None:
    method, config = stargan(tmp_path)
    assert isinstance(method(config).networks["discriminator"], DiscriminatorWithClassifier)


def test_the_number_of_classes_must_be_that_of_the_domains(tmp_path: Path) -> None:
    method, config = stargan(tmp_path, classes=2)
    with pytest.raises(ConfigError, match="network 'patchgan': classes = 2, but it must be 3 here"):
        method(config)


@pytest.mark.parametrize(("name", "option"), [("patchgan", "classes"), ("stargan-discriminator", "domains")])
def test_methods_without_domains_refuse_discriminators_that_classify(name: str, option: str, tmp_path: Path) -> None:
    data = trials.paired(tmp_path / "data", size=32, count=4)
    method, config = parsed("pix2pix", [data], discriminator={"name": name, "options": {option: 3}})
    with pytest.raises(ConfigError, match=f"network '{name}': {option} = 3, but this method has no domains"):
        method(config)
