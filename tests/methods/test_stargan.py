"""StarGAN trains on folders, on tables and on both, as published. One file then holds all domains."""

import csv
import json
import math
import signal
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
import trials
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch.nn import functional as F

from img2img import exchange
from img2img.errors import ConfigError, DataError, Interrupted
from img2img.methods.figures import to_signed
from img2img.methods.labels import ClassificationLoss, MultiSetGenerator, permute_within_sets, with_mask_vector
from img2img.methods.stargan import Config, StarGAN
from img2img.runtime.network import session
from img2img.training.engine import Engine
from img2img.training.listener import SilentListener
from img2img.training.loop import train

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230)}
STEPS = 6


def drawing(seed: int, colour: tuple[int, int, int]) -> tuple[Image.Image, bool, bool]:
    """Draw a disc or a square on grey. Return the picture, whether it is round, and whether it is large."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (32, 32), (128, 128, 128))
    side = int(rng.integers(10, 20))
    x, y = (int(v) for v in rng.integers(2, 30 - side, 2))
    draw = ImageDraw.Draw(picture)
    is_round = bool(seed % 2)
    (draw.ellipse if is_round else draw.rectangle)((x, y, x + side, y + side), fill=colour)
    return picture, is_round, side > 14


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per colour. Files of the same name show the same shape."""
    root = tmp_path_factory.mktemp("colours")
    for part, seeds in (("train", range(12)), ("test", range(100, 104))):
        for name, colour in COLOURS.items():
            (root / part / name).mkdir(parents=True)
            for seed in seeds:
                drawing(seed, colour)[0].save(root / part / name / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of attributes like CelebA's, with its pictures."""
    root = tmp_path_factory.mktemp("attributes")
    with (root / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "round", "large"])
        for seed in range(60):
            picture, is_round, is_large = drawing(seed, (200, 200, 40))
            picture.save(root / f"{seed}.png")
            writer.writerow([f"{seed}.png", 1 if is_round else -1, 1 if is_large else -1])
    return root


def config(*data: Path, **changes: object) -> Config:
    values = {
        "method": "stargan",
        "data": {"folders": [str(folder) for folder in data], "load": 36, "crop": 32},
        "generator": {"options": {"features": 4, "blocks": 1}},
        "discriminator": {"options": {"features": 4, "layers": 3}},
        "adversarial": {"discriminator_steps": 2},
        "steps": STEPS,
        "batch": 6,
        "log_every": 2,
        "validate_every": 3,
        "checkpoint_every": 2,
    }
    return Config.parse(Config.with_defaults({**values, **changes}), where="test")


