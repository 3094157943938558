"""A ledger that is written all the time, as a daemon would, and served as its metrics are."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from frugalwatch.ledger.journal import Journal
from frugalwatch.metrics.address import Address, listen
from frugalwatch.metrics.http_server import MetricsServer
from frugalwatch.metrics.page import LedgerView, Page
from frugalwatch.metrics.snapshot import Options, Snapshot
from tests.frugalwatch.ledger.kit import Notices, device, reading, run_start
from tests.frugalwatch.metrics.kit import CARBON

_PAUSE_S = 0.2
MEASURED_W, MODELLED_W, BOARD_W = 40.0, 30.0, 90.0
# A package with a counter, a GPU without, and a figure for all that encloses the package.
DEVICES = (
    (device(), MEASURED_W),
    (device("model:gpu", domain="gpu", origin="estimated", boundary="board"), MODELLED_W),
    (
        device("rapl:psys", domain="system", boundary="board", encloses=("cpu", "ram")),
        BOARD_W,
    ),
)


class Exporter(NamedTuple):
    """Where the metrics are, and when the recording began in Unix time."""

    address: str
    began_s: float


@contextmanager
def exporting(folder: Path, *, age_s: float = 600.0, hold_s: float = 60.0) -> Iterator[Exporter]:
    """A recording that began `age_s` ago and goes on, with series of runs."""
    path = folder / "ledger.db"
    now, utc = time.monotonic_ns(), time.time_ns()
    began = now - round(age_s * 1e9)
    start = run_start(
        "run-of-the-test",
        started_mono_ns=began,
        started_utc_ns=utc - (now - began),
        carbon=CARBON,
    )
    stop = threading.Event()
    ready = threading.Event()
    writer = threading.Thread(target=_write, args=(path, start, began, stop, ready))
    writer.start()
    assert ready.wait(60)
    listener = listen(Address("127.0.0.1", 0))
    port = listener.getsockname()[1]
    options = Options(runs=True, hold_ns=round(hold_s * 1e9))
    view = LedgerView(str(path), Snapshot(options))
    wake, end = os.pipe()

    def serve() -> None:  # in the thread that opens the ledger
        MetricsServer(listener, Page(view.families), wake).serve()
        view.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield Exporter(f"127.0.0.1:{port}", (utc - (now - began)) / 1e9)
    finally:
        os.close(end)
        server.join(30)
        stop.set()
        writer.join(30)
        os.close(wake)


def _write(path: Path, start, began: int, stop: threading.Event, ready: threading.Event) -> None:
    journal = Journal(str(path), notify=Notices(), fallback_dirs=())
    journal.open_run(start)
    handles = [journal.add_stream(each, began) for each, _ in DEVICES]
    moment = began
    while True:
        for handle, (each, watts) in zip(handles, DEVICES, strict=True):
            energy = round((moment - began) / 1e9 * watts * 1e6)
            band = {"low_uj": energy // 2, "high_uj": energy * 2} if "model" in each.key else {}
            found = reading(moment / 1e9, energy)._replace(device=each.key, **band)
            journal.sample(handle, found)
        if moment == began:
            journal.event("gap", "lost", t_mono_ns=began, detail="of the test")
        journal.heartbeat(moment)
        journal.commit()
        if moment != began:
            ready.set()
        if stop.wait(_PAUSE_S if ready.is_set() else 0):
            break
        moment = time.monotonic_ns()
    journal.close()
