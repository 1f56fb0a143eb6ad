"""`img2img import`, as called on the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from conftest import Outcome  # noqa: E402

from img2img import networks  # noqa: E402
from img2img.cli import app  # noqa: E402
from img2img.exchange.onnx_file import Verification  # noqa: E402
from img2img.runtime.network.card import Card  # noqa: E402
from img2img.runtime.network.models import read_card  # noqa: E402

Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.COMMANDS, "import", ("img2img.cli.import_:import_", "Make a model file of weights."))


def test_an_offset_may_be_assumed_and_nothing_else(img2img: Run, here: Path) -> None:
    nn = torch.nn
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(0.1), nn.Conv2d(4, 3, 3))
    torch.save(network.state_dict(), "valid.pth")
    done = img2img("import", "valid.pth")
    assert done.status == 2 and "4 pixels smaller" in done.err and "--assume offset=2" in done.err
    assert img2img("import", "valid.pth", "--assume", "offset=2").status == 0
    assert "only takes offset=N" in img2img("import", "valid.pth", "--assume", "scale=2").err
    assert (
        img2img("import", "valid.onnx").err == "error: valid.onnx: an ONNX file needs no import: use it with --model\n"
    )


def test_a_part_is_chosen_by_name(img2img: Run, here: Path) -> None:
    state = networks.build("compact", scale=2, features=4, convs=1).state_dict()
    torch.save({"net_g": state, "other": {"net_h": state}}, "two.pth")
    done = img2img("import", "two.pth")
    assert done.status == 2
    assert done.err == "error: two.pth: holds several generators (net_g, other.net_h): choose one with --part NAME\n"
    assert img2img("import", "two.pth", "--part", "net_h", "-o", "h.onnx").status == 0
    assert (here / "h.onnx").is_file()


def test_a_weights_file_becomes_a_model_and_the_command_to_use_it(img2img: Run, here: Path) -> None:
    network = networks.build("compact", scale=2, features=4, convs=1)
    torch.save({"params_ema": network.state_dict()}, "RealTiny_x2.pth")
    done = img2img("import", "RealTiny_x2.pth", "--licence", "BSD-3-Clause")
    assert done.status == 0, done.err
    assert done.out == b""
    assert "params_ema, a moving average" in done.err and "x2" in done.err
    assert done.err.strip().endswith("img2img upscale PHOTO --model RealTiny_x2.onnx")
    card = read_card(Path("RealTiny_x2.onnx"))
    assert card is not None
    assert (card.name, card.scale, card.context, card.licence) == ("RealTiny_x2", 2, 3, "BSD-3-Clause")
    assert card.created_with.startswith("img2img")


def test_missing_domain_names_are_requested(img2img: Run, here: Path) -> None:
    torch.save(networks.build("stargan", domains=2, features=4, blocks=1).state_dict(), "200000-G.ckpt")
    done = img2img("import", "200000-G.ckpt", "-o", "s.onnx")
    assert done.status == 2
    assert "200000-G.ckpt: this StarGAN has 2 domains" in done.err and "--domains a,b,c" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not Path("s.onnx").exists()


def test_options_about_a_file_go_into_its_card(img2img: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards: list[Card] = []

    def keep(network: object, card: Card, target: Path, *, context: object) -> Verification:  # an export takes seconds
        cards.append(card)
        return Verification([(1, 8, 8)], 0.0, 0.0, None)

    monkeypatch.setattr("img2img.exchange.importers.importing.export", keep)
    torch.save(networks.build("stargan", domains=2, features=4, blocks=1).state_dict(), "200000-G.ckpt")
    words = ("--domains", "blond, old", "--name", "faces", "--exclusive", "--licence", "MIT")
    done = img2img("import", "200000-G.ckpt", "-o", "s.onnx", *words)
    assert done.status == 0, done.err
    assert (cards[0].name, cards[0].domains, cards[0].exclusive) == ("faces", ("blond", "old"), True)
    assert cards[0].licence == "MIT" and cards[0].method == "StarGAN, imported"
    assert "running statistics in the file" in done.err and "--to blond" in done.err


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["missing.pth"], 1, "missing.pth: cannot be read (No such file or directory)"),
        (["page.pth"], 1, "page.pth: is a web page instead of weights"),
        (["page.pth", "-o", "model.pt"], 2, "use a name that ends in .onnx"),
        (["page.pth", "-o", "none/model.onnx"], 2, "there is no folder"),
        (["page.pth", "--domains", "a,,b"], 2, "use different names"),
        (["page.pth", "--norm-mode", "batch"], 2, "--norm-mode"),
    ],
)
def test_files_that_cannot_be_imported_are_a_one_line_error(
    img2img: Run, here: Path, args: list[str], status: int, message: str
) -> None:
    Path("page.pth").write_bytes(b"<html>")
    done = img2img("import", *args)
    assert done.status == status
    assert message in done.err and len(done.err.strip().splitlines()) == 1
    assert [path.name for path in here.iterdir()] == ["page.pth"]
