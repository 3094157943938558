"""`frugalwatch send`: the ledger to the site's Prometheus-compatible server."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from frugalwatch.config.settings import Settings
    from frugalwatch.remote.setup import Link

SCHEMA = "frugalwatch.send/1"


@click.command()
@click.option("--once", is_flag=True, help="Send what there is, then end. This is the default.")
@click.option("--follow", is_flag=True, help="Go on sending as the ledger grows.")
@click.option("--status", is_flag=True, help="Say how far it was sent. Sends nothing.")
@click.option(
    "--url", metavar="URL", help="Remote-write address, such as http://HOST:9090/api/v1/write."
)
@click.option("--ledger", metavar="FILE", help="Send this database.")
@click.option("--daemon", is_flag=True, help="Send the daemon's own ledger.")
@click.option("--node", metavar="NAME", help="Send all that is in it as this node's.")
@click.option("--runs-only", is_flag=True, help="Totals of runs only, no counters of devices.")
@click.option(
    "--wait",
    "wait_s",
    type=float,
    default=60.0,
    metavar="SECONDS",
    help="With --once: how long to try a server that takes nothing. Default 60.",
)
@click.option("--beside-daemon", is_flag=True, hidden=True)  # end when standard input does
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({SCHEMA}).")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    once: bool,
    follow: bool,
    status: bool,
    url: str | None,
    ledger: str | None,
    daemon: bool,
    node: str | None,
    runs_only: bool,
    wait_s: float,
    beside_daemon: bool,
    as_json: bool,
) -> None:
    """Send the ledger to the site's server: Prometheus, VictoriaMetrics, Mimir.

    \b
    frugalwatch send                       what is new, once: for cron
    frugalwatch send --follow              until Ctrl-C
    frugalwatch send --status              how far it is, and what was refused
    frugalwatch send --ledger node7.db --node node7   a copied one

    The server is `remote_write_url` of the configuration. A server that is down costs nothing but
    time: the ledger keeps everything, and the next `send` goes on from there. Exit status 1 if the
    server took nothing. A daemon with `remote_write_url` set sends its own ledger by itself.
    """
    from frugalwatch.errors import UsageError

    if sum((once, follow, status)) > 1:
        raise UsageError("--once, --follow and --status exclude each other")
    settings, path = _place(url=url, ledger=ledger, daemon=daemon)
    if status:
        _status(settings, path, as_json=as_json)
        return
    if beside_daemon:
        _become_the_daemons(path)
    conn, link = _open(settings, path, node=node, devices=not runs_only)
    try:
        if follow:
            _follow(link, settings, path, beside_daemon=beside_daemon)
        else:
            ctx.exit(_once(link, wait_s, as_json=as_json))
    except sqlite3.Error as error:
        from frugalwatch.ledger.connection import explain

        raise explain(error, path) from error
    finally:
        link.close()
        conn.close()


def _place(*, url: str | None, ledger: str | None, daemon: bool) -> tuple[Settings, str]:
    """The settings, without any project's, and the ledger that is meant."""
    from frugalwatch.config.load import load
    from frugalwatch.daemon.places import daemon_places
    from frugalwatch.ledger.paths import ledger_path, locate

    chosen = {
        "remote_write_url": url,
        "ledger": os.path.abspath(ledger) if ledger else None,
    }
    loaded = load(chosen, cwd="/", environ=os.environ)
    for problem in loaded.problems:
        click.echo(f"warning: configuration: {problem}", err=True)
    settings = loaded.settings
    if daemon:
        return settings, daemon_places(settings, os.environ, os.getuid()).ledger
    return settings, locate(ledger_path(settings, os.environ), os.environ).ledger


def _open(
    settings: Settings, path: str, *, node: str | None, devices: bool
) -> tuple[sqlite3.Connection, Link]:
    from frugalwatch.daemon.lock import InstanceLock
    from frugalwatch.errors import FrugalWatchError
    from frugalwatch.ledger.connection import open_ledger
    from frugalwatch.remote.setup import make_link, send_lock_path, write_address

    write_address(settings, os.environ)  # before anything is touched
    conn = open_ledger(path, create=False)
    holder = InstanceLock(send_lock_path(path)).take()
    if holder is not None:
        conn.close()
        raise FrugalWatchError(
            "this ledger is being sent already",
            why=f"process {holder or '?'} does; two would send everything twice",
            hint="frugalwatch send --status",
        )
    return conn, make_link(conn, settings, os.environ, node=node, devices=devices)


def _once(link: Link, wait_s: float, *, as_json: bool) -> int:
    from frugalwatch.remote.deliver import UnavailableError
    from frugalwatch.remote.follow import said_of, send_once

    try:
        done = send_once(link.sender, within_s=wait_s)
    except UnavailableError as error:
        if as_json:
            click.echo(json.dumps({"schema": SCHEMA, "sent": False, "error": str(error)}, indent=2))
        click.echo(f"error: the server took not all of it: {error}", err=True)
        click.echo("The ledger keeps what is left; the next send goes on from there.", err=True)
        return 1
    waiting = link.sender.waiting_totals()
    for loss in done.lost:
        click.echo(f"warning: {said_of(loss)}", err=True)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "schema": SCHEMA,
                    "sent": True,
                    "values": done.points,
                    "requests": done.requests,
                    "sent_bytes": done.bytes_sent,
                    "refused_values": sum(loss.points for loss in done.lost),
                    "totals_not_read_back": waiting,
                },
                indent=2,
            )
        )
        return 0
    values = f"{done.points} value{'s' * (done.points != 1)}"
    click.echo(f"sent {values} in {done.requests} requests, {done.bytes_sent} bytes")
    if waiting:
        click.echo(
            f"totals of {waiting} run{'s' * (waiting != 1)} were sent and not read back yet;"
            " the next send asks again",
            err=True,
        )
    return 0


def _follow(link: Link, settings: Settings, path: str, *, beside_daemon: bool) -> None:
    from frugalwatch.remote.follow import Follower, stop_at_end_of_input

    name = "frugalwatch daemon: sending" if beside_daemon else "frugalwatch send"
    follower = Follower(
        link.sender,
        every_s=settings.remote_interval_s,
        say=lambda words: click.echo(f"{name}: {words}", err=True),
        ledger=path,
    )
    follower.stop_on_signals()
    if beside_daemon:
        stop_at_end_of_input(follower)
    follower.follow()


def _become_the_daemons(path: str) -> None:
    """Without the daemon's rights, by a name of its own, and not before there is a ledger."""
    import select
    import sys

    from frugalwatch.daemon.child import drop_capabilities

    drop_capabilities()
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write("fw-send")
    while not os.path.exists(path):
        if select.select([0], [], [], 0.5)[0]:
            sys.exit(0)


def _status(settings: Settings, path: str, *, as_json: bool) -> None:
    from frugalwatch.ledger.reading import open_reader
    from frugalwatch.remote.status import as_text, find_status

    conn = open_reader(path)
    try:
        found = find_status(conn, path, settings)
    finally:
        conn.close()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(as_text(found))
