"""`frugalwatch show RUN`: everything that is known about one run."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from frugalwatch.commands.run_argument import NamesRuns
from frugalwatch.config.load import load
from frugalwatch.errors import LedgerError, NotFoundError

if TYPE_CHECKING:
    from sqlite_utils.db import Database

    from frugalwatch.ledger.queries import RunRow


@click.command(cls=NamesRuns)
@click.argument("run", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print the run object (frugalwatch.run/1).")
@click.option("--ledger", metavar="FILE", help="Look into this database.")
def command(run: str, as_json: bool, ledger: str | None) -> None:
    """Show one run in full.

    \b
    frugalwatch show            the last run
    frugalwatch show 40         run 40
    frugalwatch show -2         the one before the last
    frugalwatch show 20261122   the run whose key begins so
    frugalwatch show --json     for programs

    RUN is a number, the beginning of a run's key, `last`, or -1, -2, ... from the last one back.
    A run that goes on is shown as far as it is recorded.
    """
    from frugalwatch.ledger.connection import trouble
    from frugalwatch.ledger.current import open_database
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.report.documents import run_document

    loaded = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ)
    path = locate(ledger_path(loaded.settings, os.environ), os.environ).ledger
    try:
        with open_database(loaded.settings, os.environ) as rows:
            row = _find(rows, run, path)
            document, _ = run_document(rows.conn, row.number, loaded.settings)
    except LedgerError as error:
        if trouble(error) == "missing":
            raise _nothing_yet(path) from error
        raise
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    from frugalwatch.report.full import full_text
    from frugalwatch.report.style import choose_style, stdout_is_terminal

    style = choose_style(os.environ, is_terminal=stdout_is_terminal())
    click.echo(full_text(document, style), color=style.on)  # click would strip a forced colour


def _find(rows: Database, run: str, path: str) -> RunRow:
    from frugalwatch.ledger.queries import find_run, list_runs

    try:
        return find_run(rows, run)
    except NotFoundError:
        if not list_runs(rows, limit=1):
            raise _nothing_yet(path) from None
        raise


def _nothing_yet(path: str) -> NotFoundError:
    return NotFoundError(f"no runs yet in {path}", hint="frugalwatch run -- COMMAND records one")
