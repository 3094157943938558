"""`frugalwatch advice`: what was found so far, in a form for whoever reads it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import click

from advisor.commands.common import scale_of
from frugalwatch.config.load import load

if TYPE_CHECKING:
    from advisor.report import Scale
    from frugalwatch.ledger.advice import StoredAdvice


@click.command()
@click.argument("advice", required=False)
@click.option("--html", metavar="FILE", help="Write one HTML page that needs nothing else (-).")
@click.option("--markdown", metavar="FILE", help="Write Markdown (-).")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print frugalwatch.advice/1; of the list, advice-list/1.",
)
@click.option(
    "--requests-per-day",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="For kWh, CO2e and money of a year (calls, steps or runs).",
)
@click.option("--ledger", metavar="FILE", help="Look into this database.")
def command(  # noqa: PLR0917 - click gives each option a name
    advice: str | None,
    html: str | None,
    markdown: str | None,
    as_json: bool,
    requests_per_day: float | None,
    ledger: str | None,
) -> None:
    """List stored advice, or show one.

    \b
    frugalwatch advice       the list
    frugalwatch advice A1    the report of A1
    frugalwatch advice last  the latest
    frugalwatch advice A1 --html a1.html --requests-per-day 10000
    """
    from frugalwatch.ledger.advice import find_advice, list_advice
    from frugalwatch.ledger.advice_history import verifications
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.ledger.reading import open_reader

    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    if advice is None and (html or markdown or requests_per_day):
        raise click.UsageError("name the advice: frugalwatch advice A1 --html FILE")
    conn = open_reader(locate(ledger_path(settings, os.environ), os.environ).ledger)
    try:
        if advice is None:
            _list(list_advice(conn), as_json=as_json)
            return
        stored, _ = find_advice(conn, advice)
        verified = [v._asdict() for v in verifications(conn) if v.advice == stored.id]
    finally:
        conn.close()
    if as_json and not stored.result:
        click.echo("{}")
    elif not stored.result:
        click.echo(_unfinished(stored))
    else:
        stored = stored._replace(result={**stored.result, "verifications": verified})
        _show(stored, scale_of(settings, requests_per_day), html, markdown, as_json=as_json)


def _list(found: list[StoredAdvice], *, as_json: bool) -> None:
    if as_json:
        finished = [dict(a.result) for a in found if a.result]
        document = {"schema": "frugalwatch.advice-list/1", "advice": finished}
        click.echo(json.dumps(document, indent=2))
        return
    from advisor.report import advice_list

    click.echo(advice_list(found))


def _unfinished(stored: StoredAdvice) -> str:
    text = f"Advice {stored.name} was not finished ({stored.state})."
    return f"{text} Go on with it: frugalwatch advise --resume {stored.name}"


def _show(
    stored: StoredAdvice, scale: Scale, html: str | None, markdown: str | None, *, as_json: bool
) -> None:
    document = stored.result
    if html is not None:
        from advisor.report import html_page

        _write(html, html_page(document, scale))
    if markdown is not None:
        from advisor.report import markdown as in_markdown

        _write(markdown, in_markdown(document, scale))
    if as_json:
        from advisor.report import scaled

        click.echo(json.dumps(scaled(document, scale), indent=2))
    elif html is None and markdown is None:
        from advisor.report import report
        from frugalwatch.report.style import choose_style, stdout_is_terminal

        style = choose_style(os.environ, is_terminal=stdout_is_terminal())
        click.echo(report(document, style, scale))


def _write(path: str, text: str) -> None:
    """Into the file, or to stdout for `-`. Raises click.FileError."""
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise click.FileError(path, hint=str(error.strerror)) from error
    click.echo(f"wrote {path}", err=True)
