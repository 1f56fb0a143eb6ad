"""IP-GAN trains its identity network first, keeps it fixed then, and exports one model for two pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trials
from torch import Tensor
from torch.nn import functional as F

from img2img import networks
from img2img.errors import CheckpointError, ConfigError, Img2ImgError
from img2img.methods.figures import to_signed
from img2img.methods.fm_cgan import FMCGAN
from img2img.methods.ip_gan import IPGAN, Config
from img2img.training import export
from img2img.training.listener import SilentListener
from img2img.training.loop import train

TINY = {"options": {"features": 2}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trials.domains(tmp_path_factory.mktemp("identities"))


def config(stage: str, folder: Path, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "method": "ip-gan",
        "stage": stage,
        "data": {"folders": [str(folder)]},
        "steps": 4,
        "batch": 6,
        "precision": "fp32",
        "log_every": 1,
        "validate_every": 4,
        "checkpoint_every": 2,
    }
    if stage == "identity":
        values |= {"data": {**values["data"], "load": 32, "crop": 16}, "identity": TINY}
    else:
        values |= {"code": 5, "attributes": TINY, "generator": TINY, "discriminator": TINY}
    return Config.parse(Config.with_defaults({**values, **changes}), where="test")


@pytest.fixture(scope="module")
def identity(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the identity stage."""
    run = tmp_path_factory.mktemp("identity") / "run"
    train(IPGAN, config("identity", folder), run, SilentListener(), device="cpu")
    return run


def build(folder: Path, identity: Path, **changes: Any) -> IPGAN:
    torch.manual_seed(0)
    return IPGAN(config("synthesis", folder, start=str(identity), **changes))


