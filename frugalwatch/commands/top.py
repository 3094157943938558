"""`frugalwatch top`: watch a run while it goes on, on a screen or line by line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from frugalwatch.commands.run_argument import NamesRuns
from frugalwatch.config.load import load

if TYPE_CHECKING:
    from frugalwatch.screen.reading import LedgerWatch


@click.command(cls=NamesRuns)
@click.argument("run", required=False)
@click.option("--plain", is_flag=True, help="One line a second, for logs and screen readers.")
@click.option("--once", is_flag=True, help="Print one such line and exit.")
@click.option(
    "--symbols",
    type=click.Choice(["auto", "braille", "block", "ascii"]),
    default="auto",
    show_default=True,
    help="What the chart is drawn with.",
)
@click.option("--ledger", metavar="FILE", help="Look into this database; a copy will do.")
def command(*, run: str | None, plain: bool, once: bool, symbols: str, ledger: str | None) -> int:
    """Watch power, energy and carbon while a job runs.

    \b
    frugalwatch top                the run that goes on, else the last one
    frugalwatch top 40             run 40
    frugalwatch top --plain        a line a second until the run ends
    frugalwatch top --once         one line, now

    It only reads the ledger: it can be closed and opened again without touching a job. Into a pipe
    and on a dumb terminal it writes plain lines.
    """
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.screen.reading import LedgerWatch

    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    path = locate(ledger_path(settings, os.environ), os.environ).ledger
    watch = LedgerWatch(path, settings)
    try:
        number = None if run is None else watch.find(run)
        if plain or once or not has_screen():
            return print_lines(watch, number, once=once)
    finally:
        watch.close()
    from frugalwatch.screen.app import open_screen

    return open_screen(LedgerWatch(path, settings), number=number, symbols=symbols)


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
