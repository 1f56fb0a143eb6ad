"""Inpainting methods fill holes, keep the known pixels, and work with any generator and discriminator."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from img2img import exchange
from img2img.errors import ConfigError, DataError, Interrupted
from img2img.evaluation.metrics import ssim
from img2img.exchange.wrappers import InpaintingWrapper
from img2img.methods.context_encoder import Config as ContextConfig
from img2img.methods.context_encoder import ContextEncoder, hole_corners, windows
from img2img.methods.hole_figures import hole_figures, ssim_map, telea
from img2img.methods.inpaint import Config, Inpaint
from img2img.methods.inpainting import Inpainting, InpaintingReconstructionLoss, MaskChannel, WeighingConfig, paste
from img2img.methods.method import Batch
from img2img.networks.norms import inference_copy
from img2img.runtime.network.card import METADATA_KEY, Card
from img2img.training.listener import SilentListener
from img2img.training.loop import Outcome, train

GATED = {"name": "gated", "options": {"features": 4, "attention": True}}
SN = {"name": "sn-patchgan", "options": {"features": 4, "layers": 3}}
UNET = {"name": "unet", "options": {"features": 4}}
PATCH = {"name": "patchgan", "options": {"features": 4, "layers": 2}}
DCGAN = {"name": "dcgan", "options": {"features": 4}}
CONTEXT = {
    "generator": {"name": "context-encoder", "options": {"features": 4, "bottleneck": 8}},
    "discriminator": DCGAN,
    "local_discriminator": DCGAN,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(5):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((48, 44), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
    return folder


def with_defaults(recipe: type[Config] | type[ContextConfig], folder: Path, **changes: object) -> dict[str, object]:
    values = {
        "data": {"folders": [str(folder)], "crop": 32},
        "steps": 6,
        "batch": 2,
        "log_every": 1,
        "validate_every": 3,
        "checkpoint_every": 2,
    }
    return recipe.with_defaults({**values, **changes})


def config(folder: Path, **changes: object) -> Config:
    return Config.parse(
        with_defaults(Config, folder, **{"generator": GATED, "discriminator": SN, **changes}), where="test"
    )


def context_config(folder: Path, **changes: object) -> ContextConfig:
    return ContextConfig.parse(with_defaults(ContextConfig, folder, **{**CONTEXT, **changes}), where="test")


def log(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def batch(method: Inpainting, count: int = 2) -> Batch:
    items = [method.load()[i] for i in range(count)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def seen_by(network: nn.Module) -> list[Tensor]:
    """Return a list that collects the first input of every call of `network`."""
    seen: list[Tensor] = []
    network.register_forward_hook(lambda _, args, __: seen.append(args[0].detach()))
    return seen


def losses(method: Inpainting, items: Batch) -> dict[str, Tensor]:
    """Return the losses of one step in which no network is updated."""
    return dict(method.step(method.networks, [items] * method.batches))


class StopAfter(SilentListener):
    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, step: int, figures: object) -> None:
        if step == self.step:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Export takes most of the time of a short run."""
    monkeypatch.setattr(exchange, "export", lambda *_, **__: None)


# Training


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("name", ["inpaint", "context-encoder"])
def test_a_resumed_run_equals_an_uninterrupted_one(name: str, photos: Path, tmp_path: Path) -> None:
    cases: dict[str, tuple[type[Inpainting], Config | ContextConfig]] = {
        "inpaint": (Inpaint, config(photos, matching={"weight": 1.0, "kind": "mean"})),
        "context-encoder": (ContextEncoder, context_config(photos)),
    }
    method, wanted = cases[name]
    train(method, wanted, tmp_path / "whole", SilentListener(), device="cpu")
    with pytest.raises(Interrupted, match="after step 3 of 6"):
        train(method, wanted, tmp_path / "parts", StopAfter(3), device="cpu")
    train(method, wanted, tmp_path / "parts", SilentListener(), device="cpu")
    assert log(tmp_path / "parts") == log(tmp_path / "whole")
    last = Path("checkpoints/step-00000006")
    files = sorted(path.name for path in (tmp_path / "whole" / last).glob("*.safetensors"))
    assert len(files) == (3 if name == "inpaint" else 4)  # generator and its average, discriminators
    for file in files:
        ours, theirs = (load_file(tmp_path / run / last / file) for run in ("whole", "parts"))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.usefixtures("no_export")
