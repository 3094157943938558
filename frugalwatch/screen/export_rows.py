"""Runs and devices as rows of an export: what the screen shows, in SI units and with its origin."""

from __future__ import annotations

from collections.abc import Sequence

from frugalwatch.ledger.queries import RunRow
from frugalwatch.screen.records import RunNow
from frugalwatch.screen.view import Export


def run_rows(runs: Sequence[RunRow]) -> Export:
    """A row a run. `estimated_j`, modelled energy, is no part of `energy_j`."""
    return Export(
        "jobs",
        "frugalwatch.screen.jobs/1",
        [
            {
                "run": run.number,
                "run_key": run.run_key,
                "state": run.state,
                "exit_code": run.exit_code,
                "command": " ".join(run.command),
                "started_utc_s": run.started_utc_s,
                "duration_s": run.duration_s,
                "energy_j": run.energy_j,
                "energy_low_j": run.energy_low_j,
                "energy_high_j": run.energy_high_j,
                "estimated_j": run.estimated_j,
                "estimated_low_j": run.estimated_low_j,
                "estimated_high_j": run.estimated_high_j,
                "co2e_g": run.co2e_g,
                "coverage": run.coverage,
            }
            for run in runs
        ],
    )


def device_rows(run: RunNow) -> Export:
    """A row a device of one run."""
    return Export(
        f"run-{run.row.number}-devices",
        "frugalwatch.screen.devices/1",
        [
            {
                "device": device.key,
                "domain": device.domain,
                "name": device.name,
                "origin": device.origin,
                "source": device.source,
                "counted": device.counted,
                "power_w": device.power_w,
                "power_limit_w": device.power_limit_w,
                "energy_j": device.energy.value if device.energy else None,
                "energy_low_j": device.energy.low if device.energy else None,
                "energy_high_j": device.energy.high if device.energy else None,
                "coverage": device.coverage,
                "silent": device.silent,
            }
            for device in run.devices
        ],
        about={
            "run": run.row.number,
            "run_key": run.row.run_key,
            "state": run.row.state,
            "host": run.host,
            "command": " ".join(run.row.command),
            "duration_s": run.row.duration_s,
            "co2e_g": run.carbon["co2e_g"],
        },
    )
