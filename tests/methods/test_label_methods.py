"""CVAE-GAN and FM-CGAN train on a folder for each label, as published, and export what the networks compute."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from torch import Tensor, nn
from torch.nn import functional as F

from img2img import methods
from img2img.errors import CheckpointError, ConfigError, DataError
from img2img.methods.cvae_gan import CVAEGAN
from img2img.methods.figures import to_signed
from img2img.methods.fm_cgan import FMCGAN
from img2img.methods.label_classes import fixed_statistics
from img2img.methods.label_models import LabelCoder, LabelInpainter, LabelMorpher, LabelTranslator
from img2img.methods.method import Method
from img2img.objectives import normal_codes
from img2img.objectives.feature_matching import FeatureMatching

NAMES = ("red", "green", "blue")
TINY = {"options": {"features": 2}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.domains(tmp_path_factory.mktemp("labels"))


def config(name: str, folder: Path, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "method": name,
        "data": {"folders": [str(folder)], "load": 32, "crop": 16},
        "code": 5,
        "generator": TINY,
        "discriminator": TINY,
        "classifier": {"options": {"features": 2, "hidden": 6}},
        "steps": 4,
        "batch": 6,
        "precision": "fp32",
        "log_every": 1,
        "validate_every": 4,
        "checkpoint_every": 2,
    } | ({"encoder": TINY} if name == "cvae-gan" else {})
    values["data"] |= changes.pop("data", {})
    recipe = methods.find(name).recipe
    return recipe.parse(recipe.with_defaults({**values, **changes}), where="test")


def build(name: str, folder: Path, **changes: Any) -> Any:
    torch.manual_seed(0)
    return methods.find(name)(config(name, folder, **changes))


def batch_of(method: Method, count: int = 6) -> dict[str, Tensor]:
    dataset = method.load()
    items = [dataset[i] for i in range(count)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def losses(method: Method, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The losses of one step, without updates between them."""
    torch.manual_seed(5)
    step = method.step(method.networks, [dict(batch)])
    found = {}
    try:
        while True:
            name, loss = next(step)
            found[name] = loss
    except StopIteration:
        return found


