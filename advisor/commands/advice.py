"""`frugalwatch advice`: what was found so far."""

from __future__ import annotations

import json
import os
import sys

import click

from frugalwatch.config.load import load


@click.command()
@click.argument("advice", required=False)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print frugalwatch.advice/1; of the list, advice-list/1.",
)
@click.option("--ledger", metavar="FILE", help="Look into this database.")
def command(advice: str | None, as_json: bool, ledger: str | None) -> None:
    """List stored advice, or show one.

    \b
    frugalwatch advice       the list
    frugalwatch advice A1    the report of A1
    frugalwatch advice last  the latest
    """
    from frugalwatch.ledger.advice import find_advice, list_advice
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.ledger.reading import open_reader
    from frugalwatch.report.style import choose_style

    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    conn = open_reader(locate(ledger_path(settings, os.environ), os.environ).ledger)
    try:
        if advice is None:
            found = list_advice(conn)
            if as_json:
                finished = [dict(a.result) for a in found if a.result]
                document = {"schema": "frugalwatch.advice-list/1", "advice": finished}
                click.echo(json.dumps(document, indent=2))
            else:
                from advisor.report import advice_list

                click.echo(advice_list(found))
            return
        stored, _ = find_advice(conn, advice)
    finally:
        conn.close()
    if as_json:
        click.echo(json.dumps(dict(stored.result), indent=2))
    elif not stored.result:
        click.echo(f"Advice {stored.name} was not finished ({stored.state}).")
    else:
        from advisor.report import report

        click.echo(report(stored.result, choose_style(os.environ, is_terminal=sys.stdout.isatty())))
