"""What scripts make is what they make now: the recording of the demo, and the README's picture."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MADE = {
    "tools/make_demo.py": "frugalwatch/demo/recording.json",
    "tools/make_picture.py": "docs/pictures/live.svg",
}


@pytest.mark.parametrize("tool", MADE)
def test_no_made_file_is_stale(tool: str) -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / tool), "--print"],
        check=True, capture_output=True, text=True, encoding="utf-8", timeout=100,
    ).stdout  # fmt: skip
    kept = (ROOT / MADE[tool]).read_text(encoding="utf-8")
    assert _lines(made) == _lines(kept), f"python {tool} writes {MADE[tool]} anew"


def test_the_readme_shows_a_picture_that_is_labelled_and_fetches_nothing() -> None:
    svg = (ROOT / MADE["tools/make_picture.py"]).read_text(encoding="utf-8")
    assert "DEMO,&#160;scripted&#160;data" in svg
    assert "url(http" not in svg
    assert MADE["tools/make_picture.py"] in (ROOT / "README.md").read_text(encoding="utf-8")


def _lines(text: str) -> list[str]:
    """A line an element, so that a failure shows which words changed."""
    return re.sub(r"(?=<text |<rect )", "\n", text).splitlines()