def half_square(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (real - fake).square().flatten(1).sum(1).mean()


def matched_features(discriminator: nn.Module, picture: Tensor) -> Tensor:
    """The input of the last convolution with stride, 8 x 8 pixels."""
    features: Tensor = discriminator.main[:2](picture)  # type: ignore[index,operator]
    assert features.shape[2:] == (8, 8)
    return features


@pytest.mark.parametrize("name", ["cvae-gan", "fm-cgan"])
def test_the_recipes_are_as_published(name: str, folder: Path) -> None:
    recipe = methods.find(name).recipe
    config = recipe.parse({"method": name, "data": {"folders": [str(folder)]}}, where="test")
    assert (config.optimiser.rate, config.optimiser.betas, config.batch, config.data.crop) == (
        2e-4,
        (0.5, 0.999),
        128,
        128,
    )
    assert (config.adversarial.name, config.adversarial.weight) == ("non-saturating", 0)
    assert (config.matching.weight, config.matching.distance, config.matching.reduction) == (1, "l2", "half-sum")
    assert config.classifier_matching == 1
    if name == "cvae-gan":
        assert (config.reconstruction, config.kl, config.matching.kind) == (1, 3, "pairwise")
        assert (config.prior_matching, config.prior_classifier_matching) == (1e-3, 1e-3)
    else:
        assert config.matching.kind == "centres"


def test_the_default_networks_are_those_of_the_tables(folder: Path) -> None:
    method = CVAEGAN(
        methods.find("cvae-gan").recipe.parse({"method": "cvae-gan", "data": {"folders": [str(folder)]}}, where="test")
    )

    def count(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> float:
        weights = (m.weight.numel() for m in network.modules() if isinstance(m, kinds))
        return round(sum(weights) / 1e6, 2)

    # The thesis has 8.00 M in the convolutions of G and 6.96 M in D.
    assert count(method.networks["generator"], (nn.ConvTranspose2d, nn.Conv2d)) == pytest.approx(8.0, abs=0.01)
    assert count(method.networks["discriminator"], (nn.Conv2d,)) == pytest.approx(6.96, abs=0.01)
    assert method.networks["classifier"].last.in_features == 1024
    assert method.matched_layers == ("main.10",)
    features = method.networks["discriminator"].main[:11](torch.zeros(1, 3, 128, 128))
    assert features.shape == (1, 512, 8, 8)


def test_the_losses_of_cvae_gan_are_those_of_the_paper(folder: Path) -> None:
    method = build("cvae-gan", folder, prior_matching=0.0, prior_classifier_matching=0.0)
    nets, batch = method.networks, batch_of(method)
    real, label = to_signed(batch["image"]), batch["label"]
    with torch.no_grad():
        logits, _ = nets["classifier"](real)
        mean, log_variance = nets["encoder"](real, label)
        torch.manual_seed(5)
        code = mean + torch.randn(6, 5) * (log_variance / 2).exp()
        fake = nets["generator"](torch.cat((code, label), 1))
        scores, scores_fake = nets["discriminator"](real), nets["discriminator"](fake)
        features, features_fake = (matched_features(nets["discriminator"], one) for one in (real, fake))
    found = losses(method, batch)
    assert found["classifier"].item() == pytest.approx(F.cross_entropy(logits, label.argmax(1)).item(), rel=1e-4)
    cross_entropy = F.softplus(-scores).mean() + F.softplus(scores_fake).mean()
    assert found["discriminator"].item() == pytest.approx(cross_entropy.item(), rel=1e-4)
    with torch.no_grad():
        for module in nets["classifier"].modules():
            module.training = not isinstance(module, nn.BatchNorm2d)
        pairs = [nets["classifier"](one)[1] for one in (real, fake)]
    kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
    expected = half_square(real, fake) + half_square(features, features_fake) + half_square(*pairs) + 3 * kl
    assert found["generator"].item() == pytest.approx(expected.item(), rel=1e-3)


def test_pictures_from_random_codes_match_means_too(folder: Path) -> None:
    method, weight = build("cvae-gan", folder, prior_matching=2.0, prior_classifier_matching=0.0), 2.0
    plain = build("cvae-gan", folder, prior_matching=0.0, prior_classifier_matching=0.0)
    batch = batch_of(method)
    plain.load()
    nets, real = method.networks, to_signed(batch["image"])
    with torch.no_grad():
        torch.manual_seed(5)
        torch.randn(6, 5)  # the noise of the encoded codes
        drawn = nets["generator"](torch.cat((torch.randn(6, 5), batch["label"]), 1))
        means = [matched_features(nets["discriminator"], one).mean(0, keepdim=True) for one in (real, drawn)]
    difference = losses(method, batch)["generator"] - losses(plain, batch)["generator"]
    assert difference.item() == pytest.approx(weight * half_square(*means).item(), rel=1e-3)


def test_the_losses_of_fm_cgan_are_those_of_the_thesis(folder: Path) -> None:
    method = build("fm-cgan", folder)
    nets, batch = method.networks, batch_of(method)
    real, label = to_signed(batch["image"]), batch["label"]
    with torch.no_grad():
        torch.manual_seed(5)
        fake = nets["generator"](torch.cat((torch.randn(6, 5), label), 1))
        means = [matched_features(nets["discriminator"], one).mean(0, keepdim=True) for one in (real, fake)]
        expected = half_square(*means)
        nets["classifier"](real)  # the classification also updates the running statistics
        with fixed_statistics(nets["classifier"]):
            features, features_fake = (nets["classifier"](one)[1] for one in (real, fake))
    for k in range(3):
        mine = label[:, k] > 0
        expected += half_square(features[mine].mean(0, keepdim=True), features_fake[mine].mean(0, keepdim=True))
    again = build("fm-cgan", folder)
    again.load()
    assert losses(again, batch)["generator"].item() == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("name", ["cvae-gan", "fm-cgan"])
def test_each_loss_trains_its_network_only(name: str, folder: Path) -> None:
    method = build(name, folder)
    found = losses(method, batch_of(method))
    moved = {one: [n for n in spec.networks] for one, spec in method.optimisers.items()}
    assert moved["classifier"] == ["classifier"] and moved["discriminator"] == ["discriminator"]
    for one, loss in found.items():
        parameters = [p for network in moved[one] for p in method.networks[network].parameters()]
        grads = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
        assert any(g is not None and g.abs().max() > 0 for g in grads)
    generator = list(method.networks["generator"].parameters())
    for one in ("classifier", "discriminator"):
        assert all(g is None for g in torch.autograd.grad(found[one], generator, allow_unused=True, retain_graph=True))


def test_the_divergence_trains_the_encoder_and_not_the_generator(folder: Path) -> None:
    method = build("cvae-gan", folder)
    mean, log_variance = method.networks["encoder"](torch.rand(2, 3, 16, 16), torch.eye(3)[:2])
    divergence = normal_codes.divergence(mean, log_variance)
    generator = list(method.networks["generator"].parameters())
    assert all(g is None for g in torch.autograd.grad(divergence, generator, allow_unused=True))


def test_the_divergence_is_that_of_two_normal_distributions() -> None:
    mean, deviation = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.7, 2.0]])
    ours = torch.distributions.Normal(mean, deviation)
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).sum()
    assert normal_codes.divergence(mean, 2 * deviation.log()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_drawn_codes_have_the_mean_and_deviation_of_the_encoder() -> None:
    torch.manual_seed(0)
    codes = normal_codes.draw(torch.full((20_000, 1), 3.0), torch.full((20_000, 1), 2 * np.log(0.5)))
    assert codes.mean().item() == pytest.approx(3, abs=0.02)
    assert codes.std().item() == pytest.approx(0.5, abs=0.02)


def test_the_classifier_judges_generated_pictures_without_learning_their_statistics() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))
    before = network[0].running_mean.clone()  # type: ignore[union-attr,operator]
    with fixed_statistics(network):
        network(torch.rand(4, 3, 8, 8) + 5)
    assert torch.equal(network[0].running_mean, before)  # type: ignore[arg-type]
    assert network[0].training
    network(torch.rand(4, 3, 8, 8) + 5)
    assert not torch.equal(network[0].running_mean, before)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cvae-gan", "fm-cgan"])
