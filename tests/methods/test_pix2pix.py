"""pix2pix on tiny pairs: it learns, resumes exactly and exports, with every objective, generator and discriminator."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from PIL import Image

from img2img.errors import ConfigError
from img2img.methods.pix2pix import Config, Pix2Pix
from img2img.objectives import ADVERSARIAL
from img2img.runtime.network.card import METADATA_KEY, Card

PLAIN = {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "none"}}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.paired(tmp_path_factory.mktemp("pairs"))


def config(pairs: Path, **changes: Any) -> Config:
    values = {
        "data": {"folders": [str(pairs)], "load": 36, "crop": 32},
        "generator": {"name": "unet", "options": {"features": 4, "downs": 3}},
        "discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 2}},
        "batch": 2,
        "steps": 6,
        "log_every": 3,
        "validate_every": 6,
        "checkpoint_every": 3,
    }
    return Config.parse(Config.with_defaults({**values, **changes}), where="test")


def test_a_stopped_run_continues_exactly_and_ends_with_a_model(pairs: Path, tmp_path: Path) -> None:
    trials.check_resume(Pix2Pix, config(pairs), tmp_path, stop=4)
    session = trials.export(Pix2Pix(config(pairs)), tmp_path)[""]
    card = Card.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY], where="model")
    assert (card.task, card.scale, card.multiple, card.context) == ("translate", 1, 8, None)
    assert card.side == 32  # whole pictures are resized before they are cropped
    image = np.random.default_rng(0).random((1, 3, 16, 24), np.float32)
    (result,) = session.run(["result"], {"image": image})
    assert result.shape == image.shape and result.min() >= 0 and result.max() <= 1


def test_it_learns_to_fill_outlines(pairs: Path, tmp_path: Path) -> None:
    settings = config(
        pairs,
        steps=80,
        log_every=20,
        validate_every=40,
        batch=4,
        generator={"name": "unet", "options": {"features": 8, "downs": 3, "dropout": False}},
        optimiser={"rate": 2e-3, "betas": [0.5, 0.999]},
    )
    first, last = trials.train_to_end(Pix2Pix, settings, tmp_path / "run")
    assert last["l1"] < 0.2 and last["l1"] < first["l1"]
    assert Image.open(tmp_path / "run" / "samples" / "step-00000080.png").size[0] == 3 * 32 + 4 * 6


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_every_adversarial_objective_trains(name: str, pairs: Path, tmp_path: Path) -> None:
    discriminator: dict[str, Any] = {"name": "patchgan", "options": {"features": 4, "layers": 1, "norm": "instance"}}
    if name in ("ebgan", "began"):
        discriminator = {"name": "auto-encoder", "options": {"features": 4}}
    settings = config(pairs, adversarial={"name": name}, discriminator=discriminator, log_every=1)
    lines = trials.train_steps(Pix2Pix, settings, tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": {"name": "resnet", "options": {"features": 4, "blocks": 1}}},
        {"generator": {"name": "pix2pixhd", "options": {"features": 4, "downs": 2, "blocks": 1}}},
        {"discriminator": {"name": "pixelgan", "options": {"features": 4}}},
        {"discriminator": {"name": "multi-scale", "options": {"features": 4, "layers": 1}}},
        {"discriminator": {"name": "vgg-style", "options": {"features": 4}}},
        {"discriminator": {"name": "unet-discriminator", "options": {"features": 4}}},
        {"discriminator": {"name": "dcgan", "options": {"features": 4}}},
        {"discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 1}, "spectral": True}},
        {"conditional": False},
        {"matching": {"weight": 10.0}},
        {"matching": {"weight": 10.0, "kind": "mean"}, "adversarial": {"weight": 0.0}},
        {"adversarial": {"weight": 0.0}},
        {"adversarial": {"name": "wgan", "discriminator_steps": 3}},
        {"accumulate": 2},
        {"precision": "bf16"},
        {"precision": "bf16", "adversarial": {"name": "wgan-gp"}, "discriminator": PLAIN},
        {"precision": "bf16", "adversarial": {"name": "relativistic-average"}, "matching": {"weight": 1.0}},
        {"norm_mode": "running"},
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(changes: dict[str, Any], pairs: Path, tmp_path: Path) -> None:
    lines = trials.train_steps(Pix2Pix, config(pairs, **{"log_every": 1, **changes}), tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)


def test_weights_of_wgans_discriminator_stay_within_the_bound(pairs: Path, tmp_path: Path) -> None:
    trials.train_steps(
        Pix2Pix, config(pairs, adversarial={"name": "wgan", "options": {"clip": 0.005}}), tmp_path / "run"
    )
    discriminator = {k: v for k, v in trials.weights(tmp_path / "run").items() if k.startswith("discriminator/")}
    bounded = [v for k, v in discriminator.items() if k.endswith(("weight", "bias"))]
    assert bounded and all(v.abs().max() <= 0.005 for v in bounded)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adversarial": {"name": "wgan-gp"}}, "batch norm mixes the batch.*norm=instance"),
        ({"adversarial": {"name": "began"}}, "discriminator.name=auto-encoder"),
        ({"matching": {"weight": 1.0, "kind": "class-mean"}}, "needs classes, and pix2pix has none: use mean or pair"),
        ({"discriminator": {"name": "auto-encoder"}}, "must be ebgan or began"),
        ({"adversarial": {"weight": 0.0}, "objectives": {"l1": 0.0}}, "nothing to learn from"),
        ({"objectives": {"l3": 1.0}}, "unknown objective 'l3'; choose from l1"),
        ({"objectives": {"l1": -1.0}}, "must not be negative"),
        ({"generator": {"name": "unet", "options": {"inputs": 5}}}, "inputs = 5, but it must be 3 here"),
        ({"generator": {"name": "unet", "options": {"depth": 5}}}, "no option 'depth'; its options are inputs"),
        (
            {"generator": {"name": "unet", "options": {"downs": 6}}},
            r"a multiple of 64 \(64\), or a smaller generator\.options\.downs",
        ),
        ({"discriminator": {"name": "patchgan", "options": {"layers": 5}}}, "patchgan needs at least 96 pixels"),
        ({"perceptual": {"weight": 1.0, "weights": "/missing.pth"}}, "no such file of VGG19 weights"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused_before_training(
    changes: dict[str, Any], message: str, pairs: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        Pix2Pix(config(pairs, **changes))


def test_label_maps_become_one_hot_and_the_model_takes_pictures(tmp_path: Path) -> None:
    palette = [(0, 0, 0), (250, 10, 10), (10, 10, 250)]
    rng = np.random.default_rng(0)
    for i in range(6):
        (tmp_path / "data" / "A").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "B").mkdir(parents=True, exist_ok=True)
        classes = np.kron(rng.integers(0, 3, (4, 4)), np.ones((10, 10), int)).astype(np.uint8)
        labels = Image.fromarray(classes, "P")
        labels.putpalette([value for colour in palette for value in colour])
        labels.save(tmp_path / "data" / "A" / f"{i}.png")
        Image.fromarray(classes * 100).convert("RGB").save(tmp_path / "data" / "B" / f"{i}.png")
    settings = config(tmp_path / "data")
    method = Pix2Pix(settings)
    assert method.data.palette is not None and len(method.data.palette) == 3
    with pytest.raises(ConfigError, match="residual = true: a residual cannot be added to a label map"):
        Pix2Pix(config(tmp_path / "data", generator={"name": "unet", "options": {"features": 4, "residual": True}}))
    trials.train_steps(Pix2Pix, settings, tmp_path / "run", steps=1)
    session = trials.export(method, tmp_path)[""]
    image = np.zeros((1, 3, 16, 16), np.float32)
    image[:, 0, :, 8:] = 240 / 255  # about as far from (250, 10, 10) as after JPEG compression
    (result,) = session.run(["result"], {"image": image})
    exact = np.zeros((1, 3, 16, 16), np.float32)
    exact[:, :, :, 8:] = np.array([250, 10, 10], np.float32)[None, :, None, None] / 255
    assert np.array_equal(result, session.run(["result"], {"image": exact})[0])


def test_grey_pictures_in_and_out(pairs: Path, tmp_path: Path) -> None:
    data = {"folders": [str(pairs)], "load": 36, "crop": 32, "input": "grey", "target": "grey"}
    settings = config(pairs, data=data)
    trials.train_steps(Pix2Pix, settings, tmp_path / "run", steps=1)
    session = trials.export(Pix2Pix(settings), tmp_path)[""]
    (result,) = session.run(["result"], {"image": np.random.default_rng(0).random((1, 3, 8, 16), np.float32)})
    assert result.shape == (1, 3, 8, 16) and np.array_equal(result[:, 0], result[:, 2])


def test_paper_mode_equals_the_network_in_training_mode_on_one_picture(pairs: Path) -> None:
    plain = {"name": "unet", "options": {"features": 4, "downs": 3, "dropout": False}}
    method = Pix2Pix(config(pairs, generator=plain))
    (model,) = method.models(method.networks)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        trained = method.networks["generator"].train()(image * 2 - 1)
        assert torch.allclose(model.network(image), (trained + 1) / 2, atol=1e-5)


def test_networks_can_be_rebuilt_without_the_data(pairs: Path) -> None:
    whole = Pix2Pix(config(pairs))
    again = Pix2Pix(config(pairs, data={"folders": ["/gone"], "load": 36, "crop": 32}), whole.facts)
    again.networks["generator"].load_state_dict(whole.networks["generator"].state_dict())
    assert again.models(again.networks)[0].card.trained_on == ("gone",)


def test_the_model_file_clips_results_of_a_residual_generator(pairs: Path, tmp_path: Path) -> None:
    generator = {"name": "unet", "options": {"features": 4, "downs": 3, "residual": True, "upsampling": "resize"}}
    method = Pix2Pix(config(pairs, generator=generator, objectives={"l1": 100.0, "ssim": 10.0}, precision="bf16"))
    trials.train_steps(Pix2Pix, method.config, tmp_path / "run", steps=1)
    last = method.networks["generator"].model.last[-1]
    with torch.no_grad():
        last.weight.normal_(0, 0.5)
        last.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
    session = trials.export(method, tmp_path)[""]
    image = np.random.default_rng(0).random((1, 3, 16, 24), np.float32)
    (result,) = session.run(["result"], {"image": image})
    (model,) = method.models(method.networks)
    with torch.no_grad():
        raw = model.network(torch.from_numpy(image)).numpy()
    assert raw.max() > 1.2 and raw.min() < -0.2
    assert np.abs(result - raw.clip(0, 1)).max() < 1e-4


def test_grey_versions_of_photos_are_coloured_from_the_photos_alone(tmp_path: Path) -> None:
    photos = trials.photos(tmp_path / "photos", count=8, size=48)
    settings = config(
        photos,
        data={
            "folders": [str(photos)],
            "layout": "photos",
            "input": "grey",
            "load": 40,
            "crop": 32,
            "shrink": [0.8, 1],
        },
        generator={"name": "chroma-unet", "options": {"features": 4, "downs": 3}},
        objectives={"l1": 50.0, "chroma": 50.0},
        conditional=False,
    )
    trials.check_resume(Pix2Pix, settings, tmp_path, stop=4)
    method = Pix2Pix(settings)
    assert method.networks["generator"].side == 32
    found = method.validate(method.networks)
    assert 0 < found.figures["chroma_l1"] < 1 and found.figures["chroma_ratio"] > 0
    assert found.rows[0][0].shape == (40, 40, 3)
    session = trials.export(method, tmp_path)[""]
    card = Card.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY], where="model")
    assert (card.multiple, card.context, card.side) == (1, None, None)
    assert card.extra == {"input": "grey", "keeps": "luminance"}
    image = np.random.default_rng(0).random((1, 3, 17, 50), np.float32)
    (result,) = session.run(["result"], {"image": image})
    weights = np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]
    assert np.abs(((result - image) * weights).sum(1)).max() < 1e-5


def test_a_network_that_colours_needs_grey_inputs(pairs: Path) -> None:
    data = {"folders": [str(pairs)], "load": 36, "crop": 32, "target": "grey"}
    with pytest.raises(ConfigError, match="chroma-unet turns a grey picture into a colour picture, not 3 channels"):
        Pix2Pix(config(pairs, data=data, generator={"name": "chroma-unet", "options": {"features": 4, "downs": 3}}))


SAMPLING = {"length": 3, "mode_seeking": 1.0, "information": 0.5}


def test_with_a_latent_code_the_model_draws_samples(pairs: Path, tmp_path: Path) -> None:
    settings = config(pairs, latent=SAMPLING)
    trials.check_resume(Pix2Pix, settings, tmp_path, stop=4)
    session = trials.export(Pix2Pix(settings), tmp_path)[""]
    assert [one.name for one in session.get_inputs()] == ["image", "latent"]
    card = Card.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY], where="model")
    assert card.latent == {"length": 3, "distribution": "normal"}
    image = np.random.default_rng(0).random((1, 3, 16, 24), np.float32)
    first, second = (
        session.run(None, {"image": image, "latent": np.full((1, 3), value, np.float32)})[0] for value in (-1, 1)
    )
    assert first.shape == image.shape and not np.array_equal(first, second)


def test_samples_are_shown_and_their_distance_is_measured(pairs: Path) -> None:
    method = Pix2Pix(config(pairs, latent=SAMPLING))
    method.load()
    found = method.validate(method.networks)
    assert found.columns == ["input", "sample", "sample", "sample", "truth"]
    assert found.figures["samples_apart"] > 0
    assert method.validate(method.networks).figures == found.figures, "the same codes each time"


def test_the_terms_for_a_latent_code_are_those_of_their_papers(pairs: Path) -> None:
    """Both losses hold minus the information, of one estimate each; the generator's also the mode-seeking term."""
    torch.manual_seed(0)
    method = Pix2Pix(config(pairs, latent=SAMPLING, adversarial={"name": "lsgan", "weight": 1.0}))
    loader = torch.utils.data.DataLoader(method.load(), batch_size=2)
    losses = {}
    run = method.step(method.networks, [next(iter(loader))])
    try:
        while True:
            name, loss = next(run)
            losses[name] = float(loss.detach())
    except StopIteration as end:
        figures = end.value
    parts = 100 * figures["l1"] + figures["adversarial"] + figures["information"] + figures["mode_seeking"]
    assert losses["generator"] == pytest.approx(float(parts), rel=1e-4)
    assert figures["mode_seeking"] > 0
    # The discriminator sees the same pictures before the update, so its estimate is the same.
    assert losses["discriminator"] == pytest.approx(float(figures["discriminator"] + figures["information"]), rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": {"mode_seeking": 1}}, "latent.mode_seeking needs a code: set latent.length"),
        (
            {"latent": SAMPLING, "discriminator": {"name": "pixelgan", "options": {}}},
            "discriminator 'pixelgan' cannot estimate a code: use patchgan or dcgan",
        ),
        (
            {"latent": SAMPLING, "adversarial": {"name": "lsgan", "weight": 0}},
            "latent.information needs a discriminator: set adversarial.weight above 0",
        ),
        (
            {"latent": {"length": 2}, "generator": {"name": "compact", "options": {"scale": 1}}},
            "latent.length: generator 'compact' takes a picture only; use unet or resnet",
        ),
    ],
)
def test_codes_that_nothing_uses_are_refused(changes: dict[str, Any], message: str, pairs: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        Pix2Pix(config(pairs, **changes))
