"""The HTTP API gives what the commands give, with the same options and the same messages."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import application
from starlette.testclient import TestClient

from img2img.cli import app as cli
from img2img.serve.operations import OPERATIONS
from serve.conftest import encoded, opened

Client = TestClient


@pytest.fixture(scope="module")
def client(models: dict[str, Path]) -> Iterator[Client]:
    app, _ = application(list(models.values()))
    with TestClient(app, base_url="http://127.0.0.1:7000") as client:
        yield client


def send(client: Client, path: str, image: bytes | None = None, name: str = "photo.png", **more: Any) -> Any:
    files = {"image": (name, encoded() if image is None else image), **more.pop("files", {})}
    return client.post(path, files=files, data=more)


def pixels(answer: Any) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(opened(answer.content))


def test_the_answer_equals_the_file_of_the_command(
    client: Client, models: dict[str, Path], img2img: Callable[..., Any], tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encoded((40, 30), "jpeg", quality=95, dpi=(300, 300)))

    answer = send(client, "/upscale", photo.read_bytes(), "photo.jpg", model="double", scale="3")

    made = img2img("upscale", photo, "-m", models["double"], "--scale", "3", "-o", tmp_path / "large.jpg")
    assert made.status == 0, made.err
    assert answer.content == (tmp_path / "large.jpg").read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert 'filename="photo_x3.jpg"' in answer.headers["content-disposition"]
    assert answer.headers["img2img-model"] == "double" and answer.headers["img2img-size"] == "120x90"


def test_metadata_is_kept_unless_it_is_to_be_dropped(client: Client) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    photo = encoded(kind="jpeg", exif=exif)
    kept = send(client, "/upscale", photo, "a.jpg", model="double")
    dropped = send(client, "/upscale", photo, "a.jpg", model="double", strip="true")
    assert opened(kept.content).getexif()[0x010F] == "Camera"
    assert not opened(dropped.content).getexif()


def test_the_result_has_the_format_of_the_picture_or_the_wanted_one(client: Client) -> None:
    same = send(client, "/upscale", encoded(kind="webp"), "a.webp", model="double")
    other = send(client, "/upscale", encoded(kind="webp"), "a.webp", model="double", format="png")
    assert (same.headers["content-type"], opened(same.content).format) == ("image/webp", "WEBP")
    assert (other.headers["content-type"], opened(other.content).format) == ("image/png", "PNG")
    assert 'filename="a_x2.png"' in other.headers["content-disposition"]


def test_a_size_may_be_given_instead_of_a_factor(client: Client) -> None:
    sizes = {
        "width": ("60", (60, 40)),
        "height": ("40", (60, 40)),
        "long-side": ("30", (30, 20)),
        "megapixels": ("0.0024", (60, 40)),
        "fit": ("99x20", (30, 20)),
    }
    for name, (value, size) in sizes.items():
        answer = send(client, "/upscale", model="double", **{name: value})
        assert opened(answer.content).size == size
        assert answer.headers["img2img-size"] == "{}x{}".format(*size)


def test_orientations_are_averaged_and_textures_repeat_if_asked_for(client: Client) -> None:
    usual, averaged, repeated = (
        pixels(send(client, "/upscale", model="double", **more)) for more in ({}, {"tta": "1"}, {"wrap": "xy"})
    )
    assert averaged.shape == repeated.shape == usual.shape
    assert (averaged != usual).any() and (repeated != usual).any()


def test_restoring_keeps_the_size(client: Client) -> None:
    assert pixels(send(client, "/restore", model="clean")).shape == (8, 12, 3)


def test_only_the_hole_of_the_uploaded_mask_is_filled(client: Client) -> None:
    mask = Image.new("L", (12, 8))
    mask.paste(255, (2, 2, 8, 6))
    buffer = io.BytesIO()
    mask.save(buffer, "png")

    result = pixels(send(client, "/inpaint", feather="0", files={"mask": ("mask.png", buffer.getvalue())}))

    before, hole = np.asarray(opened(encoded())), np.asarray(mask) > 0
    assert (result[hole] == (0, 255, 0)).all()
    assert (result[~hole] == before[~hole]).all()


def test_a_box_or_the_transparency_selects_the_hole_too(client: Client) -> None:
    by_box = pixels(send(client, "/inpaint", box=["0,0,3,3", "8,0,4,4"], feather="0"))
    assert (by_box[:3, :3] == (0, 255, 0)).all() and (by_box[:4, 8:] == (0, 255, 0)).all()
    erased = Image.fromarray(np.full((8, 12, 4), 120, np.uint8))
    erased.putalpha(Image.fromarray(np.pad(np.zeros((4, 4), np.uint8), ((2, 2), (4, 4)), constant_values=255)))
    buffer = io.BytesIO()
    erased.save(buffer, "png")
    by_alpha = pixels(send(client, "/inpaint", buffer.getvalue(), mask="alpha", feather="0"))
    assert (by_alpha[3:5, 5:7] == (0, 255, 0)).all()


def test_a_domain_and_a_reference_reach_the_network(client: Client) -> None:
    red = pixels(send(client, "/translate", model="tint", to="red"))
    assert red[..., 0].mean() > red[..., 2].mean() + 50
    white = io.BytesIO()
    Image.new("RGB", (4, 4), "white").save(white, "png")
    styled = send(client, "/translate", model="styled", files={"reference": ("white.png", white.getvalue())})
    assert pixels(styled).min() >= 128


def test_several_results_come_as_a_zip_file_or_as_a_form(client: Client) -> None:
    zipped = send(client, "/translate", model="varied", samples="3")
    archive = zipfile.ZipFile(io.BytesIO(zipped.content))
    assert archive.namelist() == ["photo_varied_1.png", "photo_varied_2.png", "photo_varied_3.png"]
    assert len({archive.read(name) for name in archive.namelist()}) == 3
    form = client.post(
        "/translate",
        files={"image": ("photo.png", encoded())},
        data={"model": "tint", "to": "all"},
        headers={"Accept": "multipart/form-data, image/*"},
    )
    assert form.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert form.content.count(b"\x89PNG") == 2 and b'filename="photo_blue.png"' in form.content


def test_a_contact_sheet_is_one_result(client: Client) -> None:
    assert send(client, "/translate", model="tint", grid="true").headers["content-type"] == "image/png"


def test_notes_tell_what_could_not_be_kept(client: Client) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "gif", save_all=True, append_images=frames[1:])
    answer = send(client, "/upscale", buffer.getvalue(), "a.gif", model="double", first_frame="on")
    assert "only the first of 2 frames was read" in json.loads(answer.headers["img2img-notes"])
    assert answer.headers["content-type"] == "image/png"


def test_the_models_have_the_facts_of_their_cards(client: Client) -> None:
    found = {one["name"]: one for one in client.get("/models").json()["models"]}
    assert found["double"]["operations"] == ["upscale"] and found["double"]["scale"] == 2
    assert found["clean"]["operations"] == ["restore", "upscale"]
    assert found["tint"]["domains"] == ["red", "blue"] and found["tint"]["exclusive"]
    assert found["green"]["default_of"] == ["inpaint"]
    assert "upscale-x4" in found  # installed
    assert all("path" not in one for one in found.values())


@pytest.mark.parametrize(
    ("path", "fields", "image", "status", "message"),
    [
        ("/upscale", {}, b"some text", 415, "cannot read photo.png: it is text; supported formats are PNG"),
        ("/upscale", {}, b"", 415, "cannot read photo.png: the file is empty (0 bytes)"),
        ("/upscale", {}, encoded()[:-200], 422, "cannot read photo.png: the file is damaged or cut off"),
        ("/upscale", {"model": "doubel"}, None, 404, "there is no model named 'doubel'; did you mean 'double'?"),
        ("/upscale", {"model": "green"}, None, 422, "green: this model is for 'inpaint', not for upscaling"),
        ("/upscale", {"scale": "-1"}, None, 422, "--scale -1: use a number above 0 and up to 256"),
        ("/upscale", {"scale": "much"}, None, 422, "--scale: 'much' is not a number"),
        (
            "/upscale",
            {"scale": "2", "width": "9"},
            None,
            422,
            "--scale and --width exclude each other: use one of them",
        ),
        ("/upscale", {"width": "0"}, None, 422, "--width: 0 is not at least 1"),
        ("/upscale", {"fit": "wide"}, None, 422, "--fit wide: use WIDTHxHEIGHT"),
        ("/upscale", {"wrap": "z"}, None, 422, "--wrap: 'z' is not one of x, y, xy"),
        ("/upscale", {"megapixels": "9000"}, None, 422, "the result would have 9,000 megapixels, the limit is 480"),
        ("/upscale", {"strength": "1.5"}, None, 422, "--strength: 1.5 is not in 0..1"),
        ("/upscale", {"strength": "nan"}, None, 422, "--strength: nan is not in 0..1"),
        ("/upscale", {"quality": "high"}, None, 422, "--quality: 'high' is not a whole number"),
        ("/upscale", {"format": "gif"}, None, 422, "--format: 'gif' is not one of png, jpg"),
        ("/upscale", {"strip": "perhaps"}, None, 422, "--strip: 'perhaps' is neither true nor false"),
        ("/upscale", {"scael": "2"}, None, 422, "upscale has no field 'scael'; did you mean 'scale'?"),
        ("/upscale", {"scale": ["2", "3"]}, None, 422, "--scale is given 2 times; give it once"),
        ("/upscale", {"model": "broken"}, None, 500, "its result near pixel 0, 0 is NaN or infinite"),
        ("/translate", {"model": "tint"}, None, 422, "tint has several domains; choose one with --to: red, blue"),
        ("/translate", {"model": "tint", "to": "pink"}, None, 422, "tint has no domain 'pink'"),
        ("/translate", {"model": "tint", "size": "9000"}, None, 422, "this server allows sides of up to 8192"),
        ("/translate", {"model": "varied", "samples": "65"}, None, 422, "--samples 65: this server makes up to 64"),
        ("/translate", {"model": "styled"}, None, 422, "styled needs a reference picture"),
        ("/inpaint", {}, None, 422, "nothing to fill: use --mask"),
        ("/inpaint", {"box": "1,2"}, None, 422, "--box 1,2: use left, top, width and height"),
        ("/inpaint", {"mask": "/etc/passwd"}, None, 422, "--mask: upload the file (-F mask=@FILE), or say alpha"),
        ("/translate", {"model": "styled", "reference": "a.png"}, None, 422, "--reference: upload the file"),
    ],
)
def test_a_wrong_request_gets_a_status_and_the_message_of_the_command(
    client: Client, path: str, fields: dict[str, Any], image: bytes | None, status: int, message: str
) -> None:
    answer = send(client, path, image, **{"model": "double", **fields} if path == "/upscale" else fields)
    assert message in answer.json()["error"]
    assert answer.status_code == status


def test_the_message_for_a_wrong_mask_names_the_mask(client: Client) -> None:
    small = send(client, "/inpaint", files={"mask": ("mask.png", encoded((3, 3)))})
    assert (small.status_code, small.json()["error"]) == (422, "the mask has 3x3 pixels, the photo 12x8")
    text = send(client, "/inpaint", files={"mask": ("mask.png", b"text")})
    assert text.status_code == 415 and text.json()["error"].startswith("cannot read the mask: it is text")


def test_a_picture_or_a_result_with_too_many_pixels_is_refused(models: dict[str, Path]) -> None:
    app, _ = application([models["double"]], max_pixels=100)
    with TestClient(app, base_url="http://localhost") as client:
        large = send(client, "/upscale", encoded((11, 10)))
        result = send(client, "/upscale", encoded((10, 10)), scale="5")
    assert large.status_code == 413 and "11 x 10 pixels is more than the limit of 100" in large.json()["error"]
    assert result.status_code == 422 and "the result would have" in result.json()["error"]


def test_a_request_without_an_image_or_a_form_says_what_to_send(client: Client) -> None:
    assert client.post("/upscale", files={"mask": ("a.png", b"")}).status_code == 422
    missing = client.post("/upscale", files={"image": ("", b"")}, data={"scale": "2"})
    assert missing.status_code in (400, 422)
    nothing = client.post("/upscale", content=b"--x--\r\n", headers={"content-type": "multipart/form-data; boundary=x"})
    assert nothing.status_code == 400 and "curl -F image=@photo.jpg" in nothing.json()["error"]
    broken = client.post("/upscale", content=b"x", headers={"content-type": "multipart/form-data"})
    assert broken.status_code == 400 and "the form is broken" in broken.json()["error"]
    raw = client.post("/upscale", content=encoded(), headers={"content-type": "image/png"})
    assert raw.status_code == 415 and "curl -F image=@photo.jpg" in raw.json()["error"]


def test_paths_and_methods_that_do_not_exist_are_errors_in_json(client: Client) -> None:
    assert client.get("/nothing").status_code == 404 and "error" in client.get("/nothing").json()
    assert client.get("/upscale").status_code == 405 and "error" in client.get("/upscale").json()


def test_the_name_of_the_file_is_only_a_name(client: Client) -> None:
    answer = send(client, "/upscale", name="..\\..\\etc/evil\r\nX: y\u202egpj.png", model="double")
    disposition = answer.headers["content-disposition"]
    assert answer.status_code == 200 and "/etc" not in disposition and "x" not in answer.headers
    assert disposition.isascii()


def test_clients_of_rembg_may_call_the_image_file(client: Client) -> None:
    answer = client.post("/upscale", files={"file": ("photo.png", encoded())}, data={"model": "double"})
    assert pixels(answer).shape == (16, 24, 3)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_every_field_is_an_option_of_the_command(operation: Any) -> None:
    context = cli.build().commands[operation.name].make_context(operation.name, [], resilient_parsing=True)
    options = {name for one in context.command.params for name in one.opts}
    assert [one.name for one in operation.fields if one.name != "image" and f"--{one.name}" not in options] == []


def test_the_description_lists_every_field(client: Client) -> None:
    api = client.get("/openapi.json").json()
    page = client.get("/docs").text
    for operation in OPERATIONS.values():
        post = api["paths"][f"/{operation.name}"]["post"]
        form = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
        assert list(form) == [one.name for one in operation.fields]
        assert f"POST /{operation.name}" in page
        assert all(f"<code>{name}</code>" in page for name in form)
    assert "http://" not in page.replace("http://127.0.0.1:7000", "") and "https://" not in page


def test_health_tells_how_many_requests_there_are(client: Client) -> None:
    assert client.get("/health").json()["requests"] == 0
    assert client.get("/jobs/abcdefghijklmnop").json()["state"] == "unknown"