def test_a_run_resumes_exactly(name: str, folder: Path, tmp_path: Path) -> None:
    changes = {"prior_matching": 0.1, "prior_classifier_matching": 0.1} if name == "cvae-gan" else {}
    run = trials.check_resume(methods.find(name), config(name, folder, **changes), tmp_path, stop=2)
    (figures,) = (entry["validation"] for entry in trials.log(run) if "validation" in entry)
    assert {"closeness", "recognised", "label_effect", "diversity", "classified"} <= figures.keys()
    assert ("reconstruction" in figures) == (name == "cvae-gan")


def random_inputs(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.random(shape, dtype=np.float32) for shape in shapes]


def test_the_models_of_cvae_gan_compute_what_the_networks_do(folder: Path, tmp_path: Path) -> None:
    method = build("cvae-gan", folder, inpainting_rounds=2)
    for network in method.networks.values():
        network.eval()
    sessions = trials.export(method, tmp_path)
    assert sessions.keys() == {"", ".inpaint", ".morph", ".samples"}
    encoder, generator, classifier = (method.networks[name] for name in ("encoder", "generator", "classifier"))
    coder = LabelCoder(encoder, generator, classifier, 16)
    image, reference, latent = random_inputs((1, 3, 16, 16), (1, 3, 16, 16), (1, 5))
    domain, position = np.array([[0, 1, 0]], np.float32), np.array([[0.25]], np.float32)
    mask = np.zeros((1, 1, 16, 16), np.float32)
    mask[:, :, 4:9, 3:8] = 1
    hole, wanted = torch.from_numpy(mask), torch.from_numpy(domain)
    a, b = (torch.from_numpy(one) * 2 - 1 for one in (image, reference))
    with torch.no_grad():
        own = F.one_hot(classifier(a)[0].argmax(1), 3).float()
        theirs = F.one_hot(classifier(b)[0].argmax(1), 3).float()
        code, other = encoder(a, own)[0], encoder(b, theirs)[0]
        translated = generator(torch.cat((code, wanted), 1))
        blank = a * (1 - hole)
        once = generator(torch.cat((encoder(blank, wanted)[0], wanted), 1)) * hole + blank
        twice = generator(torch.cat((encoder(once, wanted)[0], wanted), 1))
        between = torch.cat((0.75 * code + 0.25 * other, 0.75 * own + 0.25 * theirs), 1)
        expected = {
            "": translated,
            ".inpaint": twice * hole + a * (1 - hole),
            ".morph": generator(between),
            ".samples": generator(torch.cat((torch.from_numpy(latent), wanted), 1)),
        }
    given = {
        "": {"domain": domain},
        ".inpaint": {"mask": mask, "domain": domain},
        ".morph": {"reference": reference, "latent": position},
        ".samples": {"domain": domain, "latent": latent},
    }
    for suffix, session in sessions.items():
        (result,) = session.run(["result"], {"image": image, **given[suffix]})
        assert np.abs(result * 2 - 1 - expected[suffix].numpy()).max() < 1e-3, suffix
    assert LabelTranslator(coder)(a, wanted).equal(translated)
    assert LabelInpainter(coder, 2)(blank, hole, wanted).equal(twice)
    assert LabelMorpher(coder)(a, b, torch.zeros(1, 1)).equal(generator(torch.cat((code, own), 1)))


def test_results_have_the_size_of_the_picture(folder: Path, tmp_path: Path) -> None:
    session = trials.export(build("fm-cgan", folder), tmp_path)[""]
    image, other, latent = random_inputs((2, 3, 21, 40), (2, 3, 21, 40), (2, 5))
    domain = np.eye(3, dtype=np.float32)[:2]
    (result,) = session.run(["result"], {"image": image, "domain": domain, "latent": latent})
    assert result.shape == (2, 3, 21, 40)
    (same,) = session.run(["result"], {"image": other, "domain": domain, "latent": latent})
    assert np.array_equal(result, same)


