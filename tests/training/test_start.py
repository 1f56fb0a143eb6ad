"""Training can start from a run, a weights file, an exported model or an installed one."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx_nets import compact as random_model
from safetensors.torch import save_file
from torch import Tensor, nn

from img2img import exchange
from img2img.errors import CheckpointError, ModelError
from img2img.exchange.prelu import split_prelu
from img2img.networks.collapsible import CollapsibleCompact
from img2img.networks.compact import Compact
from img2img.networks.norms import inference_copy
from img2img.networks.srresnet import SRResNet
from img2img.runtime.network.card import Card
from img2img.training import start

PRECISE = 1e-6


@dataclasses.dataclass
class Networks:
    """The part of a method that `start.load` uses."""

    networks: dict[str, nn.Module]
    needs_from_start: tuple[str, ...] = ()


def method(generator: nn.Module) -> Any:
    return Networks({"generator": generator, "discriminator": nn.Conv2d(3, 1, 1)})


@pytest.fixture(scope="module")
def small() -> Compact:
    torch.manual_seed(0)
    network = Compact(scale=2, features=4, convs=2)
    for layer in network.body:
        if isinstance(layer, nn.PReLU):
            nn.init.uniform_(layer.weight, -0.3, 0.9)
    return network


@pytest.fixture(scope="module")
def model(small: Compact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small` as `img2img train` exports it."""
    path = tmp_path_factory.mktemp("models") / "mine.onnx"
    exchange.export(
        inference_copy(small), Card(name="mine", task="upscale", scale=2, licence="CC0-1.0"), path, context=4
    )
    return path


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return set(a) == set(b) and all(
        a[key].shape == b[key].shape and torch.allclose(a[key], b[key], atol=PRECISE, rtol=0) for key in b
    )


def test_an_exported_model_holds_the_weights_of_its_network(small: Compact, model: Path) -> None:
    assert {node.op_type for node in onnx.load(model).graph.node} >= {"Min", "Mul", "Add"}, "PReLU is split into these"
    assert same(start.read(model)["generator"], small.state_dict())


def test_a_model_with_a_prelu_operator_holds_them_too(small: Compact, tmp_path: Path) -> None:
    """Files of earlier versions have a PRelu operator. This one is built here, with meaningless names."""
    state = small.state_dict()
    loaded = onnx.load(random_model(tmp_path / "old.onnx", scale=2, features=4, convs=4))
    graph = loaded.graph
    renamed: dict[str, str] = {}
    layer = 0
    for node in graph.node:
        if node.op_type == "Conv":
            renamed |= {node.input[1]: f"network.body.{layer}.weight", node.input[2]: f"network.body.{layer}.bias"}
            layer += 2
    slopes = [node.input[1] for node in graph.node if node.op_type == "PRelu"]
    for one in graph.initializer:
        if one.name in slopes:
            key = f"body.{2 * slopes.index(one.name) + 1}.weight"
        else:
            key = renamed.get(one.name, "").removeprefix("network.")
        if key:
            one.CopyFrom(onnx.numpy_helper.from_array(state[key].numpy().reshape(tuple(one.dims)), one.name))
        one.name = renamed.get(one.name, one.name)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
    onnx.save(loaded, tmp_path / "old.onnx")
    assert same(start.read(tmp_path / "old.onnx")["generator"], state)
    onnx.save(split_prelu(loaded), tmp_path / "new.onnx")
    assert same(start.read(tmp_path / "new.onnx")["generator"], state)


