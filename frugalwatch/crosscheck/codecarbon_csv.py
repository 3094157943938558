"""codecarbon's `emissions.csv`: reading its rows, and writing runs in its columns.

Both directions are the path of a migration. Whatever comes in is `estimated`: the file does not say
whether a counter, a TDP or a constant answered, nor what error the figure has.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from frugalwatch.errors import UsageError

KWH_J = 3.6e6
# The columns of codecarbon 3.3 in its order. Earlier releases lack some; none needs them.
COLUMNS = tuple(
    """
    timestamp project_name run_id experiment_id duration emissions emissions_rate cpu_power
    gpu_power ram_power cpu_energy gpu_energy ram_energy energy_consumed water_consumed
    country_name country_iso_code region cloud_provider cloud_region os python_version
    codecarbon_version cpu_count cpu_model gpu_count gpu_model longitude latitude ram_total_size
    tracking_mode cpu_utilization_percent gpu_utilization_percent ram_utilization_percent
    ram_used_gb on_cloud pue wue
    """.split()
)
_NEEDED = frozenset({"timestamp", "duration", "energy_consumed", "cpu_energy", "ram_energy"})


@dataclass(frozen=True, slots=True)
class EmissionsRow:
    """One run as codecarbon wrote it. Energies in joules without its PUE; None is not told.

    `ended_utc_s` is its time stamp, which has no zone, taken as this machine's local time.
    """

    line: int
    run_id: str
    project: str
    ended_utc_s: float
    duration_s: float
    cpu_j: float
    gpu_j: float
    ram_j: float
    pue: float
    g_per_kwh: float | None
    country: str
    country_iso3: str
    version: str
    os: str
    cpu_model: str
    cpu_count: int | None
    gpu_model: str
    tracking_mode: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line of the file that was not taken, and why."""

    line: int
    why: str


def read_emissions(path: str) -> tuple[list[EmissionsRow], list[Skipped]]:
    """The runs in a file, and the lines that are none. Raises UsageError if it is no such file.

    `flush()` writes one run several times, each time with its totals so far: the longest counts.
    """
    rows: dict[str, EmissionsRow] = {}
    skipped: list[Skipped] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_header(path, reader.fieldnames)
            for values in reader:
                try:
                    row = _row(reader.line_num, values)
                except ValueError as error:
                    skipped.append(Skipped(reader.line_num, str(error)))
                    continue
                earlier = rows.get(row.run_id)
                if earlier is not None:
                    drop, row = sorted((earlier, row), key=lambda each: each.duration_s)
                    skipped.append(Skipped(drop.line, f"a part of the run on line {row.line}"))
                rows[row.run_id] = row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read {path}: {reason}") from error
    return list(rows.values()), sorted(skipped, key=lambda each: each.line)


def write_emissions(documents: Iterable[Mapping[str, Any]], file: TextIO) -> int:
    """Write run objects (frugalwatch.run/1) as an `emissions.csv`; returns how many rows."""
    writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    count = 0
    for document in documents:
        writer.writerow(emissions_columns(document))
        count += 1
    return count


def emissions_columns(document: Mapping[str, Any]) -> dict[str, object]:
    """One run object in codecarbon's columns and units: kWh, kg, kg/s, watts.

    What a run does not know stays empty. codecarbon multiplies its PUE into energies, so this does
    too. Its columns have no place for bounds and origin: they are lost, which is why `frugalwatch
    export` has forms of its own.
    """
    # Any: a JSON document; its keys are checked by the run object's own tests.
    carbon = document.get("carbon") or {}
    pue = carbon.get("pue") or 1.0
    duration_s = document["duration_s"]
    energies = {domain: _domain_j(document, domain) for domain in ("cpu", "gpu", "ram")}
    total_j = sum(joules for joules in energies.values() if joules is not None)
    grams = document.get("co2e_g")
    columns: dict[str, object] = {
        "timestamp": _local_end(document["started_utc"], duration_s),
        "project_name": " ".join(document["command"]),
        "run_id": document["run_id"],
        "experiment_id": document.get("group") or "",
        "duration": duration_s,
        "energy_consumed": total_j * pue / KWH_J,
        "country_name": carbon.get("zone_name") or "",
        "country_iso_code": carbon.get("zone") or "",
        "tracking_mode": "machine",
        "pue": pue,
    }
    if grams is not None:
        columns["emissions"] = grams / 1000
        columns["emissions_rate"] = grams / 1000 / duration_s if duration_s else 0.0
    for domain, joules in energies.items():
        if joules is not None:
            columns[f"{domain}_energy"] = joules * pue / KWH_J
            columns[f"{domain}_power"] = joules / duration_s if duration_s else 0.0
    return columns


