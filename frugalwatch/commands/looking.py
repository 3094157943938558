"""What `frugalwatch top` and `demo` share: ways to look, and lines instead of a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar  # Any: click's own functions

import click

if TYPE_CHECKING:
    from frugalwatch.screen.reading import LedgerWatch

Command = TypeVar("Command", bound=Callable[..., Any])


def ways_to_look(command: Command) -> Command:
    """Give a command --plain, --once and --symbols."""
    for option in (
        click.option(
            "--symbols",
            type=click.Choice(["auto", "braille", "block", "ascii"]),
            default="auto",
            show_default=True,
            help="What the chart is drawn with.",
        ),
        click.option("--once", is_flag=True, help="Print one such line and exit."),
        click.option(
            "--plain", is_flag=True, help="One line a second, for logs and screen readers."
        ),
    ):
        command = option(command)
    return command


def has_screen() -> bool:
    """Whether a person sits before a terminal that can place its cursor."""
    from frugalwatch.report.style import stdout_is_terminal

    keyboard = sys.stdin is not None and sys.stdin.isatty()
    return keyboard and stdout_is_terminal() and os.environ.get("TERM", "dumb") != "dumb"


def print_lines(watch: LedgerWatch, number: int | None, *, once: bool, label: str = "") -> int:
    """Print a line a second until the run ends, or one; `label` before each. The exit status."""
    from frugalwatch.screen.plain import PlainTop

    lines = PlainTop(watch, _say, number=number)
    try:
        if once:
            line = lines.once()
            if line is None:
                return 1
            print(f"{label}: {line}" if label else line)
            return 0
        for line in lines.lines():
            print(f"{label}: {line}" if label else line, flush=True)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has had enough; what Python still holds for stdout goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _say(text: str) -> None:
    click.echo(f"frugalwatch: {text}", err=True)
