"""The processes of a job as text: which are worth telling, what they are called, their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from frugalwatch.report.attribution import Energy
from frugalwatch.report.format import about, digits_for, duration, energy, energy_range
from frugalwatch.report.tables import cut, table

# Any: the run object is JSON, described in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]

_WORTH = 0.01  # of the CPU time of all, or of the SM time of all
_MOST_ROWS = 12
_NAME = 28

SPLIT = "The job's share, split by CPU time, on a GPU by SM time."
CAME_AND_WENT = (
    "Came and went: processes between two looks, and the last moments of those that ended."
)


def told_processes(run: Document) -> list[Document]:
    """The rows worth telling: none unless two or more used something. In the run object's order."""
    found = run.get("processes") or []  # a run that an older version settled has none
    all_cpu_s = sum(part["cpu_s"] for part in found)
    all_gpu_s = sum(gpu_seconds(part) for part in found)
    told = [
        part
        for part in found
        if part["cpu_s"] > _WORTH * all_cpu_s or gpu_seconds(part) > _WORTH * all_gpu_s
    ]
    return told if sum(part["kind"] != "ended" for part in told) > 1 else []


def left_out(run: Document, told: Sequence[Document]) -> str:
    """One line for those that used too little or are too many; empty if there are none."""
    rest = [part for part in run["processes"] if part not in told and part["kind"] != "ended"]
    count = sum(part["count"] for part in rest)
    if not count:
        return ""
    what = "process" if count == 1 else "processes"
    cpu_s = sum(part["cpu_s"] for part in rest)
    return f"{count} more {what} used {duration(cpu_s)} of CPU time."


def process_name(part: Document) -> str:
    """`train.py, rank 0 of 2`: what the hook says it is, else what the kernel calls it."""
    if part["kind"] == "ended":
        return "came and went"
    if part["kind"] == "others":
        return "1 other" if part["count"] == 1 else f"{part['count']} others"
    name = str(part["program"] or part["name"])
    if part["rank"] is not None and (part["world_size"] or 0) > 1:
        return f"{name}, rank {part['rank']} of {part['world_size']}"
    return name


def gpu_seconds(part: Document) -> float:
    """SM seconds of a row on all GPUs."""
    return float(sum(gpu["busy_s"] for gpu in part["gpus"]))


def process_energy(part: Document) -> tuple[Energy | None, bool]:
    """What is known of a row's energy, and whether it is modelled: measured devices come first."""
    keys = ("energy_j", "low_j", "high_j")
    modelled = part["energy_j"] is None
    if modelled:
        keys = ("estimated_j", "estimated_low_j", "estimated_high_j")
    if part[keys[0]] is None:
        return None, modelled
    value, low, high = (part[key] for key in keys)
    return Energy(value, low, high), modelled


def process_table(run: Document) -> list[str]:
    """A table for `show`; empty for a job with one process worth telling."""
    told = told_processes(run)[:_MOST_ROWS]
    if not told:
        return []
    with_gpu = any(part["gpus"] for part in told)
    rows = []
    for part in told:
        pid = "" if part["pid"] is None else str(part["pid"])
        gpu = [duration(gpu_seconds(part)) if part["gpus"] else "-"] if with_gpu else []
        cells = [cut(process_name(part), _NAME), pid, duration(part["cpu_s"]), *gpu]
        rows.append([*cells, *_figure(part)])
    head = ["process", "pid", "CPU time", *(["GPU time"] if with_gpu else []), "energy", "bounds"]
    right = frozenset(range(1, len(head) - 1))
    notes = [left_out(run, told)]
    if any(process_energy(part)[0] for part in told):
        notes.append(SPLIT)
    if told[-1]["kind"] == "ended":
        notes.append(CAME_AND_WENT)
    return [*table(head, rows, right), "", *(note for note in notes if note)]


def _figure(part: Document) -> list[str]:
    found, modelled = process_energy(part)
    if found is None:
        return ["-", ""]
    digits = min(2, digits_for(found.value, found.low, found.high))
    text = energy(found.value, digits)
    bounds = energy_range(found.low, found.high, digits, beside_j=found.value)
    return [about(text) if modelled else text, bounds]