def log(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def weights(run: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{STEPS:08d}" / f"{name}.safetensors")


def batches(method: StarGAN, count: int, start: int = 0) -> list[dict[str, torch.Tensor]]:
    dataset, size = method.load(), method.config.batch
    items = [[dataset[start + k * size + i] for i in range(size)] for k in range(count)]
    return [{name: torch.stack([item[name] for item in one]) for name in one[0]} for one in items]


def translate(run: Path, image: np.ndarray, domain: list[float]) -> np.ndarray:
    model = ort.InferenceSession(run / "model.onnx", providers=["CPUExecutionProvider"])
    (result,) = model.run(["result"], {"image": image, "domain": np.array([domain], np.float32)})
    return np.asarray(result)


@pytest.fixture(scope="module")
def whole(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(StarGAN, config(folders), run, SilentListener(), device="cpu")
    return run


def test_the_recipe_is_as_published(folders: Path) -> None:
    recipe = Config.parse({"method": "stargan", "data": {"folders": [str(folders)]}}, where="test")
    assert (recipe.optimiser.rate, recipe.optimiser.betas, recipe.batch, recipe.data.crop) == (
        1e-4,
        (0.5, 0.999),
        16,
        128,
    )
    assert (recipe.adversarial.name, recipe.adversarial.penalty_weight) == ("wgan-gp", 10)
    assert (recipe.classification, recipe.reconstruction, recipe.initialise) == (1, 10, "none")
    assert recipe.pairs == 0
    assert recipe.steps * recipe.adversarial.discriminator_steps == 200_000
    method = StarGAN(recipe)
    assert method.batches == 5 and method.data.dataset.partners is None
    assert method.networks["generator"].main[0].weight.shape == (64, 3 + 3, 7, 7)
    assert method.networks["discriminator"].conv2.weight.shape == (3, 2048, 2, 2)


def test_the_losses_are_those_of_the_paper(folders: Path) -> None:
    method = StarGAN(config(folders, adversarial={"penalty_weight": 0, "discriminator_steps": 1}))
    generator, discriminator = method.networks["generator"], method.networks["discriminator"]
    (batch,) = batches(method, 1)
    torch.manual_seed(5)
    step = method.step(method.networks, [batch])
    name, loss_d = next(step)
    torch.manual_seed(5)
    others = permute_within_sets(batch["set"])
    real, origin, target = to_signed(batch["image"]), batch["label"], batch["label"][others]
    assert not torch.equal(origin, target), "this seed must exchange labels, or the test shows nothing"
    with torch.no_grad():
        fake = generator(real, target)
        (source, domains), (source_fake, domains_fake) = discriminator(real), discriminator(fake)
        back = generator(fake, origin)
    equation5 = source_fake.mean() - source.mean() + F.cross_entropy(domains, origin.argmax(1))
    assert name == "discriminator" and loss_d.item() == pytest.approx(equation5.item(), rel=1e-4)
    name, loss_g = next(step)
    rebuilt = 10 * (back - real).abs().mean()
    equation6 = -source_fake.mean() + F.cross_entropy(domains_fake, target.argmax(1)) + rebuilt
    assert name == "generator" and loss_g.item() == pytest.approx(equation6.item(), rel=1e-4)


def test_only_the_last_discriminator_update_keeps_the_generators_graph(folders: Path) -> None:
    method = StarGAN(config(folders))
    step = method.step(method.networks, batches(method, 2))
    for expected in ("discriminator", "discriminator", "generator"):
        name, loss = next(step)
        assert name == expected
        moved = list(method.networks[name].parameters())
        grads = torch.autograd.grad(loss, moved, allow_unused=True)
        assert any(g is not None and g.abs().max() > 0 for g in grads)
    with pytest.raises(StopIteration) as end:
        next(step)
    assert {"loss", "adversarial", "penalty", "reconstruction", "classification_real", "classification_fake"} <= set(
        end.value.value
    )
    assert "pairs" not in end.value.value


PAIRS = 7.0
PLAIN = {"penalty_weight": 0, "discriminator_steps": 1}


def paired(*folders: Path, **changes: object) -> StarGAN:
    """StarGAN with pairs and with whole pictures, so that the truth can be drawn."""
    data = {"folders": [str(folder) for folder in folders], "load": 32, "crop": 32, "flip": False}
    return StarGAN(config(*folders, **{"data": data, "pairs": PAIRS, "adversarial": PLAIN, **changes}))


def truth_of(method: StarGAN, index: int, label: torch.Tensor) -> torch.Tensor:
    """Draw item `index` in the colour of `label`, values -1..1."""
    crops = method.data.dataset
    shape = int(crops.pictures.items[crops.place(index)].stem)  # type: ignore[attr-defined]
    picture, _, _ = drawing(shape, COLOURS[method.data.domains[int(label.argmax())]])
    return to_signed(torch.from_numpy(np.array(picture))).permute(2, 0, 1)


def step_with_labels(
    method: StarGAN, batch: dict[str, torch.Tensor]
) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Take one step. Return the labels that the generator was given, and the figures."""
    labels: list[torch.Tensor] = []
    hook = method.networks["generator"].register_forward_pre_hook(lambda _, given: labels.append(given[1]))
    torch.manual_seed(5)
    step = method.step(method.networks, [batch])
    try:
        while True:
            next(step)
    except StopIteration as end:
        hook.remove()
        return labels, end.value


def test_with_pairs_results_are_compared_with_the_truth(folders: Path) -> None:
    method = paired(folders)
    assert "36 of 36 pictures have the same name in another domain" in method.notes
    generator, discriminator = method.networks["generator"], method.networks["discriminator"]
    (batch,) = batches(method, 1)
    real, origin, wanted = to_signed(batch["image"]), batch["label"], batch["partner_label"]
    assert batch["has_partner"].all() and not (origin * wanted).any(), "never the picture's own domain"
    with torch.no_grad():
        fake = generator(real, wanted)
        truth = torch.stack([truth_of(method, i, label) for i, label in enumerate(wanted)])
        (source, _), (source_fake, domains_fake) = discriminator(real), discriminator(fake)
        back = generator(fake, origin)
    step = method.step(method.networks, [batch])
    _, loss_d = next(step)
    equation5 = source_fake.mean() - source.mean() + F.cross_entropy(discriminator(real)[1], origin.argmax(1))
    assert loss_d.item() == pytest.approx(equation5.item(), rel=1e-4)
    name, loss_g = next(step)
    equation6 = -source_fake.mean() + F.cross_entropy(domains_fake, wanted.argmax(1)) + 10 * F.l1_loss(back, real)
    assert name == "generator"
    assert loss_g.item() == pytest.approx((equation6 + PAIRS * F.l1_loss(fake, truth)).item(), rel=1e-4)
    with pytest.raises(StopIteration) as end:
        next(step)
    assert end.value.value["pairs"].item() == pytest.approx(F.l1_loss(fake, truth).item(), rel=1e-4)


def test_pictures_without_a_partner_train_as_published(folders: Path) -> None:
    method = paired(folders)
    (batch,) = batches(method, 1)
    for has_partner in ([1.0, 0, 0, 1, 0, 0], [0.0] * 6):
        batch["has_partner"] = torch.tensor(has_partner)
        torch.manual_seed(5)
        exchanged = batch["label"][permute_within_sets(batch["set"])]
        wanted = torch.where(batch["has_partner"][:, None] > 0, batch["partner_label"], exchanged)
        (target, origin), figures = step_with_labels(method, batch)
        assert torch.equal(target, wanted) and torch.equal(origin, batch["label"])
        with torch.no_grad():
            fake = method.networks["generator"](to_signed(batch["image"]), wanted)
        distances = [
            F.l1_loss(fake[i], truth_of(method, i, wanted[i])).item() if known else 0.0
            for i, known in enumerate(has_partner)
        ]
        assert figures["pairs"].item() == pytest.approx(np.mean(distances), rel=1e-4), "over all pictures"


@pytest.mark.parametrize("has_partner", [[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0] * 6], ids=str)
def test_a_part_of_a_batch_may_have_no_partners(has_partner: list[int], folders: Path) -> None:
    losses, gradients = [], []
    for parts in (1, 2):
        torch.manual_seed(0)
        method = paired(folders, accumulate=parts, batch=6, reconstruction=0.0, classification=0.0, ema=0.0)
        loss = method.adversarial
        loss.config = loss.config.model_copy(update={"weight": 0.0})  # only the pairs teach
        engine = Engine(method, method.config, "cpu")
        (batch,) = batches(method, 1)
        batch["has_partner"] = torch.tensor(has_partner, dtype=torch.float32)
        engine.begin(0)
        figures = engine.step([batch], measure=True)
        losses.append(figures["pairs"].item())
        gradients.append(figures["gradient/generator"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and (losses[0] > 0) == any(has_partner)
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-3, abs=1e-6)


def test_relativistic_scores_compare_with_the_truth(folders: Path) -> None:
    method = paired(folders, adversarial={"name": "relativistic", **PLAIN})
    seen: list[torch.Tensor] = []
    method.networks["discriminator"].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    (batch,) = batches(method, 1)
    step_with_labels(method, batch)
    source, fake, truth, result = seen
    assert torch.equal(source, to_signed(batch["image"])) and torch.equal(fake, result)
    assert torch.equal(truth, to_signed(batch["partner"]))


def test_pairs_within_one_of_two_data_sets(folders: Path, table: Path) -> None:
    method = paired(folders, table, batch=8)
    (batch,) = batches(method, 1)
    assert torch.equal(batch["has_partner"] > 0, batch["set"] == 0)
    (target, _), figures = step_with_labels(method, batch)
    first = batch["set"] == 0
    assert torch.equal(target[first, :5], batch["partner_label"][first])
    assert torch.equal(target[:, 5:].argmax(1), batch["set"]), "the mask vector"
    assert not (target[:, :5] * (1 - batch["known"])).any(), "labels of the other set are 0"
    assert figures["pairs"] > 0


def test_a_run_with_pairs_continues_exactly(folders: Path, tmp_path: Path) -> None:
    run = trials.check_resume(StarGAN, config(folders, pairs=PAIRS, steps=4, validate_every=4), tmp_path, stop=3)
    assert all(line["pairs"] > 0 for line in log(run) if "loss" in line)


def test_missing_pairs_are_an_error(folders: Path, table: Path) -> None:
    with pytest.raises(DataError, match=r"no picture has the same name in two domains.*set pairs = 0"):
        StarGAN(config(table, pairs=1.0))
    with pytest.raises(ConfigError, match="pairs"):
        config(folders, pairs=-1.0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(0, 99))
def test_labels_are_permuted_within_a_data_set(sets: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    tensor = torch.tensor(sets)
    order = permute_within_sets(tensor)
    assert sorted(order.tolist()) == list(range(len(sets)))
    assert torch.equal(tensor[order], tensor)


def test_every_permutation_of_labels_is_equally_likely() -> None:
    torch.manual_seed(0)
    counts = torch.zeros(4, 4)
    for _ in range(2000):
        counts[torch.arange(4), permute_within_sets(torch.zeros(4, dtype=torch.int64))] += 1
    assert (counts / 2000 - 0.25).abs().max() < 0.05


@pytest.mark.parametrize("stop", [3])
def test_a_resumed_run_equals_an_uninterrupted_one(stop: int, folders: Path, whole: Path, tmp_path: Path) -> None:
    class Stopping(SilentListener):
        def stepped(self, step: int, figures: object) -> None:
            if step == stop:
                signal.raise_signal(signal.SIGINT)

    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        train(StarGAN, config(folders), run, Stopping(), device="cpu")
    train(StarGAN, config(folders), run, SilentListener(), device="cpu")
    assert log(run) == log(whole)
    for name in ("generator", "generator.ema", "discriminator"):
        ours, theirs = weights(run, name), weights(whole, name)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_figures_and_contact_sheet(whole: Path) -> None:
    figures = log(whole)[-1]["validation"]
    assert isinstance(figures, dict)
    assert figures["closeness"] == -figures["swd"]
    assert set(figures) == {"closeness", "swd", "swd_input", "recognised", "label_effect", "diversity"} | {
        f"{name}{end}" for name in ("l1", "ssim") for end in ("", "_input")
    }
    assert all(np.isfinite(value) for value in figures.values()) and 0 <= figures["recognised"] <= 1
    sheet = Image.open(whole / "samples" / f"step-{STEPS:08d}.png")
    assert sheet.width == 4 * 32 + 5 * 6, "the input and three domains"


def test_figures_of_a_perfect_translator_and_of_one_that_copies(folders: Path) -> None:
    """The perfect translator paints held-out pictures in the target colour."""

    class Painter(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            grey = 128 / 127.5 - 1
            shape = (image - grey).abs().amax(1, keepdim=True) > 0.05
            colours = label @ to_signed(torch.tensor(list(COLOURS[name] for name in sorted(COLOURS))))
            return torch.where(shape, colours[:, :, None, None], torch.full_like(image, grey))

    class Copier(Painter):
        def forward(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return image

    class Colourist(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            means = image.mean((2, 3))
            return means.mean(1), means[:, [2, 1, 0]]  # blue, green, red

    method = StarGAN(config(folders, data={"folders": [str(folders)], "load": 32, "crop": 32}))
    method.load()
    assert method.data.domains == ("blue", "green", "red")
    painted = method.validate({"generator": Painter(), "discriminator": Colourist()}).figures
    assert painted["l1"] == pytest.approx(0, abs=1e-3) and painted["ssim"] > 0.99 and painted["recognised"] == 1
    assert painted["swd"] < 0.3 * painted["swd_input"] and painted["label_effect"] > 0.05
    assert painted["diversity"] > 0.8
    copied = method.validate({"generator": Copier(), "discriminator": Colourist()}).figures
    assert copied["label_effect"] == 0 and copied["recognised"] == 0
    assert all(copied[name] == copied[f"{name}_input"] for name in ("swd", "l1", "ssim"))


def test_the_model_file_equals_the_network_for_each_domain(folders: Path, whole: Path) -> None:
    card = session.load(whole / "model.onnx").card
    assert (card.domains, card.exclusive, card.multiple, card.context) == (("blue", "green", "red"), True, 4, None)
    assert (card.task, card.method, card.trained_on) == ("translate", "stargan", (folders.name,))
    image = np.random.default_rng(0).random((1, 3, 24, 36), dtype=np.float32)
    generator = StarGAN(config(folders)).networks["generator"].eval()
    generator.load_state_dict(weights(whole, "generator.ema"))
    results = []
    for domain in np.eye(3, dtype=np.float32):
        results.append(translate(whole, image, domain.tolist()))
        with torch.no_grad():
            truth = generator(torch.from_numpy(image) * 2 - 1, torch.from_numpy(domain)[None]) / 2 + 0.5
        assert np.abs(results[-1] - truth.numpy()).max() < 1e-4
    assert min(np.abs(results[i] - results[k]).mean() for i in range(3) for k in range(i)) > 1e-3


def test_attributes_of_a_table(table: Path) -> None:
    method = StarGAN(config(table))
    method.load()
    held = next(one for one in method.domain_validation.sources if one.label.tolist() == [1, 0])
    labels, _ = method.domain_validation.target_labels(held)
    assert labels.tolist() == [[0, 0], [1, 1], [1, 0]], "round flipped, large flipped, no change"
    (model,) = method.models(method.networks)
    assert (model.card.domains, model.card.exclusive) == (("round", "large"), False)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        both, neither = (model.network(image, torch.full((1, 2), value)) for value in (1.0, 0.0))
    assert (both - neither).abs().mean() > 1e-3
    for network in method.networks.values():
        network.eval()
    validation = method.validate(method.networks)
    assert "l1" not in validation.figures and validation.figures["label_effect"] > 0
    assert list(validation.columns) == ["input", "flip round", "flip large"]
    assert all(len(row) == 3 for row in validation.rows)


def test_two_data_sets_with_labels_of_their_own(folders: Path, table: Path, tmp_path: Path) -> None:
    settings_ = config(folders, table, steps=2, validate_every=2)
    method = StarGAN(settings_)
    assert method.networks["generator"].main[0].weight.shape[1] == 3 + 5 + 2
    (batch,) = batches(method, 1)
    assert sorted(set(batch["set"].tolist())) == [0, 1]
    given_ = with_mask_vector(batch["label"], batch["set"], 2)
    assert torch.equal(given_[:, 5:].argmax(1), batch["set"])
    assert not (given_[:, :5] * (1 - batch["known"])).any(), "labels of the other set are 0"
    train(StarGAN, settings_, tmp_path / "run", SilentListener(), device="cpu")
    card = session.load(tmp_path / "run" / "model.onnx").card
    assert (card.domains, card.exclusive) == (("blue", "green", "red", "round", "large"), False)
    generator = method.networks["generator"].eval()
    generator.load_state_dict(
        load_file(tmp_path / "run" / "checkpoints" / "step-00000002" / "generator.ema.safetensors")
    )
    image = np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32)
    for domain, mask in (
        ([0, 1, 0, 0, 0], [1, 0]),
        ([0, 0, 0, 1, 1], [0, 1]),
        ([0, 0, 0, 0, 0], [0, 1]),
    ):
        label = torch.tensor([domain + mask], dtype=torch.float32)
        with torch.no_grad():
            truth = generator(torch.from_numpy(image) * 2 - 1, label) / 2 + 0.5
        assert np.abs(translate(tmp_path / "run", image, domain) - truth.numpy()).max() < 1e-4


def test_the_data_set_with_the_stronger_labels_is_selected() -> None:
    seen: list[torch.Tensor] = []
    recording = torch.nn.Module()
    recording.forward = lambda image, label: seen.append(label) or image  # type: ignore[method-assign]
    generator = MultiSetGenerator(recording, [slice(0, 2), slice(2, 4)], [True, False])
    image = torch.zeros(4, 3, 8, 8)
    generator(image, torch.tensor([[0.6, 0.4, 0.2, 0], [0, 0.5, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]]))
    assert seen[0].tolist() == [
        pytest.approx([0.6, 0.4, 0, 0, 1, 0]),
        [0, 0, 1, 1, 0, 1],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0, 1],
    ]


def test_unknown_labels_give_no_gradient() -> None:
    classify = ClassificationLoss([slice(0, 3), slice(3, 5)], [True, False])
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    label = torch.tensor([[0.0, 1, 0, 0, 0], [0, 0, 0, 1, 0]])
    known = torch.tensor([[1.0, 1, 1, 0, 0], [0, 0, 0, 1, 1]])
    loss = classify(logits, label, known)
    first = F.cross_entropy(logits[:1, :3], torch.tensor([1]))
    second = F.binary_cross_entropy_with_logits(logits[1, 3:], torch.tensor([1.0, 0]), reduction="sum")
    assert loss.item() == pytest.approx((first + second).item() / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.equal(gradient != 0, known > 0)
    assert classify.recognised(torch.tensor([[0.0, 2, 1, -1, 3]]), 1).all()
    assert not classify.recognised(torch.tensor([[0.0, 2, 1, -1, 3]]), 3).any()
    assert classify.recognised(torch.tensor([[0.0, 2, 1, -1, 3]]), 4).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": {"name": "unet", "options": {"features": 4}}},
        {
            "generator": {"name": "resnet", "options": {"features": 4, "blocks": 1}, "spectral": True},
            "discriminator": {"name": "patchgan", "options": {"features": 4, "norm": "instance", "layers": 2}},
        },
        {
            "discriminator": {"name": "multi-scale", "options": {"features": 4, "layers": 2}},
            "adversarial": {"name": "relativistic-average", "discriminator_steps": 1},
            "matching": {"weight": 1.0},
        },
        {
            "discriminator": {"name": "auto-encoder", "options": {"features": 4}},
            "adversarial": {"name": "began", "discriminator_steps": 1},
        },
        {
            "discriminator": {"name": "projection", "options": {"features": 4}, "spectral": True},
            "adversarial": {"name": "hinge", "discriminator_steps": 1},
        },
        {"matching": {"weight": 1.0}, "adversarial": {"name": "non-saturating", "weight": 0}, "reconstruction": 0.0},
        {"classification": 0.0, "objective": "charbonnier", "accumulate": 2, "batch": 4, "ema": 0.0},
        {
            "generator": {"name": "unet", "options": {"features": 4, "residual": True}},
            "pairs": 10.0,
            "objective": "charbonnier",
            "matching": {"weight": 1.0},
        },
    ],
    ids=[
        "unet",
        "resnet-patchgan",
        "multi-scale",
        "auto-encoder",
        "projection",
        "matching-alone",
        "accumulated",
        "pairs",
    ],
)
def test_networks_and_objectives_can_be_combined_freely(changes: dict[str, object], folders: Path) -> None:
    method = StarGAN(config(folders, **changes))
    engine = Engine(method, method.config, "cpu")
    before = {name: [p.clone() for p in network.parameters()] for name, network in method.networks.items()}
    for k in range(2):
        engine.begin(k)
        figures = engine.step(batches(method, method.batches, k * method.batches * method.config.batch), measure=True)
        assert all(value.isfinite() for value in figures.values())
    for name, network in method.networks.items():
        moved = [not torch.equal(a, b) for a, b in zip(before[name], network.parameters(), strict=True)]
        assert sum(moved) > len(moved) / 2
    assert np.isfinite(method.validate(engine.evaluation_networks()).figures["closeness"])


def test_a_projection_judges_each_picture_with_its_own_domain_and_takes_no_penalty(folders: Path) -> None:
    """The discriminator's loss scores real pictures with their labels, and results with the labels they should have."""
    network = {"name": "projection", "options": {"features": 4}}
    method = StarGAN(
        config(folders, discriminator=network, adversarial={"name": "hinge", "discriminator_steps": 1}, matching={})
    )
    batch = batches(method, 1, method.config.batch)[0]
    judge, real = method.networks["discriminator"], to_signed(batch["image"])
    torch.manual_seed(0)
    _, loss = next(method.step(method.networks, [batch]))
    torch.manual_seed(0)
    target = batch["label"][permute_within_sets(batch["set"])]
    with torch.no_grad():
        common, own = judge(real)
        score_real = common + (own * batch["label"]).sum(1, keepdim=True)
        common, logits = judge(method.networks["generator"](real, target))
        score_fake = common + (logits * target).sum(1, keepdim=True)
        hinge = F.relu(1 - score_real).mean() + F.relu(1 + score_fake).mean()
        expected = hinge + method.classify(own, batch["label"], batch["known"])
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-4)
    with pytest.raises(ConfigError, match="discriminator 'projection' judges a picture together with its domain"):
        StarGAN(config(folders, discriminator=network, adversarial={"name": "wgan-gp"}))


def test_a_unet_is_exported_as_one_file_too(folders: Path, tmp_path: Path) -> None:
    method = StarGAN(config(folders, generator={"name": "unet", "options": {"features": 4}}))
    (model,) = method.models(method.networks)
    assert model.card.multiple == 32
    exchange.export(model.network, model.card, tmp_path / "model.onnx")
    image = np.random.default_rng(0).random((1, 3, 32, 64), dtype=np.float32)
    assert np.abs(translate(tmp_path, image, [1, 0, 0]) - translate(tmp_path, image, [0, 0, 1])).mean() > 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": {"name": "gated"}}, "takes neither labels nor extra channels"),
        ({"generator": {"name": "stargan-discriminator"}}, "stargan-discriminator is not a generator"),
        ({"generator": {"name": "patchgan"}}, "takes neither labels"),
        ({"discriminator": {"name": "stargan"}}, "stargan is not a discriminator"),
        ({"discriminator": {"name": "patchgan"}}, r"penalty = gradient .* discriminator.options.norm=instance"),
        ({"discriminator": {"options": {"layers": 6}}}, "cannot be halved layers = 6 times"),
        ({"discriminator": {"name": "patchgan", "options": {"layers": 5, "norm": "none"}}}, "at data.crop = 32"),
        ({"generator": {"options": {"channels": 4}}}, "channels = 4, but it must be 3 here"),
        ({"matching": {"weight": 1.0, "kind": "pairwise"}}, "class-mean or mean"),
        ({"batch": 1}, "needs 2 pictures"),
        ({"batch": 4, "accumulate": 4}, "needs 2 pictures"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, object], message: str, folders: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        StarGAN(config(folders, **changes))


def test_held_out_pictures_of_no_use_are_an_error(table: Path, tmp_path: Path) -> None:
    for seed in range(20):
        drawing(2 * seed, (1, 2, 3))[0].save(tmp_path / f"{seed}.png")
    rows = "".join(f"{seed}.png,{int(seed == 19)},0\n" for seed in range(20))
    (tmp_path / "list.csv").write_text(f"picture,a,b\n{rows}")
    with pytest.raises(DataError, match=r"no domain of a, b has held-out pictures .* set data\.validation"):
        StarGAN(config(tmp_path)).load()


@pytest.mark.parametrize("name", ["stargan-discriminator", "patchgan"])
def test_the_bound_of_wgan_applies_to_the_critic_and_not_to_the_classifier(name: str, folders: Path) -> None:
    options = {"features": 4, "layers": 3} if name == "stargan-discriminator" else {"features": 4, "layers": 1}
    changes = {
        "adversarial": {"name": "wgan", "discriminator_steps": 1},
        "discriminator": {"name": name, "options": options},
        "discriminator_optimiser": {"rate": 5e-3},
        "batch": 12,
    }
    torch.manual_seed(0)
    method = StarGAN(config(folders, **changes))
    engine = Engine(method, method.config, "cpu")
    figures = [engine.step([one]) for one in batches(method, 40)]
    weights = dict(method.networks["discriminator"].named_parameters())
    classifier = {key for key in weights if key.startswith(("conv2.", "classifier."))}
    assert all(weight.abs().max() <= 0.01 for key, weight in weights.items() if key not in classifier)
    assert any(weight.abs().max() > 0.02 for key, weight in weights.items() if key in classifier)
    last = np.mean([float(one["classification_real"]) for one in figures[-5:]])
    assert last < 0.7 * math.log(3), "it learns; guessing costs log 3"


def test_the_classification_makes_the_generator_follow_its_label(folders: Path) -> None:
    def trained(classification: float) -> dict[str, float]:
        torch.manual_seed(0)
        changes = {
            "classification": classification,
            "generator": {"options": {"features": 8, "blocks": 1}},
            "discriminator": {"options": {"features": 8, "layers": 3}},
            "adversarial": {"name": "lsgan", "discriminator_steps": 1},
            "optimiser": {"rate": 2e-3},
            "discriminator_optimiser": {"rate": 2e-3},
            "schedule": {"shape": "constant"},
            "ema": 0.0,
        }
        method = StarGAN(config(folders, **changes))
        engine = Engine(method, method.config, "cpu")
        for k in range(80):
            engine.begin(k)
            engine.step(batches(method, 1, k * method.config.batch))
        return method.validate(engine.evaluation_networks()).figures

    with_classification, without = trained(1.0), trained(0.0)
    assert with_classification["recognised"] > 0.9
    assert with_classification["label_effect"] > 2 * without["label_effect"]