def test_symmetric_training_is_a_setting(folder: Path) -> None:
    method = build("cvae-gan", folder, matching={"weight": 0.0}, adversarial={"weight": 1.0})
    assert "generator" in losses(method, batch_of(method))
    with pytest.raises(ConfigError, match="the discriminator would have no effect"):
        build("cvae-gan", folder, matching={"weight": 0.0})


def test_a_label_with_one_picture_is_an_error(folder: Path, tmp_path: Path) -> None:
    lonely = trials.domains(tmp_path / "lonely", ("red", "green"))
    (lonely / "blue").mkdir()
    trials.shape(0, (0, 0, 255)).save(lonely / "blue" / "one.png")
    with pytest.raises(DataError, match="domain blue: one picture cannot serve for both training and validation"):
        build("cvae-gan", lonely)
    split = tmp_path / "split"
    trials.domains(split / "train", ("red", "green"))
    trials.domains(split / "val", ("red", "green", "blue"), count=2)
    (split / "train" / "blue").mkdir()
    trials.shape(0, (0, 0, 255)).save(split / "train" / "blue" / "one.png")
    with pytest.raises(DataError, match="label blue has only one training picture; add more"):
        build("fm-cgan", split)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"crop": 24}}, "data.crop = 24: cvae-gan needs a power of two, at least 16"),
        ({"generator": {"name": "unet", "options": {}}}, "generator.name = unet cannot be the generator of cvae-gan"),
        ({"encoder": {"name": "dcgan", "options": {}}}, "encoder.name = dcgan cannot be the encoder of cvae-gan"),
        ({"classifier": {"name": "patchgan", "options": {}}}, "classifier.name = patchgan cannot be the classifier"),
        ({"matching": {"kind": "class-mean"}}, "matching.kind = class-mean needs classes"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build("cvae-gan", folder, **changes)


def test_tables_and_several_data_sets_are_refused(folder: Path, tmp_path: Path) -> None:
    other = trials.domains(tmp_path / "other")
    with pytest.raises(DataError, match="fm-cgan takes one folder per label, not several data sets: use stargan"):
        build("fm-cgan", folder, data={"folders": [str(folder), str(other)]})
    lines = ["name,round,large"] + [f"red/s{i:03}.png,{2 * (i % 2) - 1},{1 if i > 5 else -1}" for i in range(12)]
    (other / "list.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="not a table of attributes: use stargan"):
        build("fm-cgan", other)


def test_moving_centres_follow_the_means_of_real_and_fake_features() -> None:
    matching = FeatureMatching("centres", "l2", decay=0.5, reduction="half-sum")
    real, fake = [torch.tensor([[2.0], [4.0]])], [torch.tensor([[0.0], [2.0]])]
    assert matching(real, fake).item() == pytest.approx(0.5 * (3 - 1) ** 2)
    # The next means are 5 and 3. The averages move half the way: to 4 and 2.
    later, moved = [torch.tensor([[4.0], [6.0]])], torch.tensor([[2.0], [4.0]], requires_grad=True)
    loss = matching(later, [moved])
    assert loss.item() == pytest.approx(0.5 * (4 - 2) ** 2)
    (gradient,) = torch.autograd.grad(loss, moved)
    assert torch.allclose(gradient, torch.full((2, 1), (2 - 4) * 0.5 / 2))
    other = FeatureMatching("centres", "l2", decay=0.5, reduction="half-sum")
    other.load_state_dict(matching.state_dict())
    assert other(later, [moved]).item() == matching(later, [moved]).item()


def test_moving_centres_of_labels_keep_those_that_a_batch_lacks() -> None:
    matching = FeatureMatching("centres", "l2", decay=0.5, reduction="half-sum")
    matching([torch.tensor([[1.0], [3.0]])], [torch.tensor([[0.0], [0.0]])], torch.eye(2))
    first = torch.tensor([[1.0, 0.0]])
    # Only the first label counts: its averages are 1 and (0 + 1) / 2.
    assert matching([torch.tensor([[1.0]])], [torch.tensor([[1.0]])], first).item() == pytest.approx(0.5 * 0.5**2)
    assert matching.centre_0[1].item() == 3  # type: ignore[index,union-attr]


def test_fm_cgan_and_cvae_gan_are_methods() -> None:
    assert methods.find("cvae-gan") is CVAEGAN and methods.find("fm-cgan") is FMCGAN


def test_a_run_cannot_start_from_networks_of_another_code(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    trials.train_steps(FMCGAN, config("fm-cgan", folder), run)
    with pytest.raises(CheckpointError, match="generator is another network"):
        trials.train_steps(FMCGAN, config("fm-cgan", folder, code=7, start=str(run)), tmp_path / "next")