def batch_of(method: IPGAN) -> dict[str, Tensor]:
    dataset = method.load()
    items = [dataset[i] for i in range(6)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def losses(method: IPGAN, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    torch.manual_seed(5)
    step = method.step(method.networks, [batch])
    found = {}
    try:
        while True:
            name, loss = next(step)
            found[name] = loss
    except StopIteration:
        return found


def half_square(real: Tensor, fake: Tensor) -> Tensor:
    return 0.5 * (real - fake).square().flatten(1).sum(1).mean()


def test_the_recipe_is_as_published(folder: Path) -> None:
    values = {"method": "ip-gan", "data": {"folders": [str(folder)]}, "start": "run"}
    recipe: Any = Config.parse(Config.with_defaults(values), where="test")
    assert recipe.stage == "synthesis"
    assert (recipe.reconstruction, recipe.other_reconstruction, recipe.kl, recipe.identity_matching) == (1, 0.1, 1, 1)
    assert (recipe.matching.weight, recipe.matching.kind, recipe.matching.reduction) == (1, "pairwise", "half-sum")
    assert (recipe.adversarial.weight, recipe.data.crop) == (0, 128)


def test_the_networks_are_those_of_the_thesis() -> None:
    vgg = networks.build("vgg16", outputs=7)
    assert sum(isinstance(one, torch.nn.Conv2d) for one in vgg.modules()) == 13
    outputs, pooled = vgg.eval()(torch.zeros(1, 3, 128, 128))
    assert outputs.shape == (1, 7) and pooled.shape == (1, 512 * 4 * 4)
    inverted = networks.build("inverted-vgg16", inputs=9, features=2)
    assert sum(isinstance(one, torch.nn.Conv2d) for one in inverted.modules()) == 14
    assert inverted.eval()(torch.zeros(1, 9)).shape == (1, 3, 128, 128)


def test_without_an_identity_network_it_stops_before_it_reads_the_data(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train one with --stage identity --out RUN, then start from it with --start"):
        IPGAN(config("synthesis", tmp_path / "nowhere"))


def test_weights_without_an_identity_network_are_refused(folder: Path, tmp_path: Path) -> None:
    other = FMCGAN.recipe.parse(
        {
            "method": "fm-cgan",
            "data": {"folders": [str(folder)], "load": 32, "crop": 16},
            "generator": {"name": "vector-generator", **TINY},
            "discriminator": {"name": "dcgan", **TINY},
            "classifier": {"name": "label-classifier", **TINY},
            "batch": 2,
        },
        where="test",
    )
    trials.train_steps(FMCGAN, other, tmp_path / "other")
    start = {"start": str(tmp_path / "other"), "data": {"folders": [str(folder)], "load": 32, "crop": 16}}
    with pytest.raises(CheckpointError, match="no weights for identity; it holds"):
        train(IPGAN, config("synthesis", folder, **start), tmp_path / "run", SilentListener(), device="cpu")


def test_the_second_stage_takes_over_the_identity_network_and_the_sizes(folder: Path, identity: Path) -> None:
    found = config("synthesis", folder, start=str(identity))
    assert (found.data.crop, found.data.load, found.identity.options) == (16, 32, {"features": 2})


def test_the_identity_stage_learns_to_classify_and_writes_no_model(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    outcome = train(
        IPGAN,
        config("identity", folder, steps=60, validate_every=60, optimiser={"rate": 1e-2}, ema=0.5),
        run,
        SilentListener(),
        device="cpu",
    )
    assert outcome.figures["classified"] > 0.6
    assert outcome.models == {} and not list(run.glob("*.onnx"))
    with pytest.raises(CheckpointError, match="this stage writes no model; train the next one, with --start"):
        export.from_run(run, tmp_path / "model.onnx", export.ExportOptions(), print)


@pytest.mark.parametrize("step", [0, 1])
def test_the_losses_are_those_of_the_thesis(folder: Path, identity: Path, step: int) -> None:
    method = build(folder, identity)
    method.step_number = step
    nets, batch = method.networks, batch_of(method)
    given = to_signed(batch["image"])
    torch.manual_seed(5)
    shown = given if step == 0 else given[torch.randperm(6)]
    assert step == 0 or not torch.equal(shown, given)
    with torch.no_grad():
        features = nets["identity"].eval()(given)[1]
        mean, log_variance = nets["attributes"](shown)[0].chunk(2, 1)
        code = mean + torch.randn(6, 5) * (log_variance / 2).exp()
        fake = nets["generator"](torch.cat((features, code), 1))
        scores, scores_fake = nets["discriminator"](shown), nets["discriminator"](fake)
        matched = [nets["discriminator"].main[:2](one) for one in (shown, fake)]
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1).mean()
        pixels = (1 if step == 0 else 0.1) * half_square(shown, fake)
        generator = pixels + half_square(*matched) + half_square(features, nets["identity"](fake)[1])
    found = losses(method, batch)
    discriminator = F.softplus(-scores).mean() + F.softplus(scores_fake).mean()
    assert found["discriminator"].item() == pytest.approx(discriminator.item(), rel=1e-4)
    assert found["attributes"].item() == pytest.approx((kl + pixels).item(), rel=1e-4)
    assert found["generator"].item() == pytest.approx(generator.item(), rel=1e-3)


def test_each_loss_trains_its_network_only_and_the_identity_network_stays(folder: Path, identity: Path) -> None:
    method = build(folder, identity)
    found = losses(method, batch_of(method))
    assert {name: spec.networks for name, spec in method.optimisers.items()} == {
        "generator": ("generator",),
        "attributes": ("attributes",),
        "discriminator": ("discriminator",),
    }
    assert not any(p.requires_grad for p in method.networks["identity"].parameters())
    attributes = list(method.networks["attributes"].parameters())
    for name in ("generator", "discriminator"):
        assert all(g is None for g in torch.autograd.grad(found[name], attributes, allow_unused=True))


def test_training_leaves_the_identity_network_as_it_was(folder: Path, identity: Path, tmp_path: Path) -> None:
    before = {key: value for key, value in trials.weights(identity).items() if key.startswith("identity.ema/")}
    run = trials.check_resume(IPGAN, config("synthesis", folder, start=str(identity)), tmp_path, stop=2)
    after = trials.weights(run)
    assert before and all(torch.equal(value, after[key.replace(".ema", "")]) for key, value in before.items())
    (figures,) = (entry["validation"] for entry in trials.log(run) if "validation" in entry)
    assert {"closeness", "identified", "reconstruction", "diversity"} <= figures.keys()


def test_the_model_computes_what_the_networks_do(folder: Path, identity: Path, tmp_path: Path) -> None:
    method = build(folder, identity)
    for network in method.networks.values():
        network.eval()
    session = trials.export(method, tmp_path)[""]
    rng = np.random.default_rng(3)
    image, reference = (rng.random((1, 3, 16, 16), dtype=np.float32) for _ in range(2))
    with torch.no_grad():
        features = method.networks["identity"](torch.from_numpy(reference) * 2 - 1)[1]
        code = method.networks["attributes"](torch.from_numpy(image) * 2 - 1)[0][:, :5]
        expected = method.networks["generator"](torch.cat((features, code), 1))
    (result,) = session.run(["result"], {"image": image, "reference": reference})
    assert np.abs(result * 2 - 1 - expected.numpy()).max() < 1e-3
    wide = rng.random((1, 3, 20, 33), dtype=np.float32)
    assert session.run(["result"], {"image": wide, "reference": reference})[0].shape == wide.shape


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("identity", {"data": {"crop": 24}}, "data.crop = 24: ip-gan needs a power of two"),
        ("identity", {"code": 3}, "code"),
        ("synthesis", {"generator": {"name": "unet", "options": {}}}, "unet cannot be the generator of ip-gan"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    folder: Path, identity: Path, stage: str, changes: dict[str, Any], message: str
) -> None:
    start = {"start": str(identity)} if stage == "synthesis" else {}
    data = {"folders": [str(folder)], **changes.pop("data", {})}
    with pytest.raises(Img2ImgError, match=message):
        IPGAN(config(stage, folder, **start, **changes, data=data))
