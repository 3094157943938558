"""What was seen inside the job, as text: a line of the summary, and the sections of `show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from frugalwatch.report.format import (
    about,
    digits_for,
    duration,
    energy,
    energy_range,
    joules,
    joules_range,
    percent,
    significant,
)
from frugalwatch.report.rows import WIDTH, row, wrapped
from frugalwatch.report.tables import cut, table

# Any: the run object is JSON, described in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]

_PLURALS = {"batch": "batches"}
_MOST_PROCESSES = 12
_PROGRAM = 18
_COUNTED = 38
# An upper bound so far above the figure is written in its own unit.
_FAR_ABOVE = 100


def leading_row(run: Document) -> list[str]:
    """The summary's line: what the leading unit cost, how sure that is, and how many there were."""
    units = run.get("units")  # a run that an older version settled has none
    if not units:
        return []
    unit = units[0]
    figure, bounds = _cost(run, unit["per_unit"])
    if run["energy_j"] is None and unit["per_unit"]["cpu_s"] is not None:
        seconds = duration(unit["per_unit"]["cpu_s"])
        figure, bounds = f"{seconds} of CPU", f"{figure}, {bounds}" if bounds else ""
    number = _number(unit)
    label = f"Per {unit['unit']}"
    line = row(label, figure, "; ".join(part for part in (bounds, number) if part))
    if len(line) <= WIDTH:
        return [line]
    return [row(label, figure, bounds), *wrapped("", number)]


def leading_pairs(run: Document) -> dict[str, object]:
    """The same for the line of key=value pairs; None for what is unknown."""
    units = run.get("units")
    unit = units[0] if units else {"unit": None, "count": None, "per_unit": {}}
    costs = {key: unit["per_unit"].get(key) for key in ("energy_j", "estimated_j", "cpu_s")}
    return {
        "unit": unit["unit"],
        "count": unit["count"],
        **{
            f"unit_{key}": None if cost is None else significant(cost, 4)
            for key, cost in costs.items()
        },
    }


def unit_lines(run: Document) -> list[str]:
    """Every unit that was counted, and its samples, with what each cost."""
    if not run.get("units"):
        return []
    rows = []
    notes = []
    for unit in run["units"]:
        name = unit["unit"] + (" (its own)" if unit["source"] == "job" else "")
        rows.append(_unit_row(run, name, unit["count"], unit["per_s"], unit["per_unit"]))
        if unit["per_sample"]:
            rate = unit["samples_per_s"]
            rows.append(_unit_row(run, "  sample", unit["samples"], rate, unit["per_sample"]))
        took = unit["durations"]
        if took:
            parts = [f"{p} {duration(took[f'{p}_s'])}" for p in ("p50", "p95", "p99")]
            notes.append(f"{unit['unit']} took {', '.join(parts)} ({took['durations']} timed)")
    head = ["each", "count", "a second", "energy", "bounds", "CPU time"]
    lines = table(head, rows, frozenset({1, 2, 3, 5}))
    leading = run["units"][0]
    whose = "your share" if run["headline"] == "job_share" else "the devices' energy"
    began, ended = (duration(max(0.0, leading[key])) for key in ("began_s", "ended_s"))
    what = _named(leading["unit"], 2)
    notes.append(f"Per {leading['unit']}: {whose} from {began} to {ended}, over the {what} in it.")
    return [*lines, "", *notes]


def activity_lines(run: Document) -> list[str]:
    """Time and energy by activity; a GPU's energy is named apart."""
    found = run.get("activities")
    if not found:
        return []
    rows = []
    for part in found["parts"]:
        name = part["activity"].replace("_", " ")
        figure, bounds = _attributed(part)
        rows.append([name, duration(part["duration_s"]), percent(part["share"]), figure, bounds])
    lines = table(["activity", "time", "share", "energy", "bounds"], rows, frozenset({1, 2, 3}))
    lines += [
        "",
        "The devices' energy, attributed by time; bounds: each activity may have drawn"
        " anything from idle power up.",
    ]
    if found["unsplit_j"] is not None:
        count = len(found["unsplit_devices"])
        whose = "A GPU's" if count == 1 else f"{count} GPUs'"
        lines.append(
            f"{whose} {energy(found['unsplit_j'])} are not split: a GPU works behind the"
            " program's back. `run --profile` looks there."
        )
    if any(part["energy_j"] is None and part["estimated_j"] is None for part in found["parts"]):
        lines.append("- lasted fewer than ten ticks of a sensor, or nothing was read.")
    return lines


