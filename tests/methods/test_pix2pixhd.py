"""pix2pixHD on tiny street scenes: both stages, instance maps, features of objects, and the exported model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from PIL import Image

from img2img.data.check import check
from img2img.errors import CheckpointError, ConfigError, DataError
from img2img.methods.pix2pixhd import Config, Enhancer, Pix2PixHD
from img2img.runtime.network.card import METADATA_KEY, Card
from img2img.training import start

PALETTE = [0, 0, 0, 250, 10, 10, 10, 10, 250]
FEATURES = {
    "features": 2,
    "encoder": {"name": "feature-encoder", "options": {"features": 4, "downs": 1, "clusters": 3}},
}


def scene(seed: int, folder: Path, *, instances: bool) -> None:
    """Two touching boxes of class 1 and one of class 2. Every box has a colour of its own in the picture."""
    rng = np.random.default_rng(seed)
    classes, numbers = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint16)
    picture = np.full((40, 40, 3), 128, np.uint8)
    top, left = rng.integers(2, 12, 2)
    for i, (box, value) in enumerate((((0, 0), 1), ((0, 10), 1), ((14, 4), 2))):
        where = np.s_[top + box[0] : top + box[0] + 10, left + box[1] : left + box[1] + 10]
        classes[where], numbers[where] = value, 1000 + i
        picture[where] = rng.integers(0, 256, 3)
    labels = Image.fromarray(classes, "P")
    labels.putpalette(PALETTE)
    for side, image in (("A", labels), ("B", Image.fromarray(picture))):
        (folder / side).mkdir(parents=True, exist_ok=True)
        image.save(folder / side / f"{seed}.png")
    if instances:
        (folder / "inst").mkdir(exist_ok=True)
        Image.fromarray(numbers).save(folder / "inst" / f"{seed}.png")


def scenes(folder: Path, *, instances: bool = True) -> Path:
    for seed in range(8):
        scene(seed, folder, instances=instances)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("scenes"))


def config(folder: Path, **changes: Any) -> Config:
    values = {
        "data": {"folders": [str(folder)], "load": 36, "crop": 32, **changes.pop("data", {})},
        "generator": {"name": "pix2pixhd", "options": {"features": 4, "downs": 1, "blocks": 1}},
        "discriminator": {"name": "multi-scale", "options": {"features": 4, "layers": 1}},
        "perceptual": {"weight": 0.0},
        "batch": 2,
        "steps": 6,
        "log_every": 3,
        "validate_every": 6,
        "checkpoint_every": 3,
    }
    return Config.parse(Config.with_defaults({**values, **changes}), where="test")


def enhancer(data: Path, run: Path, **changes: Any) -> Config:
    """Settings as `train pix2pixhd --stage enhancer --start RUN` has them: the networks follow those of the run."""
    values = {**config(data).model_dump(mode="json"), "stage": "enhancer", "start": str(run), **changes}
    for name in ("generator", "discriminator", "encoder", "edges", "features"):
        if name not in changes:
            del values[name]
    return Config.parse(Config.with_defaults(values), where="test")


@pytest.fixture(scope="module")
def global_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("global")
    trials.train_to_end(Pix2PixHD, config(data, **FEATURES), folder / "run")
    return folder / "run"


def batch_of(method: Pix2PixHD) -> dict[str, torch.Tensor]:
    items = [method.load()[place] for place in range(2)]
    return {name: torch.stack([item[name] for item in items]) for name in ("input", "target")}


def test_a_stopped_run_with_instances_and_features_continues_exactly(data: Path, tmp_path: Path) -> None:
    run = trials.check_resume(Pix2PixHD, config(data, **FEATURES), tmp_path, stop=4)
    figures = trials.log(run)[-1]["validation"]
    assert figures["l1"] != figures["l1_trained"] and figures["samples_apart"] >= 0
    saved = trials.weights(run)
    assert saved["encoder.ema/clusters.centres"].abs().max() > 0
    assert torch.equal(saved["encoder.ema/clusters.centres"], saved["encoder/clusters.centres"])


def test_an_enhancer_continues_exactly_and_first_moves_only_its_own_layers(
    data: Path, global_run: Path, tmp_path: Path
) -> None:
    settings = enhancer(data, global_run, fixed_global=0.5, ema=0.0, checkpoint_every=1, keep=10, validate_every=1)
    trials.check_resume(Pix2PixHD, settings, tmp_path, stop=4)

    def weights(step: int) -> dict[str, torch.Tensor]:
        return start.read(tmp_path / "whole" / "checkpoints" / f"step-{step:08}")["generator"]

    first, still, moved = weights(1), weights(3), weights(6)
    inner = [key for key in first if key.startswith("model.")]
    local = [key for key in first if key.startswith("model1")]
    given = start.read(global_run)["generator.ema"]
    assert inner and local and all(torch.equal(given[key], still[key]) for key in inner)
    assert not any(torch.equal(first[key], still[key]) for key in local if key.endswith("1.weight"))
    assert any(not torch.equal(still[key], moved[key]) for key in inner)


def test_an_enhancer_has_the_sizes_of_its_run(data: Path, global_run: Path) -> None:
    settings = enhancer(data, global_run)
    assert isinstance(settings, Enhancer)
    assert settings.generator.name == "pix2pixhd-enhancer"
    assert settings.generator.options == {"features": 2, "downs": 1, "blocks": 1}
    assert settings.discriminator.options == {"features": 4, "layers": 1, "scales": 3}
    assert settings.features == 2


def test_the_coarser_scales_of_the_discriminator_come_from_the_run(data: Path, global_run: Path) -> None:
    method = Pix2PixHD(enhancer(data, global_run))
    notes = start.load(global_run, method)
    assert any("discriminator gets finer scales" in note for note in notes)
    ours, theirs = method.networks["discriminator"].state_dict(), start.read(global_run)["discriminator"]
    assert set(ours) - set(theirs) == {key for key in ours if key.startswith("scale2")}
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_the_losses_are_those_of_the_paper(data: Path) -> None:
    method = Pix2PixHD(config(data))
    batch = batch_of(method)
    nets = method.networks
    found = dict(method.step(nets, [batch]))
    classes = torch.nn.functional.one_hot(batch["input"][:, 0].long(), 3).permute(0, 3, 1, 2).float()
    numbers = (batch["input"][:, 1].long() * 256 + batch["input"][:, 2].long()).numpy()
    edges = np.zeros(numbers.shape, np.float32)
    for n, y, x in np.ndindex(*numbers.shape):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            if 0 <= y + dy < 32 and 0 <= x + dx < 32 and numbers[n, y, x] != numbers[n, y + dy, x + dx]:
                edges[n, y, x] = 1
    labels = torch.cat((classes, torch.from_numpy(edges)[:, None]), 1)
    truth = batch["target"].float() / 127.5 - 1
    with torch.no_grad():
        result = nets["generator"](labels)
        real, fake = (nets["discriminator"].features(torch.cat((labels, one), 1)) for one in (truth, result))
    adversarial = sum(float(((scale[-1] - 1) ** 2).mean()) for scale in fake)
    matching = 0.0
    for theirs, ours in zip(real, fake, strict=True):
        for a, b in zip(theirs[:-1], ours[:-1], strict=True):
            matching += 10 * 0.5 * 4 / 2 * float((a - b).abs().mean())
    assert found["generator"].item() == pytest.approx(adversarial + matching, rel=1e-4)
    discriminator = sum(float(((scale[-1] - 1) ** 2).mean()) for scale in real)
    discriminator += sum(float((scale[-1] ** 2).mean()) for scale in fake)
    assert found["discriminator"].item() == pytest.approx(discriminator / 2, rel=1e-4)


def test_the_exported_model_takes_a_label_map_and_a_code(data: Path, tmp_path: Path) -> None:
    method = Pix2PixHD(config(data, **FEATURES))
    method.load()
    method.validate(method.networks)
    session = trials.export(method, tmp_path)[""]
    card = Card.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY], where="model")
    assert card.latent == {"length": 3, "distribution": "normal"}
    image = np.zeros((1, 3, 16, 24), np.float32)
    image[:, :, :8, 8:] = np.array([250, 10, 10], np.float32)[:, None, None] / 255
    few, many = (session.run(None, {"image": image, "latent": np.full((1, 3), z, np.float32)})[0] for z in (-2, 2))
    assert few.shape == image.shape and not np.array_equal(few, many)


def test_without_instance_maps_edges_are_those_of_classes_in_training_and_export_alike(tmp_path: Path) -> None:
    method = Pix2PixHD(config(scenes(tmp_path, instances=False), **FEATURES))
    assert not method.data.instances
    figures = method.validate(method.networks).figures
    assert "l1_trained" in figures  # features of the truth
    plain = Pix2PixHD(config(tmp_path))
    batch = batch_of(plain)
    (model,) = plain.models(plain.networks)
    assert plain.channels.palette is not None
    colours = plain.channels.palette.astype(np.float32)[batch["input"][:, 0].numpy()].transpose(0, 3, 1, 2) / 255
    with torch.no_grad():
        expected = plain.networks["generator"].eval()(plain._labels(batch["input"]))
        assert torch.allclose(model.network(torch.from_numpy(colours)), (expected + 1) / 2, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"edges": False},
        {"data": {"instances": None}},
        {"data": {"input": "picture", "instances": None}},
        {"generator": {"name": "unet", "options": {"features": 4}}},
        {"discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1}}},
        {"discriminator_augment": ["color", "translation"], "precision": "bf16", **FEATURES},
        {"accumulate": 2, "objectives": {"l1": 1.0}},
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(changes: dict[str, Any], data: Path, tmp_path: Path) -> None:
    lines = trials.train_steps(Pix2PixHD, config(data, log_every=1, **changes), tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)


def test_an_enhancer_without_a_run_is_refused(data: Path) -> None:
    settings = Config.parse(Config.with_defaults({"data": {"folders": [str(data)]}, "stage": "enhancer"}), where="test")
    with pytest.raises(ConfigError, match="run of the global stage: name it with --start RUN"):
        Pix2PixHD(settings)


def test_an_enhancer_around_another_generator_is_refused(data: Path, global_run: Path) -> None:
    other = {"name": "pix2pixhd-enhancer", "options": {"features": 4, "downs": 1, "blocks": 1}}
    method = Pix2PixHD(enhancer(data, global_run, generator=other))
    with pytest.raises(CheckpointError, match="a global generator of N features needs an enhancer of N / 2"):
        start.load(global_run, method)
    with pytest.raises(ConfigError, match="generator 'unet' is none; use pix2pixhd-enhancer"):
        Pix2PixHD(enhancer(data, global_run, generator={"name": "unet", "options": {"features": 4}}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 3, "data": {"input": "picture", "instances": None}}, "features = 3 needs label maps"),
        ({**FEATURES, "encoder": {"name": "pix2pixhd"}}, "encoder.name = pix2pixhd finds no features"),
        ({"perceptual": {"weight": 1.0, "weights": "/missing.pth"}}, "no such file of VGG19 weights"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any], message: str, data: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        Pix2PixHD(config(data, **changes)).load()


def test_missing_instance_maps_are_refused_and_found_by_the_check(tmp_path: Path) -> None:
    settings = config(scenes(tmp_path))
    (tmp_path / "inst" / "3.png").unlink()
    message = r"1 of 8 pairs have no instance map \(3\); add them, or set data.instances = none"
    with pytest.raises(DataError, match=message):
        Pix2PixHD(settings)
    assert not check(settings.data).trainable


def test_instance_maps_of_another_size_are_refused(tmp_path: Path) -> None:
    settings = config(scenes(tmp_path))
    Image.new("L", (20, 40)).save(tmp_path / "inst" / "3.png")
    with pytest.raises(DataError, match=r"3.png: 20 x 40 pixels, but its label map .*3.png has 40 x 40"):
        Pix2PixHD(settings)


def test_instance_maps_of_pictures_are_refused(data: Path) -> None:
    with pytest.raises(DataError, match=r"instance maps need label maps.*data\.instances = none"):
        Pix2PixHD(config(data, data={"input": "picture"}))


def test_instance_maps_of_both_parts_are_found_in_subfolders_or_a_folder_of_their_own(tmp_path: Path) -> None:
    for part in ("train", "test"):
        scenes(tmp_path / "all" / part)
        for side in "AB":
            (tmp_path / "pairs" / f"{part}{side}").parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "all" / part / side).rename(tmp_path / "pairs" / f"{part}{side}")
        (tmp_path / "maps").mkdir(exist_ok=True)
        (tmp_path / "all" / part / "inst").rename(tmp_path / "maps" / part)
    method = Pix2PixHD(config(tmp_path / "pairs", data={"instances": str(tmp_path / "maps")}))
    assert method.data.instances and method.load()[0]["input"].shape == (3, 32, 32)
