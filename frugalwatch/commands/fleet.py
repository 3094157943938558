"""`frugalwatch fleet RUN`: a run across nodes as one, from the site's server."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from frugalwatch.config.settings import Settings

SCHEMA = "frugalwatch.fleet/1"
_SPAN = re.compile(r"[1-9][0-9]{0,5}[smhdwy]")


@click.command()
@click.argument("run", required=False)
@click.option("--server", metavar="URL", help="The server to ask, such as http://HOST:9090.")
@click.option("--since", default="90d", metavar="SPAN", help="How far back to look. Default 90d.")
@click.option("--nodes", "every_node", is_flag=True, help="Show every node, however many.")
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}).")
def command(
    run: str | None, server: str | None, since: str, every_node: bool, as_json: bool
) -> None:
    """Show what a run took on all of its nodes together.

    \b
    frugalwatch fleet                      the runs that nodes told of
    frugalwatch fleet my-training          what FRUGALWATCH_RUN_ID was
    frugalwatch fleet slurm:4711           a SLURM job; torchelastic:ID, ray:ID
    frugalwatch fleet last                 this machine's last run

    Asks the Prometheus-compatible server that the nodes send to (`frugalwatch send`). The total is
    the sum of the nodes' ledgers; a node that has told no end yet is named. `frugalwatch merge`
    does the same from copied ledgers.
    """
    from frugalwatch.errors import NotFoundError, UsageError
    from frugalwatch.fleet.figures import total
    from frugalwatch.fleet.from_server import parts, run_ids
    from frugalwatch.fleet.text import as_json as to_json
    from frugalwatch.fleet.text import as_text
    from frugalwatch.remote.query import Queries
    from frugalwatch.remote.setup import query_address, tenant_headers

    if not _SPAN.fullmatch(since):
        raise UsageError(f"--since {since!r} is no span of time", hint="90d, 12h, 30m")
    settings = _settings(server)
    place = query_address(settings, os.environ)
    if place is None:
        raise UsageError(
            "no server is set to ask",
            hint="--server http://HOST:9090, or remote_query_url in the configuration",
        )
    queries = Queries(place, headers=tenant_headers(settings))
    try:
        if run is None:
            _list(run_ids(queries, since=since), as_json=as_json)
            return
        name, found = run, parts(queries, run, since=since)
        if not found:
            name = _local_name(run) or run
            found = parts(queries, name, since=since) if name != run else []
    finally:
        queries.close()
    if not found:
        raise NotFoundError(
            f"no node told {place.url} of a run {name!r} within {since}",
            hint="frugalwatch fleet lists those that it knows; frugalwatch send --status",
        )
    fleet = total(name, found)
    if as_json:
        click.echo(json.dumps(to_json(fleet, place.url), indent=2))
    else:
        click.echo(as_text(fleet, place.url, every_node=every_node))


def _settings(server: str | None) -> Settings:
    from frugalwatch.config.load import load

    return load({"remote_query_url": server}, cwd="/", environ=os.environ).settings


def _list(names: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"schema": "frugalwatch.fleet-runs/1", "run_ids": names}, indent=2))
    elif names:
        click.echo("\n".join(names))
    else:
        click.echo("no node told of a run that nodes share", err=True)


def _local_name(run: str) -> str | None:
    """What the nodes share of a run that is named as this machine's ledger does."""
    from frugalwatch.config.load import load
    from frugalwatch.errors import FrugalWatchError
    from frugalwatch.ledger.database import database
    from frugalwatch.ledger.paths import ledger_path, locate
    from frugalwatch.ledger.queries import find_run
    from frugalwatch.ledger.reading import open_reader

    settings = load({}, cwd=os.getcwd(), environ=os.environ).settings
    path = locate(ledger_path(settings, os.environ), os.environ).ledger
    try:
        conn = open_reader(path)
    except FrugalWatchError:
        return None
    try:
        db = database(conn)
        number = find_run(db, run).number
        query = "SELECT coalesce(group_key, run_key) AS name FROM run WHERE id = ?"
        return next((str(row["name"]) for row in db.query(query, [number])), None)
    except FrugalWatchError:
        return None
    finally:
        conn.close()