def _domain_j(document: Mapping[str, Any], domain: str) -> float | None:
    """Joules of a domain's counted devices, None if it has none."""
    parts = [
        device["energy_j"]
        for device in document["devices"]
        if device["domain"] == domain and device["counted"] and device["energy_j"] is not None
    ]
    return sum(parts) if parts else None


def _check_header(path: str, names: Sequence[str] | None) -> None:
    missing = sorted(_NEEDED - set(names or ()))
    if missing:
        hint = "codecarbon writes it as emissions.csv"
        if names and "task_name" in names:
            hint = "this is codecarbon's file of tasks; import emissions.csv itself"
        raise UsageError(
            f"{path} is no emissions file of codecarbon",
            why=f"it lacks the columns {', '.join(missing)}",
            hint=hint,
        )


def _row(line: int, values: Mapping[str, str | None]) -> EmissionsRow:
    """One row. Raises ValueError with the reason why it cannot be used."""
    duration_s = _number(values, "duration")
    if duration_s is None or duration_s <= 0:
        raise ValueError("it has no duration")
    pue = _number(values, "pue") or 1.0
    energies = {}
    for domain in ("cpu", "gpu", "ram"):
        kwh = _number(values, f"{domain}_energy") or 0.0
        if kwh < 0:
            raise ValueError(f"negative {domain}_energy")
        energies[domain] = kwh * KWH_J / pue
    total_kwh = _number(values, "energy_consumed")
    if not total_kwh or total_kwh < 0 or not any(energies.values()):
        raise ValueError("it has no energy")
    emissions_kg = _number(values, "emissions")
    stamp = _text(values, "timestamp")
    try:
        ended_utc_s = datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        raise ValueError(f"its timestamp {stamp!r} is no date") from None
    cpu_count = _number(values, "cpu_count")
    return EmissionsRow(
        line=line,
        run_id=_text(values, "run_id") or f"{stamp}-{duration_s:.6f}",
        project=_text(values, "project_name") or "codecarbon",
        ended_utc_s=ended_utc_s,
        duration_s=duration_s,
        cpu_j=energies["cpu"],
        gpu_j=energies["gpu"],
        ram_j=energies["ram"],
        pue=pue,
        g_per_kwh=None if emissions_kg is None else emissions_kg * 1000 / total_kwh,
        country=_text(values, "country_name"),
        country_iso3=_text(values, "country_iso_code"),
        version=_text(values, "codecarbon_version"),
        os=_text(values, "os"),
        cpu_model=_text(values, "cpu_model"),
        cpu_count=None if cpu_count is None else int(cpu_count),
        gpu_model=_text(values, "gpu_model"),
        tracking_mode=_text(values, "tracking_mode") or "machine",
    )


def _text(values: Mapping[str, str | None], name: str) -> str:
    return (values.get(name) or "").strip()


def _number(values: Mapping[str, str | None], name: str) -> float | None:
    """A number, None if the cell is empty. Raises ValueError if it is something else."""
    text = _text(values, name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} is no number: {text!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {text}")
    return number


def _local_end(started_utc: str, duration_s: float) -> str:
    """When the run ended, as codecarbon writes it: local time without a zone."""
    started = datetime.fromisoformat(started_utc.replace("Z", "+00:00"))
    ended = datetime.fromtimestamp(started.timestamp() + duration_s)
    return ended.isoformat(timespec="seconds")
