import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_nets
import platformdirs
import pytest
from conftest import environment
from onnx import helper, numpy_helper
from platformdirs import macos, unix, windows

from img2img.errors import ModelError, UsageError
from img2img.runtime.network import card_writing, header, model_file, models

ENVIRONMENT = environment()


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An empty folder for the user's models and one for bundled ones."""
    user, bundled = tmp_path / "user", tmp_path / "bundled"
    user.mkdir()
    bundled.mkdir()
    monkeypatch.setenv("IMG2IMG_MODELS", str(user))
    monkeypatch.setattr(models, "bundled_folder", lambda: bundled)
    return user, bundled


def external(path: Path, location: str, *, inside: str = "initializer") -> Path:
    """A model whose one weight lies in another file."""
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="16")
    image = helper.make_tensor_value_info("image", 1, ["N", 3, "H", "W"])
    result = helper.make_tensor_value_info("result", 1, ["N", 3, "H", "W"])
    nodes, weights = [helper.make_node("Identity", ["image"], ["result"])], []
    if inside == "initializer":
        weights.append(tensor)
    elif inside == "attribute":
        nodes.append(helper.make_node("Constant", [], ["c"], value=tensor))
    else:
        branch = helper.make_graph([], "branch", [], [], [tensor])
        nodes.append(helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch))
    graph = helper.make_graph(nodes, "net", [image], [result], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"img2img": '{"format": 1, "name": "e", "task": "translate", "scale": 1}'})
    path.write_bytes(model.SerializeToString())
    return path


def test_a_name_is_found_among_the_bundled_models_and_a_users_own_wins(folders):
    user, bundled = folders
    onnx_nets.compact(bundled / "upscale-x2.onnx")
    assert models.find("upscale-x2") == bundled / "upscale-x2.onnx"
    onnx_nets.compact(user / "upscale-x2.onnx")
    assert models.find("upscale-x2") == user / "upscale-x2.onnx"


def test_a_path_is_taken_as_a_path(folders, tmp_path, monkeypatch):
    path = onnx_nets.compact(tmp_path / "mine.onnx")
    monkeypatch.chdir(tmp_path)
    assert models.find("mine.onnx") == Path("mine.onnx")
    assert models.find("./mine.onnx").samefile(path)
    assert models.find(path) == path
    with pytest.raises(ModelError, match=r"other\.onnx: no such model file"):
        models.find("other.onnx")
    with pytest.raises(ModelError, match=r"this folder has no model\.onnx"):
        models.find(str(tmp_path) + "/")


