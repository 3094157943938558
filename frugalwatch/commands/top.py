"""`frugalwatch top`: watch a run while it goes on, on a screen or line by line."""

from __future__ import annotations

import os

import click

from frugalwatch.commands.looking import has_screen, print_lines, ways_to_look
from frugalwatch.commands.run_argument import NamesRuns
from frugalwatch.config.load import load


@click.command(cls=NamesRuns)
@click.argument("run", required=False)
@ways_to_look
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
