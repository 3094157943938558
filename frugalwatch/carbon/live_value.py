"""What a grid service answered, or why it did not, and how that becomes the factor of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from frugalwatch.carbon.grid import FactorKind, GridFactor


@dataclass(frozen=True, slots=True)
class LiveValue:
    """Gram CO2e per kWh in one zone for one stretch of time, as a service said it.

    `estimated` is True where the service calls it its own estimate or forecast. From
    `valid_utc_ns` on it describes the grid; until `until_utc_ns` asking again gives nothing new.
    """

    zone: str
    g_per_kwh: float
    kind: FactorKind
    source: str
    attribution: str
    estimated: bool
    valid_utc_ns: int
    until_utc_ns: int
    fetched_utc_ns: int

    def row(self) -> dict[str, object]:
        """The row of the ledger's `carbon_intensity` table."""
        return {
            "zone": self.zone,
            "valid_utc_ns": self.valid_utc_ns,
            "g_per_kwh": self.g_per_kwh,
            "kind": self.kind,
            "source": self.source,
            "estimated": int(self.estimated),
            "fetched_utc_ns": self.fetched_utc_ns,
        }


@dataclass(frozen=True, slots=True)
class LiveFailure:
    """Why there is no value. `final`: asking again cannot help (a refused token, a wrong zone).

    `retry_after_s` is how long the service asked to be left alone, None where it said nothing.
    """

    reason: str
    hint: str = ""
    final: bool = False
    retry_after_s: float | None = None


def from_record(record: dict[str, object]) -> LiveValue | LiveFailure:
    """The value or the failure that another process wrote as JSON. Raises ValueError if garbled."""
    try:
        if "reason" in record:
            wait = record["retry_after_s"]
            return LiveFailure(
                reason=_text(record["reason"]),
                hint=_text(record["hint"]),
                final=record["final"] is True,
                retry_after_s=None if wait is None else _number(wait),
            )
        kind = _text(record["kind"])
        if kind not in ("average-lifecycle", "average-direct", "marginal"):
            raise ValueError(f"no such kind: {kind}")
        return LiveValue(
            zone=_text(record["zone"]),
            g_per_kwh=_number(record["g_per_kwh"]),
            kind=cast(FactorKind, kind),
            source=_text(record["source"]),
            attribution=_text(record["attribution"]),
            estimated=record["estimated"] is True,
            valid_utc_ns=int(_number(record["valid_utc_ns"])),
            until_utc_ns=int(_number(record["until_utc_ns"])),
            fetched_utc_ns=int(_number(record["fetched_utc_ns"])),
        )
    except KeyError as error:
        raise ValueError(f"lacks {error}") from None


def live_factor(
    weighted: Sequence[tuple[LiveValue, float]],
    table: GridFactor,
    *,
    uncovered: float = 0.0,
) -> GridFactor:
    """One factor for a run from the values that held while it ran.

    Each value's weight is the energy (or the time) that fell into its stretch; `uncovered` is
    what fell outside all of them. For that part the table's yearly figure is taken where it is of
    the same kind and zone, else the mean of the live values; either way the note says so. Bounds
    are the least and the greatest figure that went in. Without any value the table's factor comes
    back.
    """
    if not weighted:
        return table
    values = [value for value, _ in weighted]
    first = values[0]
    total = math.fsum(weight for _, weight in weighted)
    if total > 0:
        mean = math.fsum(value.g_per_kwh * weight for value, weight in weighted) / total
    else:  # a run too short to have used anything inside the stretch
        mean = math.fsum(value.g_per_kwh for value in values) / len(values)
    figures = [value.g_per_kwh for value in values]
    notes = [f"live, {_count(len(values), 'value')}"]
    if any(value.estimated for value in values):
        notes.append("the service marks it as its own estimate")
    if uncovered > 0:
        share = f"{100 * uncovered / (total + uncovered):.0f} % of the run had no live value"
        if table.kind == first.kind and table.zone == first.zone:
            mean = (mean * total + table.g_per_kwh * uncovered) / (total + uncovered)
            figures.append(table.g_per_kwh)
            notes.append(f"{share}: the average of {table.year} there")
        else:
            notes.append(f"{share}: the mean of the others there")
    if first.kind == "average-direct":
        notes.append("direct emissions only, not comparable with lifecycle figures")
    return GridFactor(
        zone=first.zone,
        zone_name=table.zone_name if table.zone == first.zone else first.zone,
        year=_year(values[-1].valid_utc_ns),
        kind=first.kind,
        source=first.source,
        attribution=first.attribution,
        g_per_kwh=mean,
        low_g_per_kwh=min(figures),
        high_g_per_kwh=max(figures),
        live=True,
        note="; ".join(notes),
    )


def without_live(table: GridFactor, failure: LiveFailure) -> GridFactor:
    """The table's factor, saying that the live source had nothing and why."""
    said = f"no live value ({failure.reason}): yearly table used"
    return table._replace(note=f"{said}; {table.note}" if table.note else said)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _year(utc_ns: int) -> int:
    import time

    return time.gmtime(utc_ns / 1e9).tm_year


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"no text: {value!r}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"no number: {value!r}")
    return value