def test_the_folder_of_a_run_means_the_model_in_it(folders, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    one = onnx_nets.compact(run / "model.onnx")
    assert models.find(str(run)) == one
    with pytest.raises(UsageError, match="is a single model"):
        models.find(str(one), direction="AtoB")
    one.rename(run / "model.AtoB.onnx")
    assert models.find(str(run)) == run / "model.AtoB.onnx"
    other = onnx_nets.compact(run / "model.BtoA.onnx")
    assert models.find(str(run), direction="BtoA") == other
    with pytest.raises(ModelError, match="use --direction AtoB or --direction BtoA"):
        models.find(str(run))
    with pytest.raises(ModelError, match=r"no model\.CtoA\.onnx"):
        models.find(str(run), direction="CtoA")
    styled = onnx_nets.compact(run / "model.reference.onnx")
    assert models.find(str(run), part="reference") == styled
    assert models.find(str(run), direction="AtoB", part="reference") == run / "model.AtoB.onnx"
    both = run / "model.AtoB.reference.onnx"
    both.write_bytes(styled.read_bytes())
    assert models.find(str(run), direction="AtoB", part="reference") == both


def test_an_unknown_name_lists_the_names_there_are_and_suggests_one(folders):
    _, bundled = folders
    onnx_nets.compact(bundled / "upscale-x2.onnx")
    onnx_nets.compact(bundled / "anime.onnx")
    with pytest.raises(ModelError) as error:
        models.find("upscal-x2")
    assert "did you mean 'upscale-x2'?" in str(error.value)
    assert "anime, upscale-x2" in str(error.value)


def test_an_unknown_name_with_nothing_installed_says_where_it_looked(folders):
    with pytest.raises(ModelError, match="no model is installed") as error:
        models.find("upscale-x2")
    assert str(folders[0]) in str(error.value)


def test_folders_that_do_not_exist_are_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("IMG2IMG_MODELS", str(tmp_path / "nowhere"))
    monkeypatch.setattr(models, "bundled_folder", lambda: tmp_path / "neither")
    assert models.installed() == []


def test_the_list_shows_cards_and_names_broken_files(folders):
    user, bundled = folders
    onnx_nets.compact(bundled / "upscale-x4.onnx", scale=4)
    onnx_nets.compact(user / "plain.onnx", with_card=False)
    (user / "broken.onnx").write_text("not a model")
    (user / "notes.txt").write_text("")
    listed = {one.name: one for one in models.installed()}
    assert list(listed) == ["broken", "plain", "upscale-x4"]
    assert listed["upscale-x4"].card.scale == 4
    assert listed["upscale-x4"].bundled and not listed["plain"].bundled
    assert listed["plain"].card is None and listed["plain"].problem is None
    assert "broken.onnx" in listed["broken"].problem


def test_listing_imports_no_onnxruntime():
    code = "import sys; from img2img.runtime.network.models import installed; installed()"
    code += "; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("there", "wanted", "chosen"),
    [
        ((2, 3, 4), 2, 2),
        ((2, 3, 4), 3.0, 3),
        ((2, 4), 3, 4),
        ((2, 4), 2.5, 4),
        ((2, 4), 8, 4),
        ((2, 4), 1, 2),
        ((4,), 0.5, 4),
        ((2,), 4, 2),
    ],
)
def test_the_model_that_fits_a_scale_is_chosen(folders, there, wanted, chosen):
    _, bundled = folders
    for scale in there:
        onnx_nets.compact(bundled / f"upscale-x{scale}.onnx", scale=scale, convs=1)
    onnx_nets.compact(bundled / "upscale-x4-best.onnx", scale=4, convs=1)
    assert models.for_scale(wanted) == bundled / f"upscale-x{chosen}.onnx"


def test_no_model_for_a_scale_is_one_clear_line(folders):
    with pytest.raises(ModelError, match="no upscaling model is installed"):
        models.for_scale(2)


