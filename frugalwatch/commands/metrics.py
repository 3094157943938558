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
_CENTURY_MINUTES = 52_594_920.0


@click.command()
@click.option("--serve", metavar="ADDRESS", help="Serve /metrics there: 127.0.0.1:9477.")
@click.option("--openmetrics", is_flag=True, help="Print OpenMetrics 1.0, not the older text.")
@click.option("--runs", is_flag=True, help="With series of each run, which grow in number.")
@click.option(
    "--within",
    type=click.FloatRange(0, _CENTURY_MINUTES, min_open=True),
    default=60.0,
    show_default=True,
    metavar="MINUTES",
    help="With --runs: runs that go on or ended so long ago.",
)
@click.option("--otlp", metavar="URL", help="Send them by OTLP: http://127.0.0.1:4318.")
@click.option(
    "--every",
    type=click.FloatRange(1, 3600),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="With --otlp: between two sendings.",
)
@click.option("--once", is_flag=True, help="With --otlp: send once and say whether it was taken.")
@click.option("--dashboard", is_flag=True, help="Print a dashboard for Grafana, as JSON.")
@click.option("--ledger", metavar="FILE", help="Look into this database.")
@click.option("--beside-daemon", is_flag=True, hidden=True)
def command(
    *,
    serve: str | None,
    openmetrics: bool,
    runs: bool,
    within: float,
    otlp: str | None,
    every: float,
    once: bool,
    dashboard: bool,
    ledger: str | None,
    beside_daemon: bool,
) -> int:
    """Print energy, carbon and gaps as metrics, or serve them to Prometheus.

    \b
    frugalwatch metrics                          once, to standard output
    frugalwatch metrics --serve 127.0.0.1:9477   until Ctrl-C
    frugalwatch metrics --runs                   with the runs of the last hour
    frugalwatch metrics --otlp http://127.0.0.1:4318   to OpenTelemetry
    frugalwatch metrics --dashboard > frugalwatch.json      to import into Grafana

    Joules are cumulative over everything in the ledger, in whole joules; each says how it is known
    (origin) and between which bounds. A machine with a daemon serves them itself:
    `frugalwatch daemon run --metrics 127.0.0.1:9477`.
    """
    if dashboard:
        folder = os.path.join(os.path.dirname(metrics_package.__file__), "dashboards")
        with open(os.path.join(folder, "frugalwatch.json"), encoding="utf-8") as file:
            sys.stdout.write(file.read())
        return 0
    from frugalwatch.metrics.page import LedgerView
    from frugalwatch.metrics.snapshot import HOLD_NS, Options, Snapshot

    settings = load({"ledger": ledger}, cwd=os.getcwd(), environ=os.environ).settings
    # Who looks once sees what there is; who looks again and again sees new series begin at 0.
    snapshot = Snapshot(Options(runs, within * 60, HOLD_NS if serve else 0))
    if (serve is not None) + (otlp is not None) + openmetrics > 1:
        raise UsageError(
            "--serve, --otlp and --openmetrics exclude each other", hint="leave out two"
        )
    if serve is not None or otlp is not None:
        view = LedgerView(locate(ledger_path(settings, os.environ), os.environ).ledger, snapshot)
        if otlp is not None:
            return _send(otlp, view, None if once else every)
        assert serve is not None
        (_serve_beside_daemon if beside_daemon else _serve)(serve, view)
        return 0
    from frugalwatch.ledger.current import open_database
    from frugalwatch.metrics.exposition import as_openmetrics, as_text

    with open_database(settings, os.environ) as database:
        families = snapshot.read(database.conn)
    sys.stdout.write((as_openmetrics if openmetrics else as_text)(families))
    return 0


def _send(url: str, view: LedgerView, every_s: float | None) -> int:
    """By OTLP until a signal, or once; says when a receiver begins to refuse, and to take again."""
    import select

    try:
        from frugalwatch.metrics.otlp import OtlpSender
    except ImportError as error:
        raise UsageError(
            "sending by OTLP needs the OpenTelemetry SDK",
            why=str(error),
            hint="pip install 'frugalwatch[export]'",
        ) from error
    sender = OtlpSender(url, view.families)
    wake = select.poll()
    wake.register(_end_of_signals(), select.POLLIN)
    if every_s is not None:
        click.echo(f"metrics of {view.path} to {sender.url}, until Ctrl-C", err=True)
    before: str | None = None
    while True:
        refused = sender.send()
        if refused is not None and before is None:
            click.echo(f"warning: {sender.url} took nothing: {refused}", err=True)
        elif refused is None and before is not None:
            click.echo(f"{sender.url} takes them again; no energy was lost", err=True)
        before = refused
        if every_s is None or wake.poll(every_s * 1000):
            sender.close()
            return 0 if refused is None or every_s is not None else 1


def _serve(text: str, view: LedgerView) -> None:
    from frugalwatch.metrics.http_server import MetricsServer
    from frugalwatch.metrics.page import Page

    address, listener = _listen(text)
    wake = _end_of_signals()
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


def _end_of_signals() -> int:
    """A descriptor that ends with Ctrl-C or SIGTERM. A second one ends us at once."""
    wake, end = os.pipe()

    def close(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.close(end)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, close)
    return wake
