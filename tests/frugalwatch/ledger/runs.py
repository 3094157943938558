"""A ledger with one run of each kind, for the tests of the commands that read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.records import DeviceTotal, RunTotals
from tests.frugalwatch.ledger.kit import SECOND, Notices, device, reading, run_end, run_start

_LONG = ("--a-very-long-option=with/a/very/long/value", "--and-another-one=42")
_MEASURED = (1_500_000_000, 1_490_000_000, 1_510_000_000)
_MODELLED = (1_500_000_000, 750_000_000, 3_000_000_000)
_NONE = (None, None, None)


def fill(path: Path) -> None:
    """Runs 1 to 6, a minute apart: measured, mixed, modelled, running, killed, cut off."""
    _run(path, 1, totals=(*_MEASURED, *_NONE))
    _run(path, 2, totals=(*_MEASURED, *_MODELLED))
    _run(path, 3, totals=(*_NONE, *_MODELLED), arguments=_LONG, exit_code=1)
    _run(path, 4, totals=None, state=None)
    _run(path, 5, totals=None, state="killed", exit_code=137, exit_signal=9)
    _run(path, 6, totals=None, state="interrupted", exit_code=None)


def _run(
    path: Path,
    number: int,
    *,
    totals: Any,
    arguments: tuple[str, ...] = (),
    state: str | None = "done",
    **end: Any,
) -> None:
    journal = Journal(str(path), notify=Notices(), fallback_dirs=())
    command = ("sleep", "1000") if state is None else ("python", "train.py", *arguments)
    journal.open_run(
        run_start(
            f"run-{number}",
            command=command,
            started_utc_ns=(1_735_689_600 + number * 60) * SECOND,
        )
    )
    handle = journal.add_stream(device(), 100 * SECOND)
    for second in (100, 105, 110):
        journal.sample(handle, reading(second, (second - 100) * 150_000_000, power_w=150.0))
    journal.commit()
    if state is not None:
        journal.finish(run_end(state=state, job_cpu_us=5_000_000, **end))
    if totals is not None:
        document = {
            "schema": "frugalwatch.run/1",
            "number": 99,
            "run_id": f"run-{number}",
            "command": command,
            "started_utc": "2025-01-01T00:00:00Z",
            "duration_s": 10.0,
            "co2e_g": 0.2,
            "devices": [
                {"device": "rapl:package-0", "domain": "cpu", "counted": True, "energy_j": 1500.0}
            ],
        }
        total = DeviceTotal(1, "measured", *_MEASURED, 1.0, True)
        journal.store_totals(
            RunTotals(*totals, 200_000, 1.0, result=json.dumps(document), devices=(total,))
        )
    journal.close()
