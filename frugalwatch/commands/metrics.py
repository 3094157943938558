"""`frugalwatch metrics`: what the ledger knows, for Prometheus and what speaks its language."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from frugalwatch import metrics as metrics_package
from frugalwatch.config.load import load
from frugalwatch.errors import LedgerError, UsageError
from frugalwatch.ledger.paths import ledger_path, locate

if TYPE_CHECKING:
    import socket

    from frugalwatch.metrics.address import Address
    from frugalwatch.metrics.families import Family
    from frugalwatch.metrics.page import LedgerView

_NICER = 15


@click.command()
@click.option("--serve", metavar="ADDRESS", help="Serve /metrics there: 127.0.0.1:9477.")
@click.option("--openmetrics", is_flag=True, help="Print OpenMetrics 1.0, not the older text.")
@click.option("--runs", is_flag=True, help="With series of each run, which grow in number.")
@click.option(
    "--within",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="MINUTES",
    help="With --runs: runs that go on or ended so long ago.",
)
@click.option("--dashboard", is_flag=True, help="Print a dashboard for Grafana, as JSON.")
@click.option("--ledger", metavar="FILE", help="Look into this database.")
@click.option("--beside-daemon", is_flag=True, hidden=True)
def command(
    *,
    serve: str | None,
    openmetrics: bool,
    runs: bool,
    within: float,
    dashboard: bool,
    ledger: str | None,
    beside_daemon: bool,
) -> None:
    """Print energy, carbon and gaps as metrics, or serve them to Prometheus.

    \b
    frugalwatch metrics                          once, to standard output
    frugalwatch metrics --serve 127.0.0.1:9477   until Ctrl-C, read anew at most once a second
    frugalwatch metrics --runs                   with the runs of the last hour
    frugalwatch metrics --dashboard > frugalwatch.json      to import into Grafana

    Joules are cumulative over everything in the ledger, in whole joules; each says how it is known
    (origin) and between which bounds. A machine with a daemon serves them itself:
    `frugalwatch daemon run --metrics 127.0.0.1:9477`.
    """
    if dashboard:
        folder = os.path.join(os.path.dirname(metrics_package.__file__), "dashboards")
        with open(os.path.join(folder, "frugalwatch.json"), encoding="utf-8") as file:
            sys.stdout.write(file.read())
        return
    from frugalwatch.metrics.page import LedgerView
    from frugalwatch.metrics.snapshot import HOLD_NS, Options, Snapshot

    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    # Who looks once sees what there is; who looks again and again sees new series begin at 0.
    options = Options(runs, within * 60, HOLD_NS if serve else 0)
    if serve is not None:
        if openmetrics:
            raise UsageError(
                "--openmetrics goes without --serve", hint="a scraper says what it reads"
            )
        path = locate(ledger_path(settings, os.environ), os.environ).ledger
        view = LedgerView(path, Snapshot(options))
        (_serve_beside_daemon if beside_daemon else _serve)(serve, view)
        return
    from frugalwatch.ledger.current import open_database
    from frugalwatch.metrics.exposition import as_openmetrics, as_text

    with open_database(settings, os.environ) as database:
        families = Snapshot(options).read(database.conn)
    sys.stdout.write((as_openmetrics if openmetrics else as_text)(families))


def _serve(text: str, view: LedgerView) -> None:
    from frugalwatch.metrics.http_server import MetricsServer
    from frugalwatch.metrics.page import Page

    address, listener = _listen(text)
    wake, end = os.pipe()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: _close_once(end))
    click.echo(f"metrics of {view.path} on http://{address}/metrics, until Ctrl-C", err=True)
    if not address.loopback:
        click.echo("warning: whoever can reach this machine can read them", err=True)
    MetricsServer(listener, Page(view.families), wake).serve()


def _serve_beside_daemon(text: str, view: LedgerView) -> None:
    """As the daemon's process for this: until standard input ends, without any right.

    Ends with an error where the ledger can no longer be read; the daemon starts another one.
    """
    import select

    from frugalwatch.daemon.child import drop_rights
    from frugalwatch.metrics.http_server import MetricsServer
    from frugalwatch.metrics.page import Page

    with contextlib.suppress(OSError):  # a service manager may forbid it
        os.nice(_NICER)
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write("fw-metrics")
    daemon_is_gone = select.poll()
    daemon_is_gone.register(0, select.POLLIN)
    while not view.open():  # the daemon has yet to write it
        if daemon_is_gone.poll(500):
            return
    _, listener = _listen(text)
    drop_rights(None)

    def families() -> list[Family]:
        if not view.open():
            raise LedgerError(f"the ledger can no longer be read: {view.path}")
        return view.families()

    MetricsServer(listener, Page(families), 0).serve()


def _listen(text: str) -> tuple[Address, socket.socket]:
    from frugalwatch.metrics.address import listen, parse_address

    address = parse_address(text)
    try:
        listener = listen(address)
    except OSError as error:
        raise UsageError(f"metrics cannot be served on {address}", why=str(error)) from error
    return address._replace(port=listener.getsockname()[1]), listener


def _close_once(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # a second Ctrl-C
        os.close(descriptor)