def test_the_recipe_learns_to_fill_holes(photos: Path, tmp_path: Path) -> None:
    wanted = config(
        photos,
        generator=UNET,
        discriminator=PATCH,
        optimiser={"rate": 5e-3},
        adversarial={"name": "hinge", "weight": 0.01},
        steps=40,
        log_every=10,
        validate_every=20,
    )
    outcome = train(Inpaint, wanted, tmp_path / "run", SilentListener(), device="cpu")
    figures = [entry["validation"] for entry in log(tmp_path / "run") if "validation" in entry]
    flat = hole_figures(*flat_fills(Inpaint(wanted)))
    assert figures[-1] == outcome.figures
    assert figures[0]["psnr"] < figures[-1]["psnr"] and flat["psnr"] + 1 < figures[-1]["psnr"]
    assert figures[0]["psnr_telea"] == figures[-1]["psnr_telea"]  # the same holes in the same photos every time
    assert {"ssim", "l1", "sharpness", "swd", "swd_telea", "diversity"} <= figures[-1].keys()
    sheet = Image.open(tmp_path / "run" / "samples" / "step-00000040.png")
    assert sheet.width > 4 * 32


def flat_fills(method: Inpainting) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Return the held-out photos with grey holes, the photos, and the holes."""
    method.load()
    grey = [np.where(mask[:, :, None] > 0, np.uint8(128), photo) for photo, mask in method.held_out]
    return grey, [photo for photo, _ in method.held_out], [mask for _, mask in method.held_out]


def test_every_discriminator_sees_the_known_pixels_and_the_mask(photos: Path) -> None:
    for wish in (SN, PATCH):
        method = Inpaint(config(photos, discriminator=wish))
        items = batch(method)
        seen = seen_by(method.networks["discriminator"])
        names = [name for name, _ in method.step(method.networks, [items])]
        assert names == ["discriminator", "generator"] and len(seen) == 3
        truth, mask = items["image"].float().div(127.5).sub(1), items["mask"].float()
        for given_ in seen:
            assert torch.equal(given_[:, 3:], mask)
            assert torch.equal(given_[:, :3] * (1 - mask), truth * (1 - mask))
        assert torch.equal(seen[0][:, :3], truth) and not torch.equal(seen[1][:, :3], truth)


def test_the_generator_does_not_see_what_is_in_the_hole(photos: Path) -> None:
    for wish in (GATED, UNET):
        method = Inpaint(config(photos, generator=wish))
        items = batch(method)
        seen = seen_by(method.networks["generator"])
        losses(method, items)
        assert torch.all(seen[0] * items["mask"] == 0)


def test_other_generators_get_the_mask_as_a_fourth_channel(photos: Path) -> None:
    method = Inpaint(config(photos, generator=UNET))
    generator = method.networks["generator"]
    assert isinstance(generator, MaskChannel)
    items = batch(method)
    seen = seen_by(generator.generator)
    found = losses(method, items)
    assert torch.equal(seen[0][:, 3:], items["mask"].float()) and found["generator"].isfinite()
    figures = run(method, items)
    assert "l1" in figures and "coarse_l1" not in figures


def run(method: Inpainting, items: Batch) -> dict[str, Tensor]:
    """Return the figures of one step in which no network is updated."""
    step = method.step(method.networks, [items] * method.batches)
    try:
        while True:
            next(step)
    except StopIteration as end:
        figures: dict[str, Tensor] = end.value
        return figures


def test_both_stages_are_compared_with_the_truth(photos: Path) -> None:
    method = Inpaint(config(photos, coarse=0.5, adversarial={"name": "hinge", "weight": 0.25}))
    items = batch(method)
    truth, mask = items["image"].float().div(127.5).sub(1), items["mask"].float()
    figures = run(method, items)
    with torch.no_grad():
        coarse, refined = method.networks["generator"](truth * (1 - mask), mask)
    expected = [(result - truth).abs().mean() for result in (refined, coarse)]
    assert float(figures["l1"]) == pytest.approx(float(expected[0]), rel=1e-4)
    assert float(figures["coarse_l1"]) == pytest.approx(float(expected[1]), rel=1e-4)
    total = expected[0] + 0.5 * expected[1] + 0.25 * figures["adversarial"]
    assert float(figures["loss"]) == pytest.approx(float(total), rel=1e-4)


def test_without_weight_there_is_no_discriminator(photos: Path) -> None:
    for method in (
        Inpaint(config(photos, adversarial={"name": "hinge", "weight": 0.0})),
        ContextEncoder(context_config(photos, adversarial={"name": "hinge", "weight": 0.0})),
    ):
        assert list(method.networks) == ["generator"] and list(method.optimisers) == ["generator"]
        assert any("no discriminator" in note for note in method.notes)
        assert list(losses(method, batch(method))) == ["generator"]


def test_feature_matching_can_be_the_only_adversarial_signal(photos: Path) -> None:
    method = Inpaint(config(photos, adversarial={"name": "hinge", "weight": 0.0}, matching={"weight": 1.0}))
    figures = run(method, batch(method))
    assert "matching" in figures and "adversarial" not in figures and "discriminator" in figures


def test_discriminators_may_take_extra_steps_and_have_a_penalty(photos: Path) -> None:
    adversarial = {"name": "wgan-gp", "discriminator_steps": 2}
    method = Inpaint(config(photos, adversarial=adversarial))
    assert method.batches == 2
    names = [name for name, _ in method.step(method.networks, [batch(method)] * 2)]
    assert names == ["discriminator", "discriminator", "generator"]
    with pytest.raises(ConfigError, match="batch norm"):
        ContextEncoder(context_config(photos, adversarial=adversarial))


def test_weighing_by_region_averages_each_region_alone() -> None:
    truth, mask = torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :1] = 1  # a quarter
    result = torch.where(mask > 0, 0.8, 0.1).expand(1, 3, 4, 4)
    perceptual = Config.model_fields["perceptual"].default
    by_picture = InpaintingReconstructionLoss({"l1": 2.0}, perceptual, WeighingConfig())(result, truth, mask)
    assert float(by_picture[1]) == pytest.approx(2 * (0.25 * 0.8 + 0.75 * 0.1))
    by_region = InpaintingReconstructionLoss({"l1": 2.0}, perceptual, WeighingConfig(by="region", hole=3, valid=0.5))(
        result, truth, mask
    )
    assert float(by_region[1]) == pytest.approx(2 * (3 * 0.8 + 0.5 * 0.1))
    hole_only = InpaintingReconstructionLoss({"l2": 1.0}, perceptual, WeighingConfig(by="region", hole=1, valid=0))(
        result, truth, mask
    )
    assert float(hole_only[1]) == pytest.approx(0.64)
    with pytest.raises(ConfigError, match="total variation"):
        InpaintingReconstructionLoss({"tv": 1.0}, perceptual, WeighingConfig(by="region"))


# Windows of the context encoder


@settings(max_examples=40)
@given(data=st.data(), height=st.integers(8, 20), width=st.integers(8, 20), half=st.integers(2, 4))
def test_windows_are_inside_the_picture_and_around_the_hole(
    data: st.DataObject, height: int, width: int, half: int
) -> None:
    side = 2 * half
    mask = torch.zeros(3, 1, height, width)
    boxes = []
    for i in range(3):
        rows, columns = (sorted(data.draw(st.tuples(*[st.integers(0, n - 1)] * 2))) for n in (height, width))
        mask[i, :, rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
        boxes.append((rows, columns))
    corners = hole_corners(mask, side)
    picture = torch.rand(3, 2, height, width)
    cut = windows(picture, corners, side)
    for i, (top, left) in enumerate(corners.tolist()):
        assert torch.equal(cut[i], picture[i, :, top : top + side, left : left + side])
        for start, (first, last), length in zip((top, left), boxes[i], (height, width), strict=True):
            assert 0 <= start <= length - side
            if last - first < side:
                assert start <= first and last < start + side  # a hole that fits is inside
            if 0 < start < length - side:
                assert abs((start + start + side) - (first + last + 1)) <= 1  # centred, away from the border


def test_without_a_hole_the_window_is_in_the_middle() -> None:
    assert hole_corners(torch.zeros(1, 1, 16, 32), 8).tolist() == [[4, 12]]


def test_both_discriminators_see_the_pasted_result(photos: Path) -> None:
    method = ContextEncoder(context_config(photos))
    items = batch(method)
    truth, mask = items["image"].float().div(127.5).sub(1), items["mask"].float()
    whole, local = (seen_by(method.networks[f"discriminator_{area}"]) for area in ("global", "local"))
    figures = run(method, items)
    assert torch.equal(whole[0], truth) and torch.equal(whole[1] * (1 - mask), truth * (1 - mask))
    corners = hole_corners(mask, 16)
    assert torch.equal(local[0], windows(truth, corners, 16)) and torch.equal(local[1], windows(whole[1], corners, 16))
    assert {"adversarial_global", "adversarial_local", "accuracy_real", "accuracy_fake"} <= figures.keys()


@pytest.mark.parametrize("area", ["global", "local"])
def test_one_discriminator_is_enough(area: str, photos: Path) -> None:
    method = ContextEncoder(context_config(photos, judges=area))
    assert list(method.networks) == ["generator", f"discriminator_{area}"]
    assert set(losses(method, batch(method))) == {"discriminator", "generator"}


# Export


def exported(tmp_path: Path, method: type[Inpainting], wanted: Config | ContextConfig) -> tuple[Outcome, nn.Module]:
    outcome = train(method, wanted, tmp_path / "run", SilentListener(), device="cpu")
    trained = method(wanted)
    weights = load_file(tmp_path / "run" / "checkpoints" / "step-00000002" / "generator.ema.safetensors")
    trained.networks["generator"].load_state_dict(weights)
    return outcome, InpaintingWrapper(inference_copy(trained.networks["generator"], "running"))


@pytest.mark.parametrize("name", ["unet and patchgan", "context encoder"])
def test_the_model_keeps_known_pixels_bit_for_bit(name: str, photos: Path, tmp_path: Path) -> None:
    shallow = {"name": "unet", "options": {"features": 4, "downs": 2}}
    small = {"name": "context-encoder", "options": {"features": 4, "bottleneck": 8, "size": 16}}
    cases: dict[str, tuple[type[Inpainting], Config | ContextConfig]] = {
        "unet and patchgan": (Inpaint, config(photos, generator=shallow, discriminator=PATCH, steps=2)),
        "context encoder": (ContextEncoder, context_config(photos, generator=small, steps=2)),
    }
    outcome, network = exported(tmp_path, *cases[name])
    session = ort.InferenceSession(tmp_path / "run" / "model.onnx", providers=["CPUExecutionProvider"])
    card = Card.from_json(session.get_modelmeta().custom_metadata_map[METADATA_KEY], where="model")
    assert (card.task, card.scale, card.multiple, card.minimum) == ("inpaint", 1, 4, 4 if "unet" in name else 16)
    assert [one.name for one in session.get_inputs()] == ["image", "mask"] and outcome.step == 2

    rng = np.random.default_rng(0)
    image = rng.random((2, 3, 64, 96), dtype=np.float32)
    mask = np.zeros((2, 1, 64, 96), np.float32)
    mask[0, :, 10:40, 20:60] = mask[1, :, 30:60, 5:25] = 1
    (result,) = session.run(["result"], {"image": image, "mask": mask})
    known = np.broadcast_to(mask == 0, image.shape)
    assert np.array_equal(result[known], image[known])
    with torch.no_grad():
        truth = network(torch.from_numpy(image), torch.from_numpy(mask)).numpy()
    assert np.abs(result - truth).max() < 1e-5 and np.abs(result - image)[~known].mean() > 0.05

    other = np.where(known, image, rng.random(image.shape, dtype=np.float32))
    (same,) = session.run(["result"], {"image": other, "mask": mask})
    assert np.array_equal(same, result)  # the pixels in the hole have no effect
    (same,) = session.run(["result"], {"image": image, "mask": np.where(mask > 0, 0.6, 0.4).astype(np.float32)})
    assert np.array_equal(same, result)  # values above 0.5 are a hole
    (same,) = session.run(["result"], {"image": image, "mask": np.zeros_like(mask)})
    assert np.array_equal(same, image)


def test_the_refined_result_of_the_gated_generator_is_exported(photos: Path) -> None:
    method = Inpaint(config(photos))
    (model,) = method.models(method.networks)
    assert (model.card.task, model.card.multiple, model.card.trained_on) == ("inpaint", 8, (photos.name,))
    generator = method.networks["generator"].eval()
    image, mask = torch.rand(2, 3, 24, 40), torch.zeros(2, 1, 24, 40)
    mask[..., 8:20, 4:30] = 1
    with torch.no_grad():
        refined = generator((image * 2 - 1) * (1 - mask), mask)[1]
        result = model.network(image, mask)
    assert torch.equal(result, paste((refined + 1) / 2, image, mask))


# Figures


def test_figures_measure_only_the_hole() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 10:26] = 1
    off = truth.copy()
    off[mask > 0] = np.clip(truth[mask > 0].astype(int) + 10, 0, 255)
    difference = (off.astype(float) - truth)[mask > 0]
    figures = hole_figures([off], [truth], [mask])
    assert figures["l1"] == pytest.approx(np.abs(difference).mean() / 255)
    assert figures["psnr"] == pytest.approx(10 * np.log10(255**2 / (difference**2).mean()))
    perfect = hole_figures([truth], [truth], [mask])
    assert perfect == {
        "psnr": 100.0,
        "ssim": pytest.approx(1.0),
        "l1": 0.0,
        "sharpness": pytest.approx(1.0),
        "border": 1.0,
    }
    spoilt = np.where(mask[:, :, None] > 0, truth, 0).astype(np.uint8)
    elsewhere = hole_figures([spoilt], [truth], [mask])
    assert (elsewhere["psnr"], elsewhere["l1"]) == (100.0, 0.0) and elsewhere["sharpness"] == pytest.approx(1.0)
    flat = hole_figures([np.where(mask[:, :, None] > 0, np.uint8(127), truth)], [truth], [mask])
    assert flat["sharpness"] == 0.0 and flat["ssim"] < 0.3


def test_the_ssim_map_is_that_of_the_papers() -> None:
    rng = np.random.default_rng(1)
    a = cv2.GaussianBlur(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8), (5, 5), 1.0)
    b = np.clip(a + rng.normal(0, 12, a.shape), 0, 255)
    mean = ssim_map(a.astype(np.float64), b)[5:-5, 5:-5].mean()
    assert mean == pytest.approx(ssim(a, b), abs=1e-9) and 0.3 < mean < 0.95


def test_telea_fills_from_the_edge() -> None:
    ramp = np.broadcast_to(np.linspace(0, 240, 32).astype(np.uint8)[None, :, None], (32, 32, 3)).copy()
    mask = np.zeros((32, 32), np.uint8)
    mask[12:20, 12:20] = 1
    spoilt = np.where(mask[:, :, None] > 0, np.uint8(255), ramp)
    assert np.array_equal(telea(spoilt, mask), telea(ramp, mask))
    assert hole_figures([telea(spoilt, mask)], [ramp], [mask])["psnr"] > 25


# Data and errors


def masks(folder: Path, *shares: float) -> Path:
    folder.mkdir()
    for i, share in enumerate(shares):
        mask = np.zeros((20, 20), np.uint8)
        mask[: round(20 * share)] = 255
        Image.fromarray(mask).save(folder / f"{i}.png")
    return folder


def test_masks_may_come_from_a_folder(photos: Path, tmp_path: Path) -> None:
    folder = masks(tmp_path / "masks", 0.3, 0.9)
    data = {
        "folders": [str(photos)],
        "crop": 40,
        "masks": {"folders": [str(folder)], "kinds": {"folder": 1.0, "both": 0.0}},
    }
    method = Inpaint(config(photos, data=data))
    items = batch(method, 3)
    assert [float(mask.float().mean()) for mask in items["mask"]] == [pytest.approx(0.3)] * 3
    assert any(note.startswith("skipped masks") and note.endswith(": 1") for note in method.notes)


def test_held_out_photos_are_not_trained_on(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "held"
    other.mkdir()
    for name in ("0.png", "1.png"):
        Image.new("RGB", (40, 40), (10, 200, 30)).save(other / name)
    method = Inpaint(config(photos, data={"folders": [str(photos)], "crop": 32, "validation": [str(other)]}))
    items = batch(method, 8)
    assert len(method.held_out) == 2 and all(np.all(photo == (10, 200, 30)) for photo, _ in method.held_out)
    assert not any(torch.equal(image[:, 0, 0], torch.tensor([10, 200, 30])) for image in items["image"])


IMPOSSIBLE: list[tuple[Callable[[Path], object], str]] = [
    (lambda p: config(p, data={"folders": [str(p)], "masks": {"share": [0.01, 0.05]}}), "share"),
    (lambda p: config(p, data={"folders": [str(p)], "masks": {"kinds": {"folder": 1.0}}}), "folders is empty"),
    (lambda p: config(p, data={"folders": [str(p)], "shrink": [0.9, 0.5]}), "shrink: .* start with the lower value"),
    (lambda p: config(p, data={"folders": [str(p)], "holes": 3}), "unknown key 'data.holes'"),
    (lambda p: Inpaint(config(p, data={"folders": [str(p)], "crop": 30})), "gated cannot take pictures of 30 x 30"),
    (lambda p: Inpaint(config(p, generator={"name": "stargan", "options": {}})), "network 'stargan' needs domains"),
    (
        lambda p: Inpaint(config(p, generator={"name": "srresnet", "options": {"features": 4, "blocks": 1}})),
        "4 x 128 x 128: inpainting needs three channels of the same size",
    ),
    (
        lambda p: Inpaint(config(p, discriminator={"name": "patchgan", "options": {"layers": 5}})),
        "discriminator.name = patchgan cannot take pictures of 32 x 32",
    ),
    (
        lambda p: ContextEncoder(
            context_config(p, generator={"name": "context-encoder", "options": {"output": "centre"}})
        ),
        "output = centre, but it must be whole here",
    ),
    (lambda p: ContextEncoder(context_config(p, batch=1)), "needs at least 2 photos"),
    (lambda p: ContextEncoder(context_config(p, data={"folders": [str(p)], "crop": 40})), "power of two"),
    (
        lambda p: Inpaint(config(p, objectives={"l1": 0.0}, adversarial={"name": "hinge", "weight": 0.0})),
        "nothing to learn from",
    ),
]


@pytest.mark.parametrize(("setting", "message"), IMPOSSIBLE, ids=[message[:30] for _, message in IMPOSSIBLE])
def test_impossible_settings_are_refused(setting: Callable[[Path], object], message: str, photos: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        setting(photos)


def test_errors_in_the_data_are_found_before_the_first_step(photos: Path, tmp_path: Path) -> None:
    def data(**changes: object) -> dict[str, object]:
        return {"folders": [str(photos)], "crop": 32, **changes}

    (tmp_path / "empty").mkdir()
    kinds = {"folder": 1.0, "both": 0.0}
    with pytest.raises(DataError, match="empty"):
        Inpaint(config(photos, data=data(masks={"folders": [str(tmp_path / "empty")], "kinds": kinds}))).load()
    large = masks(tmp_path / "large", 0.8)
    with pytest.raises(DataError, match=r"none of 1 masks is 10% to 40% white .*80%"):
        Inpaint(config(photos, data=data(masks={"folders": [str(large)], "kinds": kinds}))).load()
    with pytest.raises(DataError, match="all pictures have a side below 64 pixels"):
        Inpaint(config(photos, data=data(crop=64))).load()
    with pytest.raises(DataError, match="no such folder"):
        Inpaint(config(photos, data=data(folders=[str(tmp_path / "nowhere")]))).load()


def test_the_recipe_is_as_published(photos: Path) -> None:
    method = Inpaint(Config.parse(Config.with_defaults({"data": {"folders": [str(photos)]}}), where="test"))
    assert sum(parameter.numel() for parameter in method.networks["generator"].parameters()) == 4_052_478
    assert {name: moved.config.rate for name, moved in method.optimisers.items()} == dict.fromkeys(
        method.optimisers, 1e-4
    )
    assert (method.config.batch, method.config.data.crop, method.config.adversarial.name) == (16, 256, "hinge")
