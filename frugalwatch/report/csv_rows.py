"""Rows of `export --phases` and `export --units`: parts of run objects, flat, for spreadsheets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

# Any: the run object is JSON, described and checked in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]

_ENERGY = ("energy_j", "low_j", "high_j", "estimated_j", "estimated_low_j", "estimated_high_j")
_CPU = ("cpu_s", "cpu_low_s", "cpu_high_s")
_TIMES = ("p50_s", "p95_s", "p99_s")

PHASE_COLUMNS = (
    *("run", "run_key", "kind", "name", "number", "depth", "count", "began_s", "duration_s"),
    *("origin", *_ENERGY),
)
UNIT_COLUMNS = (
    *("run", "run_key", "unit", "source", "count", "samples", "processes", "ranks"),
    *("began_s", "ended_s", "per_s", "samples_per_s", "origin"),
    *(f"{key[:-2]}_per_unit_{key[-1]}" for key in (*_ENERGY, *_CPU)),
    *(f"{key[:-2]}_per_sample_{key[-1]}" for key in (*_ENERGY, *_CPU)),
    *_TIMES,
)


def phase_rows(document: Document) -> Iterator[dict[str, object]]:
    """A row a phase that the job named, and a row an activity that the hook saw."""
    run = {"run": document["number"], "run_key": document["run_id"]}
    for phase in document.get("phases") or ():
        yield {**run, "kind": "phase", **_chosen(phase, PHASE_COLUMNS)}
    for part in (document.get("activities") or {}).get("parts", ()):
        row = _chosen(part, PHASE_COLUMNS)
        yield {**run, "kind": "activity", "name": part["activity"], **row}


def unit_rows(document: Document) -> Iterator[dict[str, object]]:
    """A row a unit: what each step, request or sample cost. Runs of older versions have none."""
    run = {"run": document["number"], "run_key": document["run_id"]}
    for unit in document.get("units") or ():
        row = {**run, **_chosen(unit, UNIT_COLUMNS), **_chosen(unit["durations"] or {}, _TIMES)}
        for what in ("unit", "sample"):
            costs = unit[f"per_{what}"] or {}
            row |= {f"{k[:-2]}_per_{what}_{k[-1]}": costs.get(k) for k in (*_ENERGY, *_CPU)}
        yield row


def _chosen(found: Document, names: tuple[str, ...]) -> dict[str, object]:
    return {name: found[name] for name in names if name in found}
