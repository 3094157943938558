"""`frugalwatch recover`: give an end to runs whose supervisor or machine died."""

from __future__ import annotations

import json
import os
import sqlite3
import time

import click

from frugalwatch.config.load import load

SCHEMA = "frugalwatch.recover/1"


@click.command()
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}).")
@click.option("--ledger", metavar="FILE", help="Look into this database.")
@click.option("--every-machine", is_flag=True, help="Also settle runs of other machines.")
def command(as_json: bool, ledger: str | None, every_machine: bool) -> None:
    """Settle runs whose supervisor or machine died.

    \b
    frugalwatch recover

    Such a run ends at its last sign of life. What was recorded until then counts; its exit
    status stays unknown. A run that still goes on is left alone.
    """
    from frugalwatch.ledger.connection import open_ledger
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.ledger.recover import Recovered, here, recover
    from frugalwatch.ledger.thin import thin
    from frugalwatch.ledger.totals import store_totals
    from frugalwatch.report.settle import settle_run
    from frugalwatch.report.started_with import started_with

    loaded = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ)

    def settle(connection: sqlite3.Connection, run_key: str) -> None:
        factor, own = started_with(connection, run_key, loaded.settings)
        document, totals = settle_run(connection, run_key, factor, own)
        number = document["number"]
        assert isinstance(number, int)
        store_totals(connection, number, totals)

    path = locate(ledger_path(loaded.settings, os.environ), os.environ).ledger
    found: list[Recovered] = []
    if os.path.exists(path):
        connection = open_ledger(path, create=False)
        try:
            found = recover(connection, here(), settle, every_machine=every_machine)
            days_ns = round(loaded.settings.raw_sample_days * 86_400_000_000_000)
            thin(connection, time.time_ns() - days_ns)
        finally:
            connection.close()
    if as_json:
        runs = [{"number": r.run_id, "run_id": r.run_key, "state": r.state} for r in found]
        click.echo(json.dumps({"schema": SCHEMA, "runs": runs}, indent=2))
        return
    for run in found:
        click.echo(f"run {run.run_id} ({run.run_key}): {run.state}, exit status unknown")
    if not found:
        click.echo("nothing to recover")
