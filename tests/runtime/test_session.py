import importlib.metadata
import json
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnx_nets
import pytest
from onnx import TensorProto, helper
from PIL import Image

import img2img
from img2img.errors import DeviceError, ExitStatus, ModelError, UsageError
from img2img.runtime.api import Model
from img2img.runtime.network import devices, inference_errors, session
from img2img.runtime.network.buffered_session import BufferedSession
from img2img.runtime.network.card import Card
from img2img.runtime.network.session import BrokenOutput, OutOfMemory, load

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(img2img.__file__).parents[1])}


def image(height, width, n=1):
    return np.random.default_rng(0).random((n, 3, height, width), np.float32)


def with_interface(path, inputs, outputs, **card):
    """A model with given inputs and outputs (name -> shape, or (shape, type)) whose outputs copy the first input."""

    def info(name, shape):
        shape, kind = shape if isinstance(shape, tuple) else (shape, TensorProto.FLOAT)
        return helper.make_tensor_value_info(name, kind, shape)

    nodes = [helper.make_node("Identity", [next(iter(inputs))], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes, "net", [info(*one) for one in inputs.items()], [info(*one) for one in outputs.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if card:
        helper.set_model_props(model, {"img2img": json.dumps(onnx_nets.card(**card))})
    onnx.save(model, path)
    return path


ANY = ["N", 3, "H", "W"]


def test_a_model_runs_and_says_what_it_is(tmp_path):
    model = load(onnx_nets.compact(tmp_path / "net.onnx", scale=4), device="cpu")
    result = model.infer(image(7, 5, n=2))
    assert (result.shape, result.dtype) == ((2, 3, 28, 20), np.float32)
    assert 0 <= result.min() < result.max() <= 1
    assert (model.name, model.device, model.card.scale, model.notes) == ("net", "cpu", 4, ())


def test_a_model_is_loaded_by_name(tmp_path, monkeypatch):
    onnx_nets.compact(tmp_path / "mine.onnx")
    monkeypatch.setenv("IMG2IMG_MODELS", str(tmp_path))
    assert img2img.load("mine", device="cpu").path == tmp_path / "mine.onnx"


def test_the_package_takes_and_gives_pillow_images(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx", scale=2)
    model = img2img.load(path)
    assert isinstance(model, img2img.Model)
    photo = Image.fromarray((image(6, 9)[0].transpose(1, 2, 0) * 255).astype(np.uint8))
    result = model.run(photo)
    assert (result.size, result.mode) == ((18, 12), "RGB")
    photo.save(tmp_path / "photo.png")
    assert np.array_equal(np.asarray(model.run(tmp_path / "photo.png")), np.asarray(result))
    assert model.run(str(tmp_path / "photo.png"), scale=1.5, tile=4).size == (14, 9)


@pytest.mark.parametrize(
    ("mode", "expected"), [("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGBA", "RGBA"), ("CMYK", "RGB")]
)
def test_pillow_images_of_every_mode_run(tmp_path, mode, expected):
    model = load(onnx_nets.compact(tmp_path / "net.onnx", scale=2))
    result = Model(model).run(Image.new("RGB", (5, 4), (10, 200, 30)).convert(mode))
    assert (result.mode, result.size) == (expected, (10, 8))


def test_sixteen_bit_grey_stays_sixteen_bit(tmp_path):
    model = load(onnx_nets.pointwise(tmp_path / "net.onnx", scale=2))
    result = Model(model).run(Image.fromarray(np.full((3, 3), 12345, np.uint16)))
    assert result.mode == "I;16"
    assert (np.asarray(result) == 12345).all()


def test_a_pillow_image_without_a_known_range_is_refused(tmp_path):
    model = load(onnx_nets.compact(tmp_path / "net.onnx"))
    with pytest.raises(img2img.errors.PictureError, match="mode F"):
        Model(model).run(Image.new("F", (4, 4)))


def test_importing_the_package_or_the_session_is_cheap():
    code = (
        "import sys, img2img; assert 'numpy' not in sys.modules; import img2img.runtime.network.session;"
        "print([one for one in ('onnxruntime', 'torch', 'PIL', 'pydantic') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.strip() == "[]"


def test_a_whole_run_imports_no_torch(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    code = (
        "import sys, img2img; from PIL import Image; img2img.load(sys.argv[1]).run(Image.new('RGB', (4, 4)));"
        "print([one for one in ('torch', 'rich', 'typer', 'pydantic', 'onnx') if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=ENVIRONMENT
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_an_unknown_attribute_of_the_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="lod"):
        img2img.lod  # noqa: B018


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_a_model_without_a_card_is_probed(tmp_path, scale):
    model = load(onnx_nets.compact(tmp_path / "net.onnx", scale=scale, with_card=False))
    assert (model.card.scale, model.card.multiple, model.card.context, model.name) == (scale, 1, None, "net")
    assert "no img2img card" in model.notes[0]
    assert model.infer(image(9, 7)).shape == (1, 3, 9 * scale, 7 * scale)


def test_probing_finds_the_multiple_that_sides_must_be_of(tmp_path, capfd):
    source = onnx.load(onnx_nets.blocks(tmp_path / "net.onnx", multiple=8))
    del source.metadata_props[:]
    source.graph.input[0].name = source.graph.node[0].input[0] = "x"
    for node in source.graph.node:
        node.input[:] = ["x" if one == "image" else one for one in node.input]
    onnx.save(source, tmp_path / "bare.onnx")
    model = load(tmp_path / "bare.onnx")
    assert (model.card.multiple, model.card.scale) == (8, 1)
    assert model.infer(image(8, 16)).shape == (1, 3, 8, 16)
    assert capfd.readouterr() == ("", "")  # onnxruntime's own log is silent


def test_a_card_given_by_hand_serves_a_file_without_one(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx", with_card=False)
    card = Card(name="given", task="upscale", scale=2, context=3)
    assert load(path, card=card).card == card
    with pytest.raises(UsageError, match="has its own card: pass no other card"):
        load(onnx_nets.compact(tmp_path / "other.onnx"), card=card)


@pytest.mark.parametrize(
    ("inputs", "outputs", "card", "message"),
    [
        ({"image": ANY, "mask": ["N", 1, "H", "W"]}, {"result": ANY}, {}, "it has 2 and 1"),
        ({"image": ANY}, {"a": ANY, "b": ANY}, {}, "it has 1 and 2"),
        ({"image": ["N", 1, "H", "W"]}, {"result": ANY}, {"scale": 1}, "must have 3 channels, not 1"),
        ({"image": (ANY, TensorProto.FLOAT16)}, {"result": (ANY, TensorProto.FLOAT16)}, {"scale": 1}, "be float32"),
        ({"image": ["N", 3, 64, "W"]}, {"result": ANY}, {"scale": 1}, "one fixed side"),
        ({"image": [4, 3, "H", "W"]}, {"y": [4, 3, "H", "W"]}, {}, "4 pictures at a time"),
        ({"image": ["N", 3]}, {"y": ["N", 3]}, {}, "must have 4 dimensions"),
        ({"x": ANY}, {"result": ANY}, {"scale": 1}, "an input named 'image', its inputs are 'x'"),
        ({"image": ANY}, {"y": ANY}, {"scale": 1}, "an output named 'result', its outputs are 'y'"),
        ({"image": ANY}, {"result": ANY}, {"scale": 1, "task": "inpaint"}, "named 'mask'"),
        ({"image": ANY}, {"result": ANY}, {"scale": 1, "domains": ["a"]}, "named 'domain'"),
        ({"image": ANY, "domain": ["N", 3]}, {"result": ANY}, {"scale": 1, "domains": ["a"]}, "1 columns"),
        ({"image": ANY, "noise": ["N", 9]}, {"result": ANY}, {"scale": 1}, "does not explain: 'noise'"),
    ],
)
def test_an_unknown_interface_is_refused_with_the_reason(tmp_path, inputs, outputs, card, message):
    path = with_interface(tmp_path / "net.onnx", inputs, outputs, **card)
    with pytest.raises(ModelError, match=message) as error:
        load(path, device="cpu")
    assert "net.onnx" in str(error.value) and "\n" not in str(error.value)


def test_further_inputs_of_the_contract_are_accepted(tmp_path):
    inputs = {"image": ANY, "mask": ["N", 1, "H", "W"], "domain": ["N", 2], "latent": ["N", 8]}
    path = with_interface(tmp_path / "net.onnx", inputs, {"result": ANY}, scale=1, task="inpaint", domains=["a", "b"])
    model = load(path)
    others = {"mask": np.zeros((1, 1, 4, 4), np.float32), "domain": np.zeros((1, 2), np.float32)}
    others["latent"] = np.zeros((1, 8), np.float32)
    assert model.infer(image(4, 4), **others).shape == (1, 3, 4, 4)
    with pytest.raises(ModelError, match="mask"):
        model.infer(image(4, 4))


def test_what_is_bound_for_one_picture_holds_for_several(tmp_path):
    path = onnx_nets.domains(tmp_path / "tints.onnx", {"red": (1.0, 0.0, 0.0), "blue": (0.0, 0.0, 1.0)})
    model = load(path, device="cpu").with_inputs(domain=np.array([[1, 0]], np.float32))
    result = model.infer(image(3, 4, n=3))
    assert np.array_equal(result, np.concatenate([model.infer(one[None]) for one in image(3, 4, n=3)]))


def test_runs_on_kept_buffers_equal_the_plain_ones_bit_for_bit(tmp_path):
    path = onnx_nets.domains(tmp_path / "tints.onnx", {"red": (1.0, 0.0, 0.0), "blue": (0.0, 0.0, 1.0)})
    plain = load(path, device="cpu")
    kept = load(path, device="cpu")
    kept._buffered = BufferedSession(kept._session, "cpu")
    random = np.random.default_rng(5)
    results = []
    for height, width, n in [
        (4, 5, 1),
        (4, 5, 1),
        (4, 5, 2),
        (4, 5, 1),
        (6, 5, 1),
        (4, 5, 2),
        (4, 5, 2),
        (4, 5, 1),
    ] * 2:
        inputs = random.random((n, 3, height, width), np.float32), random.random((n, 2), np.float32)
        expected = plain.infer(inputs[0], domain=inputs[1])
        result = kept.infer(inputs[0][:, ::-1][:, ::-1], domain=inputs[1])  # not contiguous: copied in
        assert np.array_equal(result, expected)
        results.append((result, expected))
    assert all(np.array_equal(*pair) for pair in results)  # no result is overwritten by a later run
    assert len(kept._buffered._kept) == 2


def test_buffers_are_made_when_a_size_comes_again_and_then_stay(tmp_path, monkeypatch):
    model = load(onnx_nets.compact(tmp_path / "net.onnx"), device="cpu")
    model._buffered = BufferedSession(model._session, "cpu")
    made = []
    original = BufferedSession._buffers
    monkeypatch.setattr(BufferedSession, "_buffers", lambda *args: made.append(args[3]) or original(*args))
    for side in (4, 6, 4, 4, 6, 6, 4):
        model.infer(image(side, 5))
    assert made == [(1, 3, 8, 10), (1, 3, 12, 10)]


def test_kept_buffers_serve_several_threads(tmp_path):
    model = load(onnx_nets.compact(tmp_path / "net.onnx"), device="cpu", threads=1)
    images = [np.full((1, 3, 8, 8), value, np.float32) for value in np.linspace(0, 1, 40)]
    expected = [model.infer(one) for one in images]
    model._buffered = BufferedSession(model._session, "cpu")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(model.infer, images))
    assert all(np.array_equal(*pair) for pair in zip(results, expected, strict=True))


def test_errors_on_kept_buffers_are_typed_as_well(tmp_path):
    model = load(lying(tmp_path), device="cpu")
    model._buffered = BufferedSession(model._session, "cpu")
    for _ in range(3):
        with pytest.raises(BrokenOutput, match="promises"):
            model.infer(image(4, 4))
    odd = load(onnx_nets.blocks(tmp_path / "blocks.onnx", multiple=4), device="cpu")
    odd._buffered = BufferedSession(odd._session, "cpu")
    with pytest.raises(ModelError, match=r"blocks\.onnx: running it on cpu failed"):
        odd.infer(image(5, 5))
    assert [odd.infer(image(4, 4)).shape for _ in range(2)] == [(1, 3, 4, 4)] * 2
    assert len(odd._buffered._kept) == 1
    with pytest.raises(ModelError, match=r"blocks\.onnx: running it on cpu failed"):
        odd.infer(image(5, 5))
    assert not odd._buffered._kept  # given back, for what is tried next


def test_only_cuda_has_buffers_and_takes_several_tiles(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    cpu = load(path, device="cpu")
    assert (cpu.pixels_at_once, cpu._buffered) == (0, None)
    cuda = session.LoadedModel(path, cpu.card, cpu._session, "cuda:1")
    assert cuda.pixels_at_once == 512 * 512 and cuda._buffered._place == ("cuda", 1)


def test_a_card_with_the_wrong_scale_is_found_out(tmp_path):
    model = load(lying(tmp_path))
    with pytest.raises(BrokenOutput, match="promises") as error:
        model.infer(image(4, 4))
    assert error.value.status == ExitStatus.SOME_FAILED


def lying(folder):
    path = onnx_nets.compact(folder / "net.onnx", scale=2)
    model = onnx.load(path)
    helper.set_model_props(model, {"img2img": json.dumps(onnx_nets.card(scale=4))})
    onnx.save(model, path)
    return path


def test_a_failing_run_is_one_line_and_a_typed_error(tmp_path, capfd):
    model = load(onnx_nets.blocks(tmp_path / "net.onnx", multiple=4))
    with pytest.raises(ModelError, match=r"net\.onnx: running it on cpu failed") as error:
        model.infer(image(5, 5))
    assert "\n" not in str(error.value) and "ONNXRuntimeError" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_graph_that_onnxruntime_refuses_is_a_typed_error(tmp_path, capfd):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"net\.onnx: onnxruntime cannot load it: .*NoSuchOperator") as error:
        load(path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_unsafe_weights_are_refused_before_onnxruntime_sees_them(tmp_path, monkeypatch):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret.bin")
    path.write_bytes(model.SerializeToString())
    monkeypatch.setattr(devices, "create", lambda *_: pytest.fail("onnxruntime was asked"))
    with pytest.raises(ModelError, match="outside its folder"):
        load(path)


@pytest.mark.parametrize(
    "text", ["std::bad_alloc", "Failed to allocate memory for requested buffer of size 12", "CUDA out of memory"]
)
def test_running_out_of_memory_is_recognised(text):
    error = inference_errors.convert(
        RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : Conv: {text}"), "net.onnx: running it failed"
    )
    assert isinstance(error, OutOfMemory) and isinstance(error, MemoryError)
    assert error.status == ExitStatus.SOME_FAILED
    assert type(inference_errors.convert(RuntimeError("other"), "x")) is ModelError


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "", "cpu:0"])
def test_a_device_that_does_not_exist_is_refused(tmp_path, device):
    with pytest.raises(UsageError, match="use auto, cpu, cuda or cuda:N"):
        load(onnx_nets.compact(tmp_path / "net.onnx"), device=device)


@pytest.mark.parametrize("threads", [0, -1])
def test_too_few_threads_are_refused(tmp_path, threads):
    with pytest.raises(UsageError, match="at least 1"):
        load(onnx_nets.compact(tmp_path / "net.onnx"), threads=threads)


def test_threads_and_settings_reach_the_sessions(tmp_path):
    model = load(onnx_nets.compact(tmp_path / "net.onnx"), device="cpu", threads=3)
    options = model._session.get_session_options()
    assert options.intra_op_num_threads == 1  # its tiles run side by side
    assert model.on_all_cores()._session.get_session_options().intra_op_num_threads == 3
    assert options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert model._session.get_providers() == ["CPUExecutionProvider"]
    assert 1 <= devices.cores() <= len(getattr(devices.os, "sched_getaffinity", lambda _: range(4096))(0))


class _WithoutCuda:
    def get_available_providers(self):
        return ["CPUExecutionProvider"]


def _packages(monkeypatch, *installed):
    def version(name):
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(devices, "_onnxruntime", _WithoutCuda)


def test_cuda_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    _packages(monkeypatch, "onnxruntime")
    with pytest.raises(DeviceError, match=r"does not support CUDA: run pip install .* onnxruntime-gpu"):
        load(path, device="cuda")


def test_two_onnxruntimes_that_hide_each_other_are_named(tmp_path, monkeypatch):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    _packages(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    with pytest.raises(DeviceError, match="both installed"):
        load(path, device="cuda:1")


def test_auto_without_cuda_runs_on_the_cpu_and_says_nothing(tmp_path, monkeypatch):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    real = devices._onnxruntime()
    monkeypatch.setattr(real, "get_available_providers", lambda: ["CPUExecutionProvider"])
    model = load(path, device="auto")
    assert (model.device, model.notes) == ("cpu", ())


def test_auto_with_a_broken_cuda_runs_on_the_cpu_and_says_so(tmp_path, monkeypatch):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    real = devices._onnxruntime()
    if "CUDAExecutionProvider" in real.get_available_providers():
        pytest.skip("CUDA works here")
    monkeypatch.setattr(real, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    warnings.simplefilter("ignore")  # onnxruntime sees through the pretence
    model = load(path, device="auto")
    assert model.device == "cpu"
    assert len(model.notes) == 1 and "running on the CPU" in model.notes[0]
    with pytest.raises(DeviceError, match="CUDA device 0"):
        load(path, device="cuda")


def test_the_session_module_exports_what_callers_catch():
    assert {"LoadedModel", "load", "OutOfMemory", "BrokenOutput"} <= set(session.__all__)
