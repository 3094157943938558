"""A job's parts as a Prometheus-compatible server has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from frugalwatch.fleet.figures import DeviceFigure, Part
from frugalwatch.metrics import names
from frugalwatch.remote.query import Queries, quoted

_PartKey = tuple[str, str, str]  # node, boot, ledger
_DeviceKey = tuple[str, ...]  # the values of DEVICE_LABELS


def parts(queries: Queries, run_id: str, *, since: str = "90d") -> list[Part]:
    """What nodes told of a job in the time before now (as PromQL writes it: 90d, 12h).

    Totals are reconciled by their highest value: a counter's newest is its highest, whatever was
    sent twice, late or as of another time. Raises QueryFailedError.
    """
    energy = _by_device(queries, names.RUN_ENERGY, run_id, since)
    low = _by_device(queries, names.RUN_ENERGY_LOW, run_id, since)
    high = _by_device(queries, names.RUN_ENERGY_HIGH, run_id, since)
    began = _by_part(queries, "min_over_time", names.RUN_STARTED, run_id, since)
    ended = _by_part(queries, "last_over_time", names.RUN_ENDED, run_id, since)
    coverage = _by_part(queries, "last_over_time", names.RUN_COVERAGE, run_id, since)
    grams = _by_part(queries, "max_over_time", names.RUN_CO2E, run_id, since)
    recordings = _by_part(queries, "last_over_time", names.RUN_RECORDINGS, run_id, since)
    found = []
    for key in sorted(energy.keys() | began.keys()):
        devices = [
            DeviceFigure(
                *_four(device),
                value,
                low.get(key, {}).get(device, value),
                high.get(key, {}).get(device, value),
            )
            for device, value in sorted(energy.get(key, {}).items())
        ]
        end_s = ended.get(key, 0.0)
        known_g = grams.get(key)
        found.append(
            Part(
                node=key[0],
                boot_key=key[1],
                ledger_key=key[2],
                recordings=round(recordings.get(key, 1)),
                ended=end_s > 0,
                began_utc_ms=round(began.get(key, 0.0) * 1e3),
                ended_utc_ms=round(end_s * 1e3) if end_s > 0 else None,
                coverage=coverage.get(key),
                co2e_ug=None if known_g is None else round(known_g * 1e6),
                devices=tuple(devices),
            )
        )
    return found


def run_ids(queries: Queries, *, since: str = "7d", most: int = 1000) -> list[str]:
    """Names of the jobs that nodes told of, in order. Raises QueryFailedError."""
    expression = f"count by (run_id) (last_over_time({names.RUN_STARTED}[{since}]))"
    found = queries.ask(f"topk({most}, {expression})")
    return sorted(one.labels["run_id"] for one in found if "run_id" in one.labels)


def _ask(
    queries: Queries, function: str, name: str, run_id: str, since: str
) -> Iterable[tuple[Mapping[str, str], float]]:
    selector = f"{name}{{run_id={quoted(run_id)}}}[{since}]"
    for one in queries.ask(f"{function}({selector})"):
        yield one.labels, one.points[-1][1]


def _by_part(
    queries: Queries, function: str, name: str, run_id: str, since: str
) -> dict[_PartKey, float]:
    return {_key(labels): value for labels, value in _ask(queries, function, name, run_id, since)}


def _by_device(
    queries: Queries, name: str, run_id: str, since: str
) -> dict[_PartKey, dict[_DeviceKey, int]]:
    """Micro-joules. A float64 of joules holds them exactly up to 4.5 GJ of one device."""
    found: dict[_PartKey, dict[_DeviceKey, int]] = {}
    for labels, value in _ask(queries, "max_over_time", name, run_id, since):
        device = tuple(labels.get(label, "") for label in names.DEVICE_LABELS)
        found.setdefault(_key(labels), {})[device] = round(value * 1e6)
    return found


def _key(labels: Mapping[str, str]) -> _PartKey:
    return labels.get("instance", ""), labels.get("boot", ""), labels.get("ledger", "")


def _four(device: _DeviceKey) -> tuple[str, str, str, str]:
    key, domain, boundary, origin = device
    return key, domain, boundary, origin