def test_a_name_is_an_installed_model_unless_a_file_or_folder_has_it(
    small: Compact, model: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMG2IMG_MODELS", str(model.parent))
    for place in (Path("mine"), here / "mine"):  # configurations make paths absolute
        assert same(start.read(place)["generator"], small.state_dict())
    assert start.load(Path("mine"), method(Compact(2, 4, 2))) == [f"generator starts from {model}"]
    with pytest.raises(CheckpointError, match="runs/mine: there is no such run folder"):
        start.read(here / "runs" / "mine")
    (here / "mine").mkdir()
    save_file({"weight": torch.ones(1)}, here / "mine" / "generator.safetensors")
    assert list(start.read(Path("mine"))["generator"]) == ["weight"]


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_files_are_read(ending: str, small: Compact, tmp_path: Path) -> None:
    path = tmp_path / f"some.{ending}"
    save_file(small.state_dict(), path) if ending == "safetensors" else torch.save({"params": small.state_dict()}, path)
    assert same(start.read(path)["generator"], small.state_dict())


def test_a_larger_network_grows_and_reports_it(small: Compact, model: Path) -> None:
    large = CollapsibleCompact(scale=2, features=6, convs=3, expand=5)
    assert start.load(model, method(large)) == [
        f"generator grows from 4 to 6 features and from 2 to 3 convolutions, starting from {model}"
    ]
    image = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        assert (large(image) - small(image)).abs().max() < 1e-5
    equal = CollapsibleCompact(scale=2, features=4, convs=2)
    assert start.load(model, method(equal)) == [f"generator starts from {model}"]
    assert same(dict(equal.folded().state_dict()), small.state_dict())


def test_a_network_of_the_same_layout_gets_the_weights_bit_by_bit(small: Compact, tmp_path: Path) -> None:
    wrapped = {f"generator.{key}": value for key, value in small.state_dict().items()}
    branches = CollapsibleCompact(scale=2, features=4, convs=2, expand=6)
    for state, network in (
        (small.state_dict(), Compact(2, 4, 2)),
        (wrapped, Compact(2, 4, 2)),
        (branches.state_dict(), CollapsibleCompact(2, 4, 2, expand=6)),
    ):
        save_file(state, tmp_path / "some.safetensors")
        assert start.load(tmp_path / "some.safetensors", method(network))[0].startswith("generator starts from")
        loaded = {key.removeprefix("generator."): value for key, value in state.items()}
        assert all(torch.equal(value, loaded[key]) for key, value in network.state_dict().items())


def test_weights_that_do_not_fit_are_refused_and_change_nothing(small: Compact, model: Path) -> None:
    for network, message in (
        (Compact(2, 3, 2), r"mine\.onnx: generator is another network: it has 4 features .* can grow but not shrink"),
        (CollapsibleCompact(4, 6, 2), r"pictures with 3 channels x2, this network those with 3 channels x4"),
        (SRResNet(scale=2, features=4, blocks=1), r"mine\.onnx: generator is another network: the file lacks "),
    ):
        before = {key: value.clone() for key, value in network.state_dict().items()}
        with pytest.raises(CheckpointError, match=message):
            start.load(model, method(network))
        assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    with pytest.raises(CheckpointError, match=r"no weights for other; it holds generator"):
        start.load(model, Networks({"other": Compact()}))  # type: ignore[arg-type]


def test_a_checkpoint_of_a_smaller_network_is_still_another_network(small: Compact) -> None:
    """`load_state` reads runs again, so it loads exactly what the configuration says."""
    with pytest.raises(
        CheckpointError, match=r"^here: the file lacks body\.7\.weight, body\.8\.weight, body\.8\.bias$"
    ):
        start.load_state(Compact(2, 6, 3), small.state_dict(), "here")


def test_rounded_and_damaged_models_are_refused(model: Path, tmp_path: Path) -> None:
    for precision in ("int8", "fp16"):
        rounded = random_model(tmp_path / f"tiny.{precision}.onnx", name="tiny", precision=precision)
        with pytest.raises(CheckpointError, match=rf"weights are rounded to {precision}; start from the fp32 file"):
            start.read(rounded)
    random_model(tmp_path / "tiny.onnx")
    with pytest.raises(CheckpointError, match=r"rounded to int8; start from .*tiny\.onnx$"):
        start.read(tmp_path / "tiny.int8.onnx")
    (tmp_path / "short.onnx").write_bytes(model.read_bytes()[:-400])
    with pytest.raises(ModelError, match=r"short\.onnx"):
        start.read(tmp_path / "short.onnx")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("mien", r"^mien: there is no such run folder, checkpoint or weights file, and there is no model named 'mien'"),
        ("mien", r"did you mean 'mine'\? installed: .*mine"),
        ("runs/mine", r"^runs/mine: there is no such run folder, checkpoint, weights file or model file$"),
        ("other.onnx", r"^other\.onnx: there is no such run folder, checkpoint, weights file or model file$"),
        (".", "neither a run folder, nor a checkpoint, nor a weights file"),
    ],
)
def test_unknown_paths_are_named(
    place: str, message: str, model: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMG2IMG_MODELS", str(model.parent))
    with pytest.raises(CheckpointError, match=message):
        start.read(Path(place))


def test_a_run_folder_gives_its_best_checkpoint_to_a_larger_network(tmp_path: Path) -> None:
    import trials

    from img2img import methods

    recipe: Any = methods.find("esrgan").recipe
    values: dict[str, Any] = {
        "method": "esrgan",
        "scale": 2,
        "data": {"folders": [str(trials.photos(tmp_path / "photos"))], "crop": 32},
        "generator": {"name": "collapsible-compact", "options": {"features": 4, "convs": 1, "expand": 4}},
        **{"ema": 0.5, "batch": 2, "steps": 2, "log_every": 1, "validate_every": 2, "checkpoint_every": 1},
    }
    parse: Callable[[dict[str, Any]], Any] = lambda given: recipe.parse(recipe.with_defaults(given), where="test")  # noqa: E731
    trials.train_steps(methods.find("esrgan"), parse(values), tmp_path / "run")
    weights = start.read(tmp_path / "run")
    assert {"generator", "generator.ema"} <= set(weights)
    old = CollapsibleCompact(scale=2, features=4, convs=1, expand=4)
    old.load_state_dict(weights["generator.ema"])
    large = {"name": "collapsible-compact", "options": {"features": 6, "convs": 2, "expand": 8}}
    new = methods.find("esrgan")(parse({**values, "generator": large, "start": str(tmp_path / "run")}))
    notes = start.load(tmp_path / "run", new)
    assert notes[0].startswith("generator grows from 4 to 6 features and from 1 to 2 convolutions, starting from ")
    image = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        assert (new.networks["generator"](image) - old(image)).abs().max() < 1e-5
