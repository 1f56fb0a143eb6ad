"""A page is one file that loads nothing and runs only its own scripts."""

import json
import re

import pytest

from img2img.pages import page


def test_text_from_outside_cannot_become_markup() -> None:
    body = f"<p>{page.escape('<img src=x onerror=alert(1)>')}</p>"
    made = page.build("<b>", body, data={"name": "</script><script>"})
    assert "<title>&lt;b&gt;</title>" in made
    assert "<img src=x" not in made and made.count("</script>") == 1
    inside = re.search(r'id="data">(.*?)</script>', made)
    assert inside and json.loads(inside[1]) == {"name": "</script><script>"}


def test_the_policy_allows_nothing_from_elsewhere() -> None:
    made = page.build("title", "<p>text</p>")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made)
    assert policy and policy[1].startswith("default-src &#x27;none&#x27;; img-src data: blob:;")
    assert "http:" not in made and "https:" not in made


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError):
        page.build("title", "", data=[float("nan")])