@pytest.mark.parametrize("scale", [0, -2, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(folders, scale):
    with pytest.raises(UsageError, match="scale must be a number above 0"):
        models.for_scale(scale)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        (unix.Unix, {"XDG_DATA_HOME": "/data"}, "/data/img2img/models"),
        (unix.Unix, {}, "/home/ann/.local/share/img2img/models"),
        (macos.MacOS, {}, "/home/ann/Library/Application Support/img2img/models"),
        (windows.Windows, {"LOCALAPPDATA": "/local"}, "/local/img2img/models"),
        (windows.Windows, {"IMG2IMG_MODELS": "/mine"}, "/mine"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths written as on Unix")
def test_the_users_folder_is_the_platforms(monkeypatch, platform, variables, expected):
    for name in ("IMG2IMG_MODELS", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platformdirs, "PlatformDirs", platform)
    monkeypatch.setattr(windows, "get_win_folder", lambda _: os.environ["LOCALAPPDATA"])
    assert models.user_folder() == Path(expected)


@pytest.mark.parametrize(
    ("platform", "former"), [("darwin", "Library/Application Support"), ("win32", "AppData")], ids=["macOS", "Windows"]
)
def test_models_in_the_folder_of_version_0_1_0_are_found(tmp_path, monkeypatch, platform, former):
    monkeypatch.delenv("IMG2IMG_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "AppData"))
    monkeypatch.setattr(models.sys, "platform", platform)
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_, **__: tmp_path / "now")
    assert models.user_folder() == tmp_path / "now/models"
    (tmp_path / former / "img2img/models").mkdir(parents=True)
    assert models.user_folder() == tmp_path / former / "img2img/models"
    (tmp_path / "now/models").mkdir(parents=True)
    assert models.user_folder() == tmp_path / "now/models"


def test_metadata_is_what_onnx_wrote(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx", features=32)
    props = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert model_file.metadata(path) == props
    assert model_file.external_files(path) == set()


@pytest.mark.parametrize("keep", [0, 1, 2, 40, 0.25, 0.5, 0.9, -1])
def test_a_file_that_is_cut_short_is_refused(tmp_path, keep):
    whole = onnx_nets.compact(tmp_path / "net.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(ModelError, match=r"cut\.onnx") as error:
        models.read_card(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"Hello, I am a text.\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(500), b"PK\x03\x04" * 9, bytes(64)]
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX file"):
        models.read_card(path)


def test_any_damage_to_the_structure_is_an_error_or_a_card(tmp_path):
    whole = onnx_nets.compact(tmp_path / "net.onnx", convs=1, features=1).read_bytes()
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.onnx"
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        data[random.integers(len(data))] = random.integers(256)
        path.write_bytes(data)
        try:
            models.read_card(path)
            model_file.require_safe(path)
        except ModelError:
            refused += 1
    assert 0 < refused < 200


@pytest.mark.parametrize("inside", ["initializer", "attribute", "subgraph"])
@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "/etc/passwd",
        "a/../../secret.bin",
        "..\\secret.bin",
        "C:\\secret.bin",
        "C:secret.bin",
        "\\\\host\\share",
    ],
)
def test_weights_outside_the_models_folder_are_refused(tmp_path, location, inside):
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    folder = tmp_path / "models"
    folder.mkdir()
    path = external(folder / "net.onnx", location, inside=inside)
    assert model_file.external_files(path) == {location}
    with pytest.raises(ModelError, match="point outside its folder"):
        model_file.require_safe(path)


def test_weights_behind_a_link_out_of_the_folder_are_refused(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    folder = tmp_path / "models"
    folder.mkdir()
    try:
        (folder / "weights.bin").symlink_to(tmp_path / "secret.bin")
    except OSError:
        pytest.skip("no links on this file system")
    with pytest.raises(ModelError, match="point outside its folder"):
        model_file.require_safe(external(folder / "net.onnx", "weights.bin"))


def test_an_address_in_memory_is_no_place_for_weights(tmp_path):
    place = tmp_path / "*" / "_ORT_MEM_ADDR_"
    try:
        place.mkdir(parents=True)
        (place / "*").write_bytes(bytes(16))
    except OSError:
        pytest.skip("no such names on this file system")
    with pytest.raises(ModelError, match="point outside its folder"):
        model_file.require_safe(external(tmp_path / "net.onnx", "*/_ORT_MEM_ADDR_/*"))


def test_weights_beside_the_model_are_fine_unless_they_are_missing(tmp_path):
    path = external(tmp_path / "net.onnx", "net.onnx.data")
    with pytest.raises(ModelError, match=r"'net\.onnx\.data' is missing"):
        model_file.require_safe(path)
    (tmp_path / "net.onnx.data").write_bytes(bytes(16))
    model_file.require_safe(path)


def test_the_digest_is_that_of_the_file_without_its_card(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    model = onnx.load(path)
    helper.set_model_props(model, {"author": "ann"} | {one.key: one.value for one in model.metadata_props})
    path.write_bytes(model.SerializeToString())
    kept = [one for one in model.metadata_props if one.key == "author"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    assert card_writing.digest(path) == hashlib.sha256(model.SerializeToString()).hexdigest()


def test_a_new_card_leaves_every_other_byte_and_the_digest_as_they_were(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx")
    before, model, card = card_writing.digest(path), onnx.load(path), models.read_card(path)
    for licence in ("MIT", "Müller " * 1000):
        path.write_bytes(card_writing.with_card(path.read_bytes(), dataclasses.replace(card, licence=licence)))
        assert card_writing.digest(path) == before == models.read_card(path).sha256
        assert models.read_card(path).licence == licence
        card_writing.require_whole(path, models.read_card(path))
    changed = onnx.load(path)
    assert [one.key for one in changed.metadata_props] == ["img2img"]
    for one in (model, changed):
        one.ClearField("metadata_props")
    assert changed.SerializeToString() == model.SerializeToString()


def test_every_flipped_bit_outside_the_card_is_found(tmp_path):
    path = onnx_nets.compact(tmp_path / "net.onnx", convs=1)
    whole = card_writing.with_card(path.read_bytes(), models.read_card(path))
    path.write_bytes(whole)
    card = models.read_card(path)
    end = whole.index(card.to_json().encode()) - 30  # the tag of its entry and its key are changes of the card
    random = np.random.default_rng(0)
    for place in random.integers(end, size=150):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"net\.onnx: "):
            card_writing.require_whole(path, card)


def test_weights_beside_the_model_are_in_the_digest(tmp_path):
    path = external(tmp_path / "net.onnx", "net.onnx.data")
    (tmp_path / "net.onnx.data").write_bytes(bytes(16))
    path.write_bytes(card_writing.with_card(path.read_bytes(), models.read_card(path), tmp_path))
    card_writing.require_whole(path, models.read_card(path))
    (tmp_path / "net.onnx.data").write_bytes(bytes(15) + b"\x01")
    with pytest.raises(ModelError, match="damaged or changed"):
        card_writing.require_whole(path, models.read_card(path))
    with pytest.raises(ModelError, match="merge them into one file"):
        card_writing.with_card(path.read_bytes(), models.read_card(path))


def test_a_file_that_reaches_outside_its_folder_is_not_digested(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (tmp_path / "models").mkdir()
    path = external(tmp_path / "models" / "net.onnx", "../secret.bin")
    with pytest.raises(ModelError, match="point outside its folder"):
        card_writing.digest(path)


def test_a_tensor_larger_than_its_file_is_refused_before_it_is_read(tmp_path):
    whole = onnx_nets.compact(tmp_path / "net.onnx").read_bytes()
    path = tmp_path / "claims.onnx"
    path.write_bytes(whole + b"\xba\x3e\xff\xff\xff\xff\x7f")  # a field of 34 GB
    with pytest.raises(ModelError, match="it ends in the middle of a field"):
        models.read_card(path)


def test_the_header_is_what_onnx_wrote(tmp_path):
    path = onnx_nets.domains(tmp_path / "net.onnx", {"a": (1, 0, 0), "b": (0, 1, 0)})
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info(model.graph.initializer[0].name, 1, [3]))
    model.graph.output.append(helper.make_value_info("bare", onnx.TypeProto()))
    model.graph.output.append(helper.make_tensor_value_info("half", onnx.TensorProto.FLOAT16, None))
    model.graph.output.append(helper.make_tensor_value_info("odd", onnx.TensorProto.INT64, [None, 7, "x"]))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    path.write_bytes(model.SerializeToString())
    found = header.read(path)
    assert (found.ir_version, found.opsets) == (9, {"": 17, "com.microsoft": 1})
    assert found.inputs == (
        header.Tensor("image", "float32", ("N", 3, "H", "W")),
        header.Tensor("domain", "float32", ("N", 2)),
    )
    assert found.outputs[1:] == (
        header.Tensor("bare", "no tensor", None),
        header.Tensor("half", "float16", None),
        header.Tensor("odd", "int64", (None, 7, "x")),
    )


def test_for_a_task_the_users_own_model_goes_before_the_bundled_one(folders):
    own, bundled = folders
    shipped = onnx_nets.filler(bundled / "inpaint.onnx")
    assert models.for_task("inpaint") == shipped
    mine = onnx_nets.filler(own / "mine.onnx")
    assert models.for_task("inpaint") == mine
    onnx_nets.filler(own / "other.onnx")
    with pytest.raises(ModelError, match=r"choose a model for 'inpaint' with --model: mine, other"):
        models.for_task("inpaint")


@pytest.mark.parametrize("location", ["w" * 256, "folder/" * 2000 + "w", "é" * 200])
def test_weights_with_an_impossible_name_are_one_short_line(tmp_path, location, img2img):
    path = external(tmp_path / "net.onnx", location)
    with pytest.raises(ModelError, match=r"net\.onnx: its weights file .* (cannot be read|is missing)") as caught:
        model_file.require_safe(path)
    assert len(str(caught.value)) < 300 + len(str(path))
    assert b"weights    failed" in img2img("models", "verify", path).out


def encoded(number: int, content: bytes) -> bytes:
    return card_writing._encoded(number, content)


MANY = 400_000
GRAPH = {
    "outside": b"\x10\0" * MANY,
    "graphs": encoded(7, b"") * MANY,
    "nodes": encoded(7, b"\x0a\0" * MANY),
    "inputs": encoded(7, b"\x5a\0" * MANY),
    "metadata": b"\x72\0" * MANY,
    "opsets": b"\x42\0" * MANY,
    "dimensions": encoded(7, encoded(11, encoded(2, encoded(1, b"\x08\1" + encoded(2, b"\x0a\0" * MANY))))),
}


@pytest.mark.parametrize("part", GRAPH)
def test_a_file_of_countless_tiny_fields_is_refused_early(tmp_path, part, img2img):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(b"\x08\x09" + encoded(7, b"") + GRAPH[part])
    done = img2img("models", "info", path)
    assert done.status == 2 and done.err.endswith("it has too many parts\n") and done.err.count("\n") == 1


def test_a_picture_given_as_a_model_is_called_a_picture(tmp_path, monkeypatch, img2img, photo):
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "one.png")
    for name in ("one.png", "./one.png", "missing.jpg"):
        done = img2img("upscale", "one.png", "-m", name)
        assert done.status == 2
        assert done.err == f"error: {name}: a picture, not a model; --model takes a name or an ONNX file\n"


def test_for_degraded_photos_a_model_of_the_same_kind_is_found(folders):
    user, bundled = folders
    used = onnx_nets.compact(bundled / "upscale-x4.onnx", scale=4, input_quality="clean")
    card = models.read_card(used)
    assert models.for_degraded_input(card, but=used) is None
    onnx_nets.compact(user / "other-scale.onnx", scale=2, input_quality="degraded")
    onnx_nets.compact(user / "clean-too.onnx", scale=4, input_quality="clean")
    onnx_nets.compact(user / "unknown.onnx", scale=4)
    assert models.for_degraded_input(card, but=used) is None
    onnx_nets.compact(user / "mine.onnx", scale=4, input_quality="degraded", parameters=900)
    assert models.for_degraded_input(card, but=used) == "mine"
    real = onnx_nets.compact(bundled / "real.onnx", scale=4, input_quality="degraded", parameters=100)
    int8 = {"name": "real", "precision": "int8", "parameters": 100}
    onnx_nets.compact(bundled / "real.int8.onnx", scale=4, input_quality="degraded", **int8)
    assert models.for_degraded_input(card, but=used) == "real", "the bundled one first"
    assert models.for_degraded_input(card, but=real) == "mine"


def test_a_model_that_was_bundled_is_explained_and_a_users_own_is_found(folders, img2img, photo, tmp_path):
    user, _ = folders
    with pytest.raises(ModelError, match=r"outline-to-color is no longer bundled: train it .* img2img train pix2pix"):
        models.find("outline-to-color")
    done = img2img("translate", photo(tmp_path / "a.png"), "-m", "outline-to-color")
    assert done.status == 2 and done.err.startswith("error: outline-to-color is no longer bundled")
    assert "examples/pix2pix" in done.err and done.err.count("\n") == 1
    own = onnx_nets.compact(user / "outline-to-color.onnx", scale=1)
    assert models.find("outline-to-color") == own
