"""What a person has to be told: one to three lines above the keys, nothing most of the time."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import Static

from frugalwatch.screen.records import Look


def notices(look: Look | None, shown: Look | None) -> list[str]:
    """What is wrong with the ledger and with the chosen run; `shown` is the last good look."""
    lines: list[str] = []
    if look is not None and look.trouble is not None and shown is not None:
        lines.append(f"{look.trouble.message}; trying again")
    run = shown.run if shown else None
    if run is not None:
        if run.is_silent:
            lines.append(
                "nothing was recorded for a while; if the run is gone: frugalwatch recover"
            )
        lines += run.notices
    return lines


class Notices(Static):
    """Lines that begin with `!`; hidden without any."""

    DEFAULT_CSS = """
    Notices { height: auto; display: none; background: $panel; }
    Notices.-told { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(id="notices")
        self._told: tuple[str, ...] = ()

    def tell(self, lines: Sequence[str], most: int) -> None:
        """Show these lines, the first `most` of them."""
        told = tuple(lines)
        if told == self._told:
            return
        self._told = told
        self.set_class(bool(told), "-told")
        text = Text("\n".join(f" ! {line}" for line in told[:most]), no_wrap=True)
        text.overflow = "ellipsis"
        self.update(text)


class Empty(Static):
    """The whole of a view that has nothing to show yet: why, and the next command."""

    DEFAULT_CSS = (
        "Empty { height: 1fr; padding: 2 4; display: none; } Empty.-shown { display: block; }"
    )

    def __init__(self) -> None:
        super().__init__(id="empty")
        self._lines: tuple[str, ...] = ()

    def show_lines(self, lines: Sequence[str]) -> None:
        """Show these lines; without any the view shows its figures again."""
        if tuple(lines) == self._lines:
            return
        self._lines = tuple(lines)
        self.set_class(bool(lines), "-shown")
        self.update(Text("\n".join(lines)))
