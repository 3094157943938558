"""The whole of one run as text, for `frugalwatch show`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from frugalwatch.report.format import (
    about,
    digits_for,
    duration,
    energy,
    energy_range,
    percent,
    significant,
)
from frugalwatch.report.inside_text import headed
from frugalwatch.report.processes_text import process_table
from frugalwatch.report.rows import WIDTH
from frugalwatch.report.style import Style
from frugalwatch.report.summary import block_summary
from frugalwatch.report.tables import table

# Any: the run object is JSON, described in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]

_MOST_ROWS = 30
_KEY = 24
_ESTIMATED = ("estimated_j", "estimated_low_j", "estimated_high_j")


def full_text(run: Document, style: Style) -> str:
    """The summary, then devices, attribution, phases, metrics, events and provenance."""
    sections = [
        block_summary(run, style, next_step=False),
        _section("Devices", _devices(run), style),
        _section("Whose energy is it", _attribution(run), style),
        _section("By process", process_table(run), style),
        _section("Phases", _phases(run), style),
        *(_section(title, lines, style) for title, lines in headed(run)),
        _section("Metrics", _metrics(run), style),
        _section("Events", _events(run), style),
        _section("Carbon", _carbon(run), style),
        _section("Run", _provenance(run), style),
    ]
    return "\n\n".join(s for s in sections if s)


def _section(title: str, lines: Sequence[str], style: Style) -> str:
    if not lines:
        return ""
    shown = [*lines[:_MOST_ROWS]]
    if len(lines) > _MOST_ROWS:
        shown.append(f"... and {len(lines) - _MOST_ROWS} more (--json has all)")
    text = [part for line in shown for part in _wrapped(line)]
    return "\n".join([style.bold(title), *text])


def _wrapped(line: str) -> list[str]:
    """Prose is broken at 78 columns; a table's row, which holds wide gaps, stays whole."""
    if len(line) <= WIDTH - 2 or "   " in line.strip():
        return [f"  {line}".rstrip()]
    return textwrap.wrap(
        line,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _devices(run: Document) -> list[str]:
    rows = []
    notes = []
    for device in run["devices"]:
        figure = bounds = "-"
        if device["energy_j"] is not None:
            figure, bounds = _figure(device, "energy_j", "low_j", "high_j")
        key = _short(device["device"])
        rows.append([key, figure, bounds, device["origin"], "yes" if device["counted"] else "no"])
        notes.append(f"{key}: {'; '.join(_remarks(device))}")
    head = ["device", "energy", "bounds", "origin", "in sum"]
    return [*table(head, rows, frozenset({1})), *([""] if notes else []), *notes]


def _figure(found: Mapping[str, Any], value: str, low: str, high: str) -> tuple[str, str]:
    """An energy with the digits that its bounds support, and the bounds in the same unit."""
    joules, low_j, high_j = found[value], found[low], found[high]
    estimated = found.get("origin") == "estimated" or value.startswith("estimated")
    digits = 2 if estimated else digits_for(joules, low_j, high_j)
    bounds = energy_range(low_j, high_j, digits, beside_j=joules)
    least, _, most = bounds.rpartition(" ")[0].partition(" to ")
    text = energy(joules, digits)
    return about(text) if estimated else text, "as read" if least == most else bounds


def _short(key: str) -> str:
    """A key in at most 24 columns: of a GPU's UUID both ends, which tell cards apart."""
    return key if len(key) <= _KEY else f"{key[: _KEY - 11]}..{key[-9:]}"


def _remarks(device: Mapping[str, Any]) -> list[str]:
    """What is known of a device beside its figure."""
    words = str(device["name"]).lower().split()
    remarks = [] if all(w in device["device"].lower() for w in words) else [str(device["name"])]
    if _short(device["device"]) != device["device"]:
        remarks.append(str(device["device"]))
    remarks.append(f"{device['boundary']}, {device['source']}")
    if not device["counted"]:
        remarks.append(_why_not_counted(device))
    if device["coverage"] < 1:
        remarks.append(f"{percent(device['coverage'])} covered")
    return [*remarks, *([device["note"]] if device["note"] else [])]


def _why_not_counted(device: Mapping[str, Any]) -> str:
    if device["energy_j"] is None:
        return "gave no figure"
    if device["part_of"]:
        return f"part of {device['part_of']}"
    return "not added up: its energy is in other figures"


def _attribution(run: Document) -> list[str]:
    lines = []
    for prefix in ("", "estimated_"):
        total = "estimated_j" if prefix else "energy_j"
        if run[total] is None:
            continue
        low, high = (
            ("estimated_low_j", "estimated_high_j") if prefix else ("energy_low_j", "energy_high_j")
        )
        figure, _ = _figure(run, total, low, high)
        lines.append(f"device       {figure:<12} all of it, in the job's window")
        if run[f"{prefix}above_idle_j"] is None:
            lines.append(
                "above idle   unknown      `frugalwatch calibrate --idle` measures idle power"
            )
        for name, label in (("above_idle", "above idle "), ("job_share", "job's share")):
            keys = [f"{prefix}{name}_j", f"{prefix}{name}_low_j", f"{prefix}{name}_high_j"]
            if run[keys[0]] is not None:
                figure, bounds = _figure(run, *keys)
                lines.append(f"{label}  {figure:<12} {bounds}")
    if lines and run["busy_share"] is not None:
        lines.append(
            f"The job had {percent(run['busy_share'])} of the machine's busy CPU time"
            f" ({duration(run['machine_busy_cpu_s'])})."
        )
    return lines


def _phases(run: Document) -> list[str]:
    rows = []
    for phase in run["phases"]:
        name = "  " * phase["depth"] + phase["name"]
        if phase["number"] is not None:
            name += f" {phase['number']}"
        if phase["count"] > 1:
            name += f" (x{phase['count']})"
        rows.append([name, duration(phase["duration_s"]), *_phase_energy(phase)])
    lines = table(["phase", "time", "energy", "bounds"], rows, frozenset({1, 2}))
    if lines:
        lines.append("Energy by phase is the device's, attributed by time; - is too short to tell.")
    return lines


def _phase_energy(phase: Mapping[str, Any]) -> list[str]:
    for keys in (("energy_j", "low_j", "high_j"), _ESTIMATED):
        if phase[keys[0]] is not None:
            return list(_figure({**phase, "origin": "attributed"}, *keys))
    return ["-", ""]


def _metrics(run: Document) -> list[str]:
    rows = [[m["name"], _number(m["value"]), duration(m["t_s"])] for m in run["metrics"]]
    return table(["metric", "value", "at"], rows, frozenset({1, 2}))


def _number(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.6g}"


def _events(run: Document) -> list[str]:
    lines = []
    for event in run["events"]:
        if event["kind"] in ("no_hook", "hook_problem", "hook_note"):
            continue  # said under "Inside the program"
        since = "" if event["since_s"] is None else f"{max(0.0, event['since_s']):.1f} to "
        cause = f" ({event['cause']})" if event["cause"] else ""
        lost = ", energy missing" if event["energy_missing"] else ""
        detail = f": {event['detail']}" if event["detail"] else ""
        lines.append(f"{since}{event['t_s']:.1f} s  {event['kind']}{cause}{lost}{detail}")
    return lines


def _carbon(run: Document) -> list[str]:
    carbon = run["carbon"]
    lines = [
        f"{significant(carbon['g_per_kwh'], 3)} g CO2e/kWh, {carbon['zone_name']}"
        f" ({carbon['zone']}) {carbon['year']}, {carbon['kind']}, PUE {carbon['pue']:g}",
    ]
    return [*lines, *(t for t in (carbon["note"], carbon["attribution"]) if t)]


def _provenance(run: Document) -> list[str]:
    pairs = [
        ("key", run["run_id"]),
        ("started", run["started_utc"]),
        ("host", run["host"]),
        ("folder", run["cwd"]),
        ("commit", run["git_commit"]),
        ("group", run["group"]),
        ("inside run", run["parent_run_id"]),
        ("CPU time by", run["cpu_method"]),
    ]
    return [f"{name:<13}{value}" for name, value in pairs if value]
