"""What the terminal showed, compared with a text that a person has read and accepted.

    FRUGALWATCH_ACCEPT=1 pytest tests/frugalwatch/screen

writes the files anew: read the difference before keeping it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

GOLDEN = Path(__file__).with_name("golden")
_SCROLL_BAR = re.compile(r"[▁-▇]$")
_CLOCK = re.compile(r"\d\d:\d\d:\d\d\s*$")


def as_text(lines: Sequence[str]) -> str:
    """The lines without the time of day at the right of the first one, and without the ends of a
    scroll bar in the last column, which Textual draws a moment after what it belongs to.
    """
    first = _CLOCK.sub("HH:MM:SS", lines[0]) if lines else ""
    return "\n".join(_SCROLL_BAR.sub("", line).rstrip() for line in (first, *lines[1:]))


def assert_accepted(name: str, lines: Sequence[str]) -> None:
    """Fail with the difference where the screen is not what was accepted under that name."""
    path, text = GOLDEN / f"{name}.txt", as_text(lines)
    if os.environ.get("FRUGALWATCH_ACCEPT"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    accepted = path.read_text(encoding="utf-8").removesuffix("\n") if path.exists() else ""
    changed = difflib.unified_diff(
        accepted.splitlines(), text.splitlines(), f"golden/{path.name}", "shown", lineterm="", n=0
    )
    difference = "\n".join(changed)
    assert not difference, f"the screen is not as accepted:\n{difference}"
