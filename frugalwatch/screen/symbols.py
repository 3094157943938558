"""What the chart is drawn with, chosen by what the terminal can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Symbols: TypeAlias = Literal["braille", "block", "ascii"]


def choose_symbols(wish: str, environ: Mapping[str, str]) -> Symbols:
    """Braille where UTF-8 is spoken, else ASCII; blocks on the Linux console, whose font has no
    braille. `wish` is one of them, or `auto`.
    """
    if wish in ("braille", "block", "ascii"):
        return wish  # type: ignore[return-value]  # mypy does not narrow str by `in`
    spoken = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or ""
    if "utf-8" not in spoken.lower() and "utf8" not in spoken.lower():
        return "ascii"
    return "block" if environ.get("TERM") == "linux" else "braille"
