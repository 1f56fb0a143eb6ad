"""MkDocs hook: adds the reference pages that `reference.py` creates from the code.

It also lets pages link to any file of the repository by a relative path, which works on GitHub too. Pictures become
part of the site; other links point to the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace navigation entries such as `reference/commands/*.md` with the generated pages."""
    config.nav = _expand(config.nav, list(reference.pages()))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the pictures outside `docs/` that pages show."""
    from mkdocs.structure.files import File

    for path, text in reference.pages().items():
        files.append(File.generated(config, path, content=text))
    pictures = {
        target
        for file in files.documentation_pages()
        for is_picture, _, link in _LINK.findall(file.content_string)
        if is_picture and (target := _outside(file.src_uri, link))
    }
    for picture in sorted(pictures):
        files.append(File.generated(config, picture, abs_src_path=str(ROOT / picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill the markers `<!-- generated: NAME -->` and resolve links that leave `docs/`."""
    source = page.file.src_uri

    def resolve(match: re.Match[str]) -> str:
        is_picture, text, link = match.groups()
        target = _outside(source, link)
        if target is None:
            return match[0]
        if is_picture:
            return f"![{text}]({posixpath.relpath(target, posixpath.dirname(source) or '.')})"
        kind = "tree" if (ROOT / target).is_dir() else "blob"
        return f"[{text}]({config.repo_url}/{kind}/main/{target})"

    return reference.fill(_LINK.sub(resolve, markdown))


def _expand(entry: Any, generated: list[str]) -> Any:
    if isinstance(entry, list):
        return [_expand(one, generated) for one in entry]
    if isinstance(entry, dict):
        return {title: _expand(one, generated) for title, one in entry.items()}
    if not entry.endswith("/*.md"):
        return entry
    return [one for one in generated if posixpath.dirname(one) == posixpath.dirname(entry)]


def _outside(page: str, link: str) -> str | None:
    """The path below the repository's root that `link` names if it leaves `docs/`; otherwise None."""
    if "://" in link or link.startswith(("#", "/", "mailto:")):
        return None
    target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link.partition("#")[0]))
    return None if target == "docs" or target.startswith("docs/") else target
