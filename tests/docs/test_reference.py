"""The generated reference is complete, and the commands that the documentation shows are valid."""

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from conftest import ROOT

from img2img import methods
from img2img.cli import app
from img2img.cli.app import COMMANDS
from img2img.methods import METHODS
from img2img.methods.config import assign
from img2img.networks import NETWORKS
from img2img.objectives import ADVERSARIAL, PENALTIES, RECONSTRUCTION
from img2img.runtime.network.card import json_schema
from img2img.runtime.tasks.settings import Settings

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/**/*.md")),
    ROOT / "weights" / "README.md",
]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


@pytest.fixture(scope="module")
def reference() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "docs" / "generate"))
        yield importlib.import_module("reference")


@pytest.fixture(scope="module")
def pages(reference: ModuleType) -> dict[str, str]:
    found: dict[str, str] = reference.pages()
    return found


def parse(name: str, words: list[str], *, resilient: bool = False) -> Any:
    """Click's context of a command after it has parsed `words`."""
    return app.build().commands[name].make_context(name, words, resilient_parsing=resilient)


def settings_of(section: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of all settings of a configuration class."""
    for name, field in section.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from settings_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_in_the_reference(name: str, pages: dict[str, str]) -> None:
    page = pages[f"reference/commands/{name}.md"]
    shown = parse(name, [], resilient=True).command.params
    assert shown
    for parameter in shown:
        is_option = parameter.param_type_name == "option"
        for shown_name in parameter.opts if is_option else [parameter.metavar or parameter.name.upper()]:
            assert shown_name in page


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_of_every_method_is_in_the_reference(name: str, pages: dict[str, str]) -> None:
    page = pages[f"reference/methods/{name}.md"]
    recipe = methods.find(name).recipe
    for stage in getattr(recipe, "stages", {"": recipe}):
        for key in settings_of(recipe.of_stage({"stage": stage} if stage else {})):
            below = r"(?:\.\w+)?"  # objectives and their weights are a table
            row = rf"^\| `{re.escape(key)}{below}` \| .+ \| .+ \| \S.* \|$"
            assert re.search(row, page, re.MULTILINE), key


def test_a_later_stage_lists_its_own_defaults(pages: dict[str, str]) -> None:
    first, later = pages["reference/methods/esrgan.md"].split("## Stage adversarial")
    assert "`discriminator.name`" not in first and "`discriminator.name`" in later
    assert "`seed`" in first and "`seed`" not in later


def test_every_network_and_objective_is_in_the_reference(pages: dict[str, str]) -> None:
    for name in NETWORKS:
        assert f"\n## {name}\n" in pages["reference/networks.md"]
    for name in (*ADVERSARIAL, *PENALTIES, *RECONSTRUCTION):
        assert f"\n### {name}\n" in pages["reference/objectives.md"]


def test_every_key_of_the_card_is_in_the_page_on_the_model_file(reference: ModuleType) -> None:
    page = reference.fill((ROOT / "docs" / "model-file.md").read_text(encoding="utf-8"))
    for key in json_schema()["properties"]:
        assert re.search(rf"^\| `{key}` \| .+ \| .+ \| \S.* \|$", page, re.MULTILINE), key


def test_every_option_of_a_batch_is_in_the_python_reference(reference: ModuleType) -> None:
    page = reference.fill((ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8"))
    for key in (*Settings.__dataclass_fields__, "scale", "tile", "to", "reference", "samples", "size", "mask", "boxes"):
        assert re.search(rf"^\| `{key}` \| .+ \| .+ \| \S.* \|$", page, re.MULTILINE), key


def test_the_navigation_lists_every_page(pages: dict[str, str]) -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]

    def listed(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield from [one for one in pages if Path(one).parent == Path(entry).parent] if "*" in entry else [entry]
        else:
            for one in entry.values() if isinstance(entry, dict) else entry:
                yield from listed(one)

    written = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(listed(navigation)) == sorted([*pages, *written])


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files_are_valid(page: Path, pages: dict[str, str]) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    generated = {(ROOT / "docs" / one).resolve() for one in pages}
    for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        if "://" not in link:
            target = (page.parent / link).resolve()
            assert target.exists() or target in generated, link


def shown_commands(page: Path) -> Iterator[list[str]]:
    """The words after `img2img` of every complete command in the `sh` blocks of a page."""
    text = page.read_text(encoding="utf-8")
    variables: dict[str, str] = {}
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if match := re.fullmatch(r'([A-Z]+)="(.*)"', line):
                variables[match[1]] = match[2]
            line = re.sub(r"\$([A-Z_]+)\b", lambda found: variables.get(found[1], "1"), line)
            for part in re.split(r"\||&&", line):
                words = shlex.split(part.split(" > ")[0].partition(" #")[0])
                while words and re.fullmatch(r"[A-Z_0-9]+=\S*", words[0]):
                    del words[0]
                if words[:1] in (["img2img"], [".venv/bin/img2img"]) and words[1:]:
                    yield words[1:]
                elif "-m" in words and words[words.index("-m") + 1 :][:1] == ["img2img"]:
                    yield words[words.index("-m") + 2 :]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_are_valid(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, options and values exist, and so does every key of `--set`."""
    for words in shown_commands(page):
        name, *rest = words
        if name.startswith("-"):
            continue
        context = parse(name, rest)  # raises, with the option that is wrong
        if name == "train" and context.params["method"] in METHODS:
            recipe = methods.find(context.params["method"]).recipe
            values: dict[str, Any] = {"data": {"folders": ["pictures"]}}
            if context.params["stage"]:
                values["stage"] = context.params["stage"]
            values = recipe.with_defaults(values)
            assign(values, list(context.params["assignments"] or ()))
            recipe.parse(values, where=shlex.join(words))


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    first, second = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[:2]
    assert "img2img upscale examples/olives.jpg" in first
    assert "pytest" in second


def test_the_readme_counts_networks_and_objectives() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{len(NETWORKS)} networks, {len(ADVERSARIAL)} adversarial objectives and {len(PENALTIES)} gradient" in text


def test_the_version_is_the_same_everywhere() -> None:
    from img2img.version import __version__

    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_reference_needs_no_mkdocs(reference: ModuleType) -> None:
    assert "mkdocs" not in {name.partition(".")[0] for name in sys.modules}
