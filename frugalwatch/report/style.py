"""Bold, dim and red for people, and nothing for pipes: NO_COLOR, TERM=dumb, FORCE_COLOR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Style(NamedTuple):
    """Marks up text, or leaves it alone. No meaning rests on it."""

    on: bool

    def bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.on else text

    def dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self.on else text

    def red(self, text: str) -> str:
        return f"\x1b[31m{text}\x1b[0m" if self.on else text


def stdout_is_terminal() -> bool:
    """Whether a person reads stdout. A shell may have closed it (`>&-`), and then it is None."""
    import sys

    return sys.stdout is not None and sys.stdout.isatty()


def choose_style(environ: Mapping[str, str], *, is_terminal: bool) -> Style:
    """Colour on a terminal unless NO_COLOR or TERM=dumb; anywhere with FORCE_COLOR."""
    if environ.get("NO_COLOR"):
        return Style(on=False)
    if environ.get("FORCE_COLOR"):
        return Style(on=True)
    return Style(on=is_terminal and environ.get("TERM") != "dumb")
