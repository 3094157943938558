"""`frugalwatch merge DB...`: ledgers of several nodes put together, a run across them as one."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frugalwatch.fleet.figures import FleetTotal
    from frugalwatch.ledger.merge import Merged

SCHEMA = "frugalwatch.merge/1"
_MOST_RUNS = 20


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="DB...", type=click.Path(dir_okay=False))
@click.option("--into", metavar="FILE", help="Keep what was merged in this ledger.")
@click.option("--run", "run", metavar="RUN", help="Show this run over all nodes.")
@click.option("--nodes", "every_node", is_flag=True, help="Show every node, however many.")
@click.option(
    "--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}, frugalwatch.fleet/1)."
)
def command(
    files: tuple[str, ...], into: str | None, run: str | None, every_node: bool, as_json: bool
) -> None:
    """Put copied ledgers of several nodes together, and show what runs took on all of them.

    \b
    frugalwatch merge node*.db                     the runs that nodes share
    frugalwatch merge node*.db --run my-training   one of them, by node
    frugalwatch merge node*.db --into all.db       keep them in one ledger

    The files are only read. Merging one twice, or a newer copy of it, changes nothing else: a run
    is taken once, and of two states of a run the one that knows more about its end. Energy of
    recordings that overlap is counted once per boot and device.
    """
    from frugalwatch.errors import NotFoundError
    from frugalwatch.fleet.figures import total
    from frugalwatch.fleet.from_ledger import groups, parts
    from frugalwatch.fleet.text import as_json as to_json
    from frugalwatch.fleet.text import as_text

    conn = _target(into)
    try:
        merged = _merge(conn, files)
        source = f"{len(files)} ledger{'s' * (len(files) != 1)}"
        if run is not None:
            found = parts(conn, run)
            if not found:
                raise NotFoundError(
                    f"no run {run!r} in these ledgers", hint="frugalwatch merge DB... lists them"
                )
            fleet = total(run, found)
            text = as_text(fleet, source, every_node=every_node)
            click.echo(json.dumps(to_json(fleet, source), indent=2) if as_json else text)
            return
        shared = [name for name, of_nodes in groups(conn) if of_nodes]
        fleets = [total(name, parts(conn, name)) for name in shared]
    finally:
        conn.close()
    if as_json:
        click.echo(json.dumps(_document(merged, fleets), indent=2))
    else:
        click.echo(_text(merged, fleets, into))


def _target(into: str | None) -> sqlite3.Connection:
    from frugalwatch.ledger.connection import memory_ledger, open_ledger

    return memory_ledger() if into is None else open_ledger(os.path.abspath(into), create=True)


def _merge(conn: sqlite3.Connection, files: tuple[str, ...]) -> Merged:
    from frugalwatch.ledger.connection import explain
    from frugalwatch.ledger.merge import Merged, merge_connection
    from frugalwatch.ledger.reading import open_reader

    total = Merged()
    for file in files:
        reader = open_reader(os.path.abspath(file))
        try:
            one = merge_connection(conn, reader)
        except sqlite3.Error as error:
            raise explain(error, file) from error
        finally:
            reader.close()
        total = Merged(
            total.added + one.added, total.replaced + one.replaced, total.kept + one.kept
        )
    return total


def _document(merged: Merged, fleets: Sequence[FleetTotal]) -> dict[str, object]:
    from frugalwatch.fleet.text import as_json as to_json

    return {
        "schema": SCHEMA,
        "added": list(merged.added),
        "replaced": list(merged.replaced),
        "kept": list(merged.kept),
        "runs": [to_json(fleet, "merged ledgers") for fleet in fleets],
    }


def _text(merged: Merged, fleets: Sequence[FleetTotal], into: str | None) -> str:
    from frugalwatch.fleet.text import as_line

    new = len(merged.added)
    lines = [f"{new} run{'s' * (new != 1)} merged, {len(merged.kept)} were there already"]
    if merged.replaced:
        lines[0] += f", {len(merged.replaced)} replaced by a later state"
    if fleets:
        lines += ["", "Runs that nodes share:"]
        lines += [as_line(fleet) for fleet in fleets[:_MOST_RUNS]]
        if len(fleets) > _MOST_RUNS:
            lines.append(f"  and {len(fleets) - _MOST_RUNS} more; --json lists them all")
        lines += ["", "Next  frugalwatch merge DB... --run RUN"]
    if into is not None:
        lines.append(f"Next  frugalwatch runs --ledger {into}")
    return "\n".join(lines)