def inside_lines(run: Document) -> list[str]:
    """The Python processes of the job, what failed in them, and why nothing was seen."""
    found = run.get("inside")
    if not found:
        return []
    lines = _process_lines(found)
    lines += [f"hook problem in {p['where']}: {p['text']}" for p in found["problems"]]
    lines += [f"note: {text}" for text in found["notes"]]
    if found["reason"]:
        lines.append(f"Nothing was seen inside the program: {found['reason']}.")
    return lines


def _process_lines(found: Document) -> list[str]:
    """A line a process that counted something; the others as one number."""
    busy = [p for p in found["processes"] if p["counts"]]
    rows = [
        [
            "-" if p["rank"] is None else f"{p['rank']} of {p['world_size']}",
            str(p["pid"]),
            cut(p["program"], _PROGRAM),
            ", ".join(f"{n} {_named(u, n)}" for u, n in _ordered(p["counts"])),
        ]
        for p in busy[:_MOST_PROCESSES]
    ]
    lines = table(["rank", "pid", "program", "counted"], rows, frozenset({1}), _COUNTED)
    versions = sorted({p["python"] for p in found["processes"]})
    if versions:
        lines.append(f"Python {', '.join(versions)}")
    others = found["processes_count"] - len(rows)
    if others and found["hook"] == "reported":
        more = "further " if rows else ""
        what = "process" if others == 1 else "processes"
        lines.append(f"{others} {more}Python {what} with the hook, which counted nothing.")
    return lines


def _ordered(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (pair[0] != "step", pair[0]))


def _unit_row(
    run: Document, name: str, count: int, per_s: float | None, cost: Document
) -> list[str]:
    figure, bounds = _cost(run, cost)
    cpu = "-" if cost["cpu_s"] is None else duration(cost["cpu_s"])
    rate = "-" if per_s is None else significant(per_s, 3)
    return [name, str(count), rate, figure, bounds, cpu]


def _cost(run: Document, cost: Document) -> tuple[str, str]:
    """Joules with bounds, of the kind that the run leads with; a model's with its mark."""
    keys = ("energy_j", "low_j", "high_j")
    share = ("job_share_j", "job_share_low_j", "job_share_high_j")
    modelled = cost["energy_j"] is None and cost["estimated_j"] is not None
    if modelled:
        keys = ("estimated_j", "estimated_low_j", "estimated_high_j")
        share = tuple(f"estimated_{key}" for key in share)  # type: ignore[assignment]
    if run["headline"] == "job_share" and cost[share[0]] is not None:
        keys = share
    value, low, high = (cost[key] for key in keys)
    if value is None:
        return "-", ""
    digits = 2 if modelled else digits_for(value, low, high)
    text = joules(value, digits)
    bounds = joules_range(low, high, digits, beside_j=value)
    return about(text) if modelled else text, bounds


def _attributed(part: Document) -> tuple[str, str]:
    modelled = part["energy_j"] is None
    keys = ("energy_j", "low_j", "high_j")
    if modelled:
        keys = ("estimated_j", "estimated_low_j", "estimated_high_j")
    value, low, high = (part[key] for key in keys)
    if value is None:
        return "-", ""
    text = energy(value, 2)
    beside = value if high < _FAR_ABOVE * value else high
    return about(text) if modelled else text, energy_range(low, high, beside_j=beside)


def _number(unit: Document) -> str:
    text = f"{unit['count']} {_named(unit['unit'], unit['count'])}"
    if unit["ranks"] > 1:
        text += f" on {unit['ranks']} ranks"
    if unit["per_s"]:
        text += f", {significant(unit['per_s'], 3)} a second"
    return text


def _named(unit: str, count: int) -> str:
    return unit if count == 1 else _PLURALS.get(unit, f"{unit}s")


def headed(run: Document) -> Sequence[tuple[str, list[str]]]:
    """The sections of `show` with their titles, in order."""
    return (
        ("What each cost", unit_lines(run)),
        ("Activities", activity_lines(run)),
        ("Inside the program", inside_lines(run)),
    )
