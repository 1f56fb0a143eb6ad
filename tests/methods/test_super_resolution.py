"""SRGAN, ESRGAN and Real-ESRGAN on tiny photos: recipes, both stages, single steps, exact resume, export."""

import tomllib
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from torch.nn import functional as F

from img2img.errors import ConfigError, DataError
from img2img.methods.esrgan import ESRGAN
from img2img.methods.real_esrgan import RealESRGAN
from img2img.methods.srgan import SRGAN
from img2img.methods.super_resolution import SuperResolution, SuperResolutionConfig
from img2img.objectives.perceptual import vgg19_features
from img2img.training.listener import SilentListener
from img2img.training.loop import train
from img2img.training.start import read

METHODS: list[type[SuperResolution]] = [SRGAN, ESRGAN, RealESRGAN]
EXAMPLES = Path(__file__).parents[2] / "examples"
GENERATOR = {"name": "compact", "options": {"features": 4, "convs": 1}}
BATCH_NORMED = {"name": "srresnet", "options": {"features": 4, "blocks": 1, "norm": "batch"}}
UNNORMED = {"name": "vgg-style", "options": {"features": 4, "norm": "none"}}
NO_VGG = {"weight": 0.0}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of VGG19 up to conv1_2, in torchvision's layout."""
    features, names = vgg19_features()
    torch.manual_seed(0)
    shapes = {k: v.shape for k, v in features[: names.index("conv1_2") + 1].state_dict().items()}
    file = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save({f"features.{key}": 0.1 * torch.randn(shape) for key, shape in shapes.items()}, file)
    return file


def config(method: type[SuperResolution], photos: Path, **changes: Any) -> Any:
    values = {
        "scale": 2,
        "data": {"folders": [str(photos)], "crop": 32},
        "generator": GENERATOR,
        "batch": 2,
        "steps": 6,
        "log_every": 3,
        "validate_every": 6,
        "checkpoint_every": 3,
    }
    return method.recipe.parse(method.recipe.with_defaults({**values, **changes}), where="test")


def adversarial(method: type[SuperResolution], photos: Path, **changes: Any) -> Any:
    discriminators = {RealESRGAN: {"name": "unet-discriminator", "options": {"features": 4}}}
    values = {
        "stage": "adversarial",
        "discriminator": discriminators.get(method, {"name": "vgg-style", "options": {"features": 4}}),
        "perceptual": NO_VGG,
    }
    return config(method, photos, **{**values, **changes})


