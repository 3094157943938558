"""`frugalwatch purge`: delete what was stored; says what that is, and does it when told twice."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING

import click

from frugalwatch.commands.run_argument import NamesRuns
from frugalwatch.config.load import load
from frugalwatch.errors import UsageError

if TYPE_CHECKING:
    from frugalwatch.ledger.paths import Location
    from frugalwatch.purge.found import Found


@click.command(cls=NamesRuns)
@click.argument("runs", nargs=-1)
@click.option("--older-than", metavar="AGE", help="What ended longer ago: 12h, 90d, 8w, 2y.")
@click.option("--command", "text", metavar="TEXT", help="What has this text in its command.")
@click.option("--all", "everything", is_flag=True, help="All of it.")
@click.option("--keep-totals", is_flag=True, help="Keep runs' totals, and nothing else of them.")
@click.option("--yes", is_flag=True, help="Do it. Without: only say what would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (frugalwatch.purge/1).")
@click.option("--ledger", metavar="FILE", help="Of this database.")
def command(
    *,
    runs: tuple[str, ...],
    older_than: str | None,
    text: str | None,
    everything: bool,
    keep_totals: bool,
    yes: bool,
    as_json: bool,
    ledger: str | None,
) -> None:
    """Delete stored runs and all that belongs to them: profiles, captures, advice.

    \b
    frugalwatch purge --older-than 90d           what would be deleted
    frugalwatch purge --older-than 90d --yes     delete it
    frugalwatch purge 12 -1 --yes                runs 12 and the last one
    frugalwatch purge --command secret --yes     all whose command has this text
    frugalwatch purge --all --keep-totals --yes  figures stay, texts go

    Runs that go on are left alone. Advice is deleted by age, by text or with --all; where runs are
    named it stays. What was calibrated, and what is known of this machine, stays. There is no way
    back.
    """
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.purge.found import SCHEMA

    if not (runs or older_than or text or everything):
        raise UsageError("nothing was chosen", hint="frugalwatch purge --older-than 90d")
    if (runs and (older_than or text or everything)) or (everything and (older_than or text)):
        raise UsageError("name runs, or choose by --older-than and --command, or say --all")
    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    location = locate(ledger_path(settings, os.environ), os.environ)
    found, problems = _purge(location, runs, older_than, text, keep_totals=keep_totals, yes=yes)
    if as_json:
        how = {"deleted": yes, "keep_totals": keep_totals, "problems": problems}
        click.echo(json.dumps({"schema": SCHEMA, **how, **found.as_json()}, indent=2))
    else:
        _say(found, keep_totals=keep_totals, yes=yes)
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)


def _purge(
    location: Location,
    names: tuple[str, ...],
    older_than: str | None,
    text: str | None,
    *,
    keep_totals: bool,
    yes: bool,
) -> tuple[Found, list[str]]:
    from frugalwatch.ledger.connection import open_ledger, trouble
    from frugalwatch.ledger.current import open_current
    from frugalwatch.ledger.database import database
    from frugalwatch.ledger.queries import find_run
    from frugalwatch.purge.choice import Choice, parse_age_s
    from frugalwatch.purge.found import find
    from frugalwatch.purge.removal import remove

    before = None if older_than is None else time.time() - parse_age_s(older_than)
    reader = open_current(location, os.environ, notify=_warn)
    try:
        keys = tuple(find_run(database(reader), name).run_key for name in names) or None
        choice = Choice(keys, before, text or None, keep_totals)
        found = find(reader, location, os.environ, choice)
    finally:
        reader.close()
    if not yes or not found:
        return found, []
    try:
        connection = open_ledger(location.ledger, create=False)
        try:
            return found, remove(connection, found, keep_totals=keep_totals)
        finally:
            connection.close()
    except sqlite3.Error as error:
        if trouble(error) == "locked":
            raise UsageError(
                "the ledger is locked by another program; what was not deleted is still there",
                hint="try again",
            ) from error
        raise


def _say(found: Found, *, keep_totals: bool, yes: bool) -> None:
    from frugalwatch.purge.words import found_lines

    if not found:
        click.echo("nothing to delete", err=True)
    else:
        click.echo("deleted:" if yes else "would be deleted:")
        for line in found_lines(found, keep_totals=keep_totals):
            click.echo(f"  {line}")
    if found.still_running:
        numbers = ", ".join(map(str, found.still_running))
        click.echo(f"left alone, since they go on: {numbers}", err=True)
    if found and not yes:
        click.echo("Nothing was deleted. Add --yes to do it; there is no way back.", err=True)


def _warn(_kind: str, message: str) -> None:
    click.echo(f"warning: {message}", err=True)
