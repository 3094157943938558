"""Settle a run: compute its figures once, from the ledger's rows, and make them storable."""

from __future__ import annotations

import json
import sqlite3

from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.records import DeviceTotal, RunTotals
from frugalwatch.report.attribution import Energy
from frugalwatch.report.compare import compare_with_earlier
from frugalwatch.report.run_object import Settled, build


def settle_run(
    connection: sqlite3.Connection, run_key: str, factor: GridFactor, settings: Settings
) -> tuple[dict[str, object], RunTotals]:
    """The run object and the totals that belong into the ledger. Raises LookupError if unknown."""
    settled = build(connection, run_key, factor, settings)
    settled.document["comparison"] = compare_with_earlier(connection, settled)
    return settled.document, _totals(settled)


def _totals(settled: Settled) -> RunTotals:
    document = settled.document
    co2e_g = document["co2e_g"]
    coverage = document["coverage"]
    attribution = {
        key: value
        for key, value in document.items()
        if "above_idle" in key or "job_share" in key or key in ("headline", "busy_share")
    }
    return RunTotals(
        energy_uj=_micro(settled.measured, "value"),
        energy_low_uj=_micro(settled.measured, "low"),
        energy_high_uj=_micro(settled.measured, "high"),
        estimated_uj=_micro(settled.estimated, "value"),
        estimated_low_uj=_micro(settled.estimated, "low"),
        estimated_high_uj=_micro(settled.estimated, "high"),
        co2e_ug=round(co2e_g * 1e6) if isinstance(co2e_g, float) else None,
        coverage=coverage if isinstance(coverage, float) else None,
        attribution=json.dumps(attribution),
        carbon=json.dumps(document["carbon"]),
        result=json.dumps(document),
        devices=tuple(
            DeviceTotal(
                device_id=d.row.device_id,
                origin=d.row.stream.origin,
                energy_uj=d.window.energy_uj,
                low_uj=d.window.low_uj,
                high_uj=d.window.high_uj,
                coverage=d.window.coverage,
                counted=d.counted,
                above_idle_uj=_micro(d.attribution.above_idle, "value"),
            )
            for d in settled.devices
        ),
    )


def _micro(energy: Energy | None, part: str) -> int | None:
    return None if energy is None else round(float(getattr(energy, part)) * 1e6)