def batch(method: SuperResolution) -> dict[str, torch.Tensor]:
    data = method.load()
    items = [data[i] for i in range(2)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def unit(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.float() / 255


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stage", ["fidelity", "adversarial"])
def test_config_toml_holds_the_whole_recipe(method: type[SuperResolution], stage: str, tmp_path: Path) -> None:
    recipe: type[SuperResolutionConfig] = method.recipe  # type: ignore[assignment]
    values = recipe.with_defaults({"stage": stage, "data": {"folders": ["photos"]}})
    resolved = recipe.parse(values, where="test")
    assert type(resolved) is recipe.stages[stage] and resolved.stage == stage
    resolved.save(tmp_path / "config.toml")
    for reader in (recipe, type(resolved), recipe.stages["adversarial"]):
        assert reader.load(tmp_path / "config.toml") == resolved
    written = tomllib.loads((tmp_path / "config.toml").read_text())
    assert ("discriminator" in written) == (stage == "adversarial")


@pytest.mark.parametrize(
    ("method", "objective", "weight", "l1", "rates"),
    [
        (SRGAN, "non-saturating", 0.005, 0.01, [1e-4, 5e-5, 6.25e-6]),
        (ESRGAN, "relativistic-average", 0.005, 0.01, [1e-4, 5e-5, 6.25e-6]),
        (RealESRGAN, "non-saturating", 0.1, 1.0, [1e-4, 1e-4, 1e-4]),
    ],
)
def test_the_adversarial_stages_are_as_published(
    method: type[SuperResolution], objective: str, weight: float, l1: float, rates: list[float]
) -> None:
    from img2img.training.schedule import factor

    recipe: Any = method.recipe
    resolved = recipe.parse(recipe.with_defaults({"stage": "adversarial", "data": {"folders": ["x"]}}), where="test")
    assert (resolved.adversarial.name, resolved.adversarial.weight) == (objective, weight)
    assert resolved.objectives == {"l1": l1} and resolved.perceptual.weight == 1 and resolved.steps == 400_000
    for optimiser in (resolved.optimiser, resolved.discriminator_optimiser):
        assert [optimiser.rate * factor(resolved.schedule, step, 400_000) for step in (0, 60_000, 399_999)] == rates
        assert optimiser.betas == (0.9, 0.99)


RESIDUAL = {"features": 32, "blocks": 5, "convs": 3, "activation": "silu"}


@pytest.mark.parametrize(
    ("scale", "crop", "steps", "options", "objectives"),
    [
        (4, 144, 42000, RESIDUAL, {"l1": 1.0, "frequency": 0.05}),
        (2, 72, 36000, RESIDUAL, {"l1": 1.0, "frequency": 0.05}),
    ],
)
def test_the_recipes_of_the_bundled_models_do_not_change(
    scale: int, crop: int, steps: int, options: dict[str, Any], objectives: dict[str, float]
) -> None:
    values = tomllib.loads((EXAMPLES / f"upscale-x{scale}.toml").read_text())
    values["data"]["folders"] = ["x"]
    resolved: Any = ESRGAN.recipe.parse(ESRGAN.recipe.with_defaults(values), where="test")
    assert (resolved.stage, resolved.scale, resolved.steps, resolved.batch) == ("fidelity", scale, steps, 8)
    assert (resolved.data.crop, resolved.data.candidates, resolved.data.degradation.kind) == (crop, 3, "bicubic")
    assert resolved.data.shrink == (0.4, 1.0)
    assert resolved.generator.options == options
    assert resolved.optimiser.model_dump() == {
        "name": "adam", "rate": 1e-3, "betas": (0.9, 0.99), "decay": 0.9, "momentum": 0.0,
        "weight_decay": 0.0, "clip": 0.5,
    }  # fmt: skip
    assert (resolved.schedule.shape, resolved.schedule.warmup, resolved.ema) == ("cosine", 100, 0.999)
    assert resolved.objectives == objectives and not resolved.perceptual.weight


@pytest.mark.parametrize("method", METHODS)
def test_the_adversarial_stage_starts_from_the_fidelity_stage(
    method: type[SuperResolution], photos: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "fidelity", tmp_path / "adversarial"
    (fidelity,) = trials.train_to_end(method, config(method, photos), first)
    assert set(fidelity) == {"psnr_y", "ssim_y"}
    initial = read(first)["generator.ema"]

    class Watched(method):  # type: ignore[misc,valid-type]
        def step(self, networks: Any, batches: Any) -> Any:
            if not seen:
                seen.update({k: v.clone() for k, v in self.networks["generator"].state_dict().items()})
            return super().step(networks, batches)

    seen: dict[str, torch.Tensor] = {}
    (figures,) = trials.train_to_end(Watched, adversarial(method, photos, start=str(first)), second)
    assert all(torch.equal(seen[key], initial[key]) for key in initial)
    assert {"psnr_y", "ssim_y", "sharpness", "swd", "closeness"} == set(figures)
    assert figures["closeness"] == -figures["swd"] < 0
    lines = [line for line in trials.log(second) if "loss" in line]
    names = {"l1", "adversarial", "discriminator", "accuracy_real", "accuracy_fake", "gradient/adversarial"}
    assert lines and names <= set(lines[0]) and all(np.isfinite(line["loss"]) for line in lines)
    after = trials.weights(second)
    assert any(not torch.equal(after[f"generator/{key}"], initial[key]) for key in initial)


def test_scale_and_generator_come_from_the_run_to_start_from(photos: Path, tmp_path: Path) -> None:
    config(ESRGAN, photos).save(tmp_path / "config.toml")
    (tmp_path / "checkpoints" / "step-00000006").mkdir(parents=True)
    for start in (tmp_path, tmp_path / "checkpoints" / "step-00000006"):
        values = {"stage": "adversarial", "start": str(start), "data": {"folders": ["x"]}}
        filled = ESRGAN.recipe.with_defaults(values)
        assert filled["scale"] == 2 and filled["generator"]["options"] == GENERATOR["options"]
        assert ESRGAN.recipe.with_defaults({**values, "scale": 4})["scale"] == 4


def test_a_step_is_what_the_paper_says(photos: Path, vgg: Path) -> None:
    settings = adversarial(
        ESRGAN,
        photos,
        objectives={"l1": 0.01},
        perceptual={"weight": 0.5, "layers": {"conv1_2": 2.0}, "weights": str(vgg)},
    )
    method = ESRGAN(settings)
    given = batch(method)
    generator, discriminator = method.networks["generator"], method.networks["discriminator"]
    with torch.no_grad():
        result, truth = generator(unit(given["low"])), unit(given["high"])
        state = torch.load(vgg)
        features = []
        for picture in (result, truth):
            mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
            hidden = (picture - mean[:, None, None]) / std[:, None, None]
            hidden = F.relu(F.conv2d(hidden, state["features.0.weight"], state["features.0.bias"], padding=1))
            features.append(F.conv2d(hidden, state["features.2.weight"], state["features.2.bias"], padding=1))
        fake, real = discriminator(result), discriminator(truth)
        objective = (F.softplus(real.mean() - fake).mean() + F.softplus(real - fake.mean()).mean()) / 2
        wanted = (
            0.01 * (result - truth).abs().mean()
            + 0.5 * 2 * (features[0] - features[1]).abs().mean()
            + 0.005 * objective
        )
        other = (F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()) / 2
    steps = method.step(method.networks, [given])
    name, loss = next(steps)
    assert name == "generator" and loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    moved = torch.autograd.grad(loss, [*generator.parameters()], retain_graph=True)
    assert all(gradient.abs().sum() > 0 for gradient in moved)
    name, loss = next(steps)
    assert name == "discriminator" and loss.item() == pytest.approx(other.item(), rel=1e-4)
    assert torch.autograd.grad(loss, [*generator.parameters()], allow_unused=True, retain_graph=True)[0] is None
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert {"loss", "l1", "perceptual", "adversarial", "discriminator"} <= set(end.value.value)


@pytest.mark.parametrize(
    ("method", "kind", "expected"),
    [(ESRGAN, "bicubic", "clean"), (RealESRGAN, "real", "degraded"), (ESRGAN, "real", "degraded")],
)
def test_the_card_says_which_photos_the_model_is_for(
    method: type[SuperResolution], kind: str, expected: str, photos: Path
) -> None:
    data = {"folders": [str(photos)], "crop": 32, "degradation": {"kind": kind}}
    trained = method(config(method, photos, data=data))
    (model,) = trained.models(trained.networks)
    assert model.card.input_quality == expected


def test_the_target_is_the_sharpened_photo_and_the_discriminator_sees_the_plain_one(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = RealESRGAN(adversarial(RealESRGAN, photos))
    given = batch(method)
    assert given["sharp"].shape == given["high"].shape and not torch.equal(given["sharp"], given["high"])
    real = []
    discriminator_loss = method.adversarial.discriminator_loss  # type: ignore[union-attr]

    def recording(scorer: Any, pictures: torch.Tensor, fake: torch.Tensor) -> Any:
        real.append(pictures)
        return discriminator_loss(scorer, pictures, fake)

    monkeypatch.setattr(method.adversarial, "discriminator_loss", recording)
    steps = method.step(method.networks, [given])
    next(steps)
    next(steps)
    with pytest.raises(StopIteration) as end:
        next(steps)
    with torch.no_grad():
        distance = (method.networks["generator"](unit(given["low"])) - unit(given["sharp"])).abs().mean()
    assert end.value.value["l1"].item() == pytest.approx(distance.item(), rel=1e-5)
    assert torch.equal(real[0], unit(given["high"]))


def test_held_out_photos_are_always_degraded_in_the_same_way(photos: Path) -> None:
    lows = []
    for changes in ({}, {}, {"seed": 1}):
        method = RealESRGAN(config(RealESRGAN, photos, **changes))
        method.load()
        lows.append([low for low, _ in method.validation])
    assert all(np.array_equal(a, b) for a, b in zip(lows[0], lows[1], strict=True))
    assert not np.array_equal(lows[0][0], lows[2][0])


def restorer(photos: Path, **changes: Any) -> Any:
    """Settings of a tiny network of scale 1."""
    small = {"name": "collapsible-residual", "options": {"features": 8, "blocks": 1, "convs": 2, "expand": 8}}
    return config(RealESRGAN, photos, **{"scale": 1, "generator": small, **changes})


def test_scale_1_restores_by_default(photos: Path) -> None:
    values = {"scale": 1, "data": {"folders": [str(photos)]}}
    settings = RealESRGAN.recipe.parse(RealESRGAN.recipe.with_defaults(values), where="test")
    assert settings.data.degradation.kind == "jpeg-noise" and settings.generator.name == "collapsible-residual"
    assert settings.objectives == {"l2": 1.0}
    gan = RealESRGAN.recipe.with_defaults({**values, "stage": "adversarial"})
    assert gan["objectives"] == RealESRGAN.recipe.with_defaults({"stage": "adversarial"})["objectives"]
    values["data"]["degradation"] = {"kind": "real"}
    values["generator"] = GENERATOR
    settings = RealESRGAN.recipe.parse(RealESRGAN.recipe.with_defaults(values), where="test")
    assert settings.data.degradation.kind == "real" and settings.generator.name == "compact"
    with pytest.raises(ConfigError, match="jpeg-noise keeps the size of photos: use scale = 1, not 2"):
        config(RealESRGAN, photos, data={"folders": [str(photos)], "crop": 32, "degradation": {"kind": "jpeg-noise"}})


def test_restoration_is_validated_with_every_standard_fault(photos: Path) -> None:
    method = RealESRGAN(restorer(photos, data={"folders": [str(photos)], "validation": [str(photos)], "crop": 32}))
    method.load()
    with torch.no_grad():
        method.networks["generator"].last.weight.zero_()  # type: ignore[union-attr, operator]
    found = method.validate(method.networks)
    gains = {name: value for name, value in found.figures.items() if name.startswith("gain_")}
    assert list(gains) == ["gain_jpeg10", "gain_jpeg20", "gain_noise15", "gain_jpeg40", "gain_jpeg95"]
    assert all(gain == 0 for gain in gains.values()), "this network returns its input"
    assert len(method.validation) == 6 * 5 and found.columns == ["input", "result", "truth"]
    assert found.figures["psnr_y"] < 60


def test_a_restoration_run_resumes_exactly_and_names_its_model(photos: Path, tmp_path: Path) -> None:
    trials.check_resume(RealESRGAN, restorer(photos, generator=GENERATOR), tmp_path, stop=4)
    method = RealESRGAN(restorer(photos))
    (model,) = method.models(method.networks)
    assert (model.card.name, model.card.scale, model.card.multiple) == ("restore", 1, 2)
    session = trials.export(method, tmp_path)[""]
    image = np.random.default_rng(0).random((1, 3, 12, 22), np.float32)
    assert session.run(None, {"image": image})[0].shape == image.shape


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        (ESRGAN, {"matching": {"weight": 0.1}, "adversarial": {"name": "relativistic-average", "weight": 0.005}}),
        (RealESRGAN, {"matching": {"weight": 0.1, "kind": "mean"}, "adversarial": {"discriminator_steps": 2}}),
    ],
)
def test_a_stopped_adversarial_run_continues_exactly(
    method: type[SuperResolution], changes: Any, photos: Path, tmp_path: Path
) -> None:
    trials.check_resume(method, adversarial(method, photos, **changes), tmp_path, stop=4)


@pytest.mark.parametrize(
    "changes",
    [
        {"discriminator": {"name": "unet-discriminator", "options": {"features": 4}}},
        {"discriminator": {"name": "patchgan", "options": {"features": 4, "layers": 2}}},
        {"discriminator": {"name": "multi-scale", "options": {"features": 4, "layers": 1}}},
        {"discriminator": {**UNNORMED, "spectral": True}},
        {"adversarial": {"name": "hinge", "weight": 0.01}},
        {"adversarial": {"name": "wgan-gp"}, "discriminator": UNNORMED},
        {"adversarial": {"weight": 0.0}, "matching": {"weight": 1.0, "distance": "l2"}, "objectives": {}},
        {"generator": {"name": "collapsible-compact", "options": {"features": 4, "convs": 1, "expand": 4}}},
        {"generator": BATCH_NORMED},
        {"generator": {**GENERATOR, "spectral": True}},
        {"scale": 1},
        {"accumulate": 2, "discriminator": UNNORMED},
    ],
    ids=str,
)
def test_parts_can_be_combined_freely(changes: dict[str, Any], photos: Path, tmp_path: Path) -> None:
    settings = adversarial(SRGAN, photos, **{"log_every": 1, "data": {"folders": [str(photos)], "crop": 44}, **changes})
    lines = trials.train_steps(SRGAN, settings, tmp_path / "run")
    assert len(lines) == 2 and all(np.isfinite(line["loss"]) for line in lines)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        (ESRGAN, {"generator": {"name": "collapsible-compact", "options": {"features": 4, "convs": 1, "expand": 4}}}),
        (SRGAN, {"generator": {**BATCH_NORMED, "spectral": True}}),
        (RealESRGAN, {"scale": 1}),
    ],
    ids=str,
)
def test_a_run_ends_with_a_model_that_equals_the_network(
    method: type[SuperResolution], changes: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    trained = method(adversarial(method, photos, **changes))
    generator = trained.networks["generator"]
    generator(torch.rand(4, 3, 16, 16))  # gathers the statistics of batch norm, if there is any
    generator.eval()
    session = trials.export(trained, tmp_path)[""]
    image = np.random.default_rng(0).random((2, 3, 12, 20), np.float32)
    (result,) = session.run(["result"], {"image": image})
    with torch.no_grad():
        wanted = generator(torch.from_numpy(image)).clamp(0, 1).numpy()
    assert result.shape == (2, 3, 12 * trained.config.scale, 20 * trained.config.scale)
    assert np.abs(result - wanted).max() < 1e-4
    assert f"{trained.config.method}, adversarial stage" in session.get_modelmeta().custom_metadata_map["img2img"]


def test_the_adversarial_stage_restores_detail_that_l1_blurs(tmp_path: Path) -> None:
    photos = tmp_path / "noisy"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):  # noise cannot be inferred from the small picture, so L1 blurs it
        trials.Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(photos / f"{i}.png")
    shared = {"steps": 60, "validate_every": 60, "ema": 0.0, "schedule": {"shape": "constant"}, "batch": 4}
    fidelity = config(ESRGAN, photos, **shared, optimiser={"rate": 3e-3})
    trials.train_to_end(ESRGAN, fidelity, tmp_path / "fidelity")
    figures = {}
    for name, weight in (("without", 1e-12), ("with", 0.1)):
        settings = adversarial(
            ESRGAN,
            photos,
            **shared,
            start=str(tmp_path / "fidelity"),
            adversarial={"name": "non-saturating", "weight": weight},
            objectives={"l1": 0.1},
            discriminator={"name": "patchgan", "options": {"features": 8, "layers": 1, "norm": "none"}},
            optimiser={"rate": 3e-3},
            discriminator_optimiser={"rate": 3e-3},
        )
        (figures[name],) = trials.train_to_end(ESRGAN, settings, tmp_path / name)
    assert figures["with"]["sharpness"] > figures["without"]["sharpness"] + 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adversarial": {"weight": 1.0}}, "settings of the adversarial stage: adversarial; add --stage adversarial"),
        ({"stage": "adversarial", "data": {"folders": ["x"], "crop": 16}}, "vgg-style needs at least 32 pixels"),
        ({"stage": "both"}, "stage: must be 'fidelity' or 'adversarial', not 'both'"),
        ({"stage": "adversarial", "objectives": {}, "perceptual": NO_VGG}, "nothing to learn from"),
        ({"objectives": {"l1": 0.0}}, "nothing to learn from"),
        ({"data": {"folders": ["x"], "crop": 33}}, "not a multiple of scale = 2"),
        ({"generator": {"name": "unet"}}, "network 'unet' has no option"),
        ({"generator": {"name": "compact", "options": {"scale": 3}}}, "scale = 3, but it must be 2 here"),
        ({"data": {"folders": ["x"], "degradation": {"kind": "real", "sharp": True}}}, "did you mean 'sharpen'"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_before_training(changes: dict[str, Any], message: str, photos: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        ESRGAN(config(ESRGAN, photos, **changes))


def test_starting_without_a_fidelity_run_gives_a_note(photos: Path, tmp_path: Path) -> None:
    assert any("--set start=RUN" in note for note in ESRGAN(adversarial(ESRGAN, photos)).notes)
    assert ESRGAN(adversarial(ESRGAN, photos, start=str(tmp_path))).notes == []


def test_offline_the_error_names_both_alternatives_and_missing_folders_come_first(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    way = (
        r"no network.*--set perceptual\.weights=FILE.*"
        r"--set perceptual\.weight=0 --set matching\.weight=0\.05 --set objectives\.l1=1$"
    )
    with pytest.raises(ConfigError, match=way):
        train(
            ESRGAN,
            adversarial(ESRGAN, photos, perceptual={"weight": 1.0}),
            tmp_path / "run",
            SilentListener(),
            device="cpu",
        )
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match=r"train without it: --set perceptual\.weight=0$"):
        ESRGAN(config(ESRGAN, photos, perceptual={"weight": 1.0})).load()
    with pytest.raises(DataError, match="no such folder"):
        ESRGAN(adversarial(ESRGAN, tmp_path / "absent", perceptual={"weight": 1.0})).load()
    missing = {"weight": 1.0, "weights": str(tmp_path / "vgg.pth")}
    with pytest.raises(ConfigError, match=r"vgg\.pth: no such file"):
        ESRGAN(adversarial(ESRGAN, photos, perceptual=missing)).load()
