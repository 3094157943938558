"""Storing what a run added up to. How it is added up is decided in `frugalwatch.report`."""

from __future__ import annotations

import sqlite3

from frugalwatch.ledger import statements as sql
from frugalwatch.ledger.connection import writing
from frugalwatch.ledger.records import RunTotals


def store_totals(conn: sqlite3.Connection, run_id: int, totals: RunTotals) -> None:
    """Replace a run's totals and its rows of run_device, in one transaction.

    `attribution`, `carbon` and `result` are replaced too. Raises sqlite3.Error.
    """
    with writing(conn):
        conn.execute(
            sql.RUN_TOTALS,
            {
                "run_id": run_id,
                "energy_uj": totals.energy_uj,
                "energy_low_uj": totals.energy_low_uj,
                "energy_high_uj": totals.energy_high_uj,
                "estimated_uj": totals.estimated_uj,
                "estimated_low_uj": totals.estimated_low_uj,
                "estimated_high_uj": totals.estimated_high_uj,
                "co2e_ug": totals.co2e_ug,
                "coverage": totals.coverage,
                "attribution": totals.attribution,
                "carbon": totals.carbon,
                "result": totals.result,
            },
        )
        conn.execute("DELETE FROM run_device WHERE run_id = ?", (run_id,))
        conn.executemany(
            sql.RUN_DEVICE,
            [
                (
                    run_id,
                    device.device_id,
                    device.origin,
                    device.energy_uj,
                    device.low_uj,
                    device.high_uj,
                    device.coverage,
                    int(device.counted),
                    device.above_idle_uj,
                )
                for device in totals.devices
            ],
        )
