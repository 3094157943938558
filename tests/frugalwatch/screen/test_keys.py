"""The line of keys at any width, and the page of the documentation that lists them all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.screen.keys import Key, fitting_keys, line_width

ROOT = Path(__file__).parents[3]
_LABELS = ("Live", "Jobs", "Advice", "Machine", "Open", "Filter", "Units", "Export", "Compare")


def line_of_keys() -> list[Key]:
    keys = [Key(str(n), str(n), label, n < 5, n == 1) for n, label in enumerate(_LABELS, start=1)]
    help_ = Key("question_mark", "?", "Help", is_view=False, is_open=False)
    return [*keys, help_, Key("q", "q", "Quit", is_view=False, is_open=False)]


@given(st.integers(16, 200))
def test_the_line_fits_any_terminal_and_keeps_help_and_quit(width: int) -> None:
    kept = fitting_keys(line_of_keys(), width)
    assert line_width(kept) <= width
    assert [key.key for key in kept[-2:]] == ["question_mark", "q"]


def test_views_stay_longer_than_other_keys() -> None:
    labels = [key.label for key in fitting_keys(line_of_keys(), 50)]
    assert labels == ["Live", "Jobs", "Advice", "Machine", "Help", "Quit"]


def test_nothing_is_dropped_where_there_is_room() -> None:
    keys = line_of_keys()
    assert fitting_keys(keys, line_width(keys)) == keys


def test_the_page_of_the_screen_lists_the_keys_there_are() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "tools" / "make_screen_keys.py", "--print"],
        capture_output=True,
        text=True,
        check=True,
    )
    page = ROOT / "docs" / "reference" / "screen.md"
    assert page.read_text(encoding="utf-8") == made.stdout, "run tools/make_screen_keys.py"
