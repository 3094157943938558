"""`frugalwatch daemon run|status|install`: measure the machine all the time, and serve others."""

from __future__ import annotations

import json
import os
import signal

import click

from frugalwatch.config.load import Loaded, load
from frugalwatch.errors import UsageError

STATUS_SCHEMA = "frugalwatch.daemon-status/1"


@click.group(name="daemon")
def command() -> None:
    """Measure this machine all the time, for every run and every user.

    \b
    frugalwatch daemon run         in the foreground, for a service manager
    frugalwatch daemon status      whether one runs, and what it sees
    frugalwatch daemon install     the units for systemd, and how to set them up
    """


@command.command()
@click.option("--ledger", metavar="FILE", help="Write to this database.")
@click.option("--interval", type=float, metavar="SECONDS", help="Between two looks. Default 1.")
@click.option("--socket", "socket_path", metavar="FILE", help="Serve on this socket.")
@click.option("--no-socket", is_flag=True, help="Serve nobody.")
@click.option("--metrics", metavar="ADDRESS", help="Serve /metrics there: 127.0.0.1:9477.")
def run(
    ledger: str | None,
    interval: float | None,
    socket_path: str | None,
    no_socket: bool,
    metrics: str | None,
) -> None:
    """Sample this machine in the foreground until SIGTERM or Ctrl-C.

    \b
    frugalwatch daemon run
    frugalwatch daemon run --ledger /srv/energy.db
    frugalwatch daemon run --metrics 127.0.0.1:9477      for Prometheus

    It says nothing unless something is wrong, never forks into the background and can be killed
    at any moment: what was written stays, and the next start goes on from the counters. So any
    supervisor will do: systemd (see `frugalwatch daemon install`), runit, s6, supervisord, or in
    a shell: until frugalwatch daemon run; do sleep 5; done. SIGHUP reads the configuration anew.
    """
    from frugalwatch.daemon.main import run_daemon, start_anew
    from frugalwatch.daemon.places import daemon_places

    chosen = {"daemon_ledger": ledger, "daemon_socket": socket_path, "interval_s": interval}
    loaded = _load({**chosen, "metrics": metrics})
    if loaded.settings.metrics is not None:
        from frugalwatch.metrics.address import parse_address

        # Now, not in a log that nobody reads.
        if parse_address(loaded.settings.metrics).port == 0:
            raise UsageError("metrics need a port that scrapers can know", hint="127.0.0.1:9477")
    for problem in loaded.problems:
        click.echo(f"warning: configuration: {problem}", err=True)
    places = daemon_places(loaded.settings, os.environ, os.getuid())
    ended_by = run_daemon(places, loaded.settings, os.environ, serve=not no_socket)
    if ended_by == signal.SIGHUP:
        start_anew()


@command.command()
@click.option("--json", "as_json", is_flag=True, help=f"Print JSON ({STATUS_SCHEMA}).")
@click.option("--ledger", metavar="FILE", help="Of the daemon that writes to this database.")
@click.pass_context
def status(ctx: click.Context, as_json: bool, ledger: str | None) -> None:
    """Say whether a daemon runs here, and what it sees. Exit status 1 if none does."""
    from frugalwatch.daemon.status import as_text, find_status

    loaded = _load({"daemon_ledger": ledger})
    found = find_status(loaded.settings, os.environ, os.getuid())
    if as_json:
        click.echo(json.dumps({"schema": STATUS_SCHEMA, **found.as_json()}, indent=2))
    else:
        click.echo(as_text(found))
    if not found.running:
        ctx.exit(1)


@command.command()
@click.option("--user", is_flag=True, help="The unit for one user, without root.")
def install(user: bool) -> None:
    """Print the unit for systemd. Changes nothing.

    \b
    frugalwatch daemon install                   what it is, and the two lines that set it up
    frugalwatch daemon install > FILE            the unit alone
    """
    from frugalwatch.daemon.install import set_up, unit

    click.echo(unit(user=user), nl=False)
    if os.isatty(1):
        group = _load({}).settings.daemon_group
        click.echo("\nTo set it up:", err=True)
        for line in set_up(group, user=user):
            click.echo(f"  {line}", err=True)


def _load(chosen: dict[str, object]) -> Loaded:
    """The settings without any project's: a daemon belongs to the machine, not to a folder."""
    paths = {"daemon_ledger", "daemon_socket"}
    given = {
        key: os.path.abspath(value) if key in paths and isinstance(value, str) else value
        for key, value in chosen.items()
    }
    return load(given, cwd="/", environ=os.environ)
