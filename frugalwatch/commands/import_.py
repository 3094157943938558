"""`frugalwatch import codecarbon FILE`: bring in what another tracker recorded."""

from __future__ import annotations

import json
import os
import sqlite3

import click

SCHEMA = "frugalwatch.import/1"
_SHOWN = 10


@click.group(name="import")
def command() -> None:
    """Bring in figures that another tracker recorded.

    \b
    frugalwatch import codecarbon emissions.csv
    """


@command.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--ledger", metavar="FILE", help="Import into this database.")
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}).")
def codecarbon(file: str, ledger: str | None, as_json: bool) -> None:
    """Import the runs of codecarbon's emissions.csv.

    \b
    frugalwatch import codecarbon emissions.csv
    frugalwatch runs                             they are listed with the others

    Every figure comes in as estimated, since the file does not say how it was known, with the
    factor that codecarbon applied. Importing a file twice adds nothing. Times in the file have no
    zone and are taken as local.
    """
    from frugalwatch.config.load import load
    from frugalwatch.crosscheck.codecarbon_csv import read_emissions
    from frugalwatch.crosscheck.codecarbon_import import import_rows
    from frugalwatch.ledger.connection import explain, open_ledger
    from frugalwatch.ledger.paths import ledger_path, locate

    rows, skipped = read_emissions(file)
    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    path = locate(ledger_path(settings, os.environ), os.environ).ledger
    connection = open_ledger(path, create=True, notify=_notice)
    try:
        new, known = import_rows(connection, rows, settings)
    except sqlite3.Error as error:
        raise explain(error, path) from error
    finally:
        connection.close()
    if as_json:
        click.echo(
            json.dumps(
                {
                    "schema": SCHEMA,
                    "imported": new,
                    "known": known,
                    "skipped": [{"line": gone.line, "why": gone.why} for gone in skipped],
                },
                indent=2,
            )
        )
        return
    click.echo(f"imported {_runs(len(new))}, {len(known)} were there already")
    for gone in skipped[:_SHOWN]:
        click.echo(f"skipped line {gone.line}: {gone.why}")
    if len(skipped) > _SHOWN:
        click.echo(f"skipped {len(skipped) - _SHOWN} more lines; --json lists them all")
    if new:
        click.echo(f"Next  frugalwatch show {new[-1]}")


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _notice(_kind: str, text: str) -> None:
    click.echo(f"warning: {text}", err=True)
