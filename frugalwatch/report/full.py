"""The whole of one run as text, for `frugalwatch show`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from frugalwatch.report.format import duration, energy, percent, significant
from frugalwatch.report.style import Style
from frugalwatch.report.summary import block_summary

# Any: the run object is JSON, described in docs/reference/run-object.md.
Document: TypeAlias = Mapping[str, Any]

_MOST_ROWS = 30
_WIDTH = 78


def full_text(run: Document, style: Style) -> str:
    """The summary, then devices, attribution, phases, metrics, events and provenance."""
    sections = [
        block_summary(run, style, next_step=False),
        _section("Devices", _devices(run), style),
        _section("Whose energy is it", _attribution(run), style),
        _section("Phases", _phases(run), style),
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
    if len(line) <= _WIDTH - 2 or "   " in line.strip():
        return [f"  {line}".rstrip()]
    return textwrap.wrap(
        line,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(r[i]) for r in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(
            cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
            for i, cell in enumerate(row)
        )
        for row in [head, *rows]
    ]


def _devices(run: Document) -> list[str]:
    rows = []
    notes = []
    for device in run["devices"]:
        mark = "~" if device["origin"] in ("estimated", "attributed") else ""
        figure = bounds = "-"
        if device["energy_j"] is not None:
            figure = mark + energy(device["energy_j"])
            bounds = f"{energy(device['low_j'])} to {energy(device['high_j'])}"
        role = "" if device["counted"] else _why_not_counted(device)
        rows.append([device["device"], figure, bounds, device["origin"], device["boundary"], role])
        if device["source"] or device["note"]:
            text = "; ".join(t for t in (device["source"], device["note"]) if t)
            notes.append(f"{device['device']}: {text}")
    head = ["device", "energy", "bounds", "origin", "boundary", ""]
    return [*_table(head, rows, frozenset({1})), *([""] if notes else []), *notes]


def _why_not_counted(device: Mapping[str, Any]) -> str:
    if device["part_of"]:
        return f"part of {device['part_of']}"
    if device["energy_j"] is None:
        return "no figure"
    return "contains others"


def _attribution(run: Document) -> list[str]:
    lines = []
    for prefix, mark in (("", ""), ("estimated_", "~")):
        total = run["estimated_j"] if prefix else run["energy_j"]
        if total is None:
            continue
        lines.append(f"device      {mark}{energy(total)}   all of it, in the job's window")
        above = run[f"{prefix}above_idle_j"]
        if above is None:
            lines.append("above idle  unknown: nobody knows this machine's idle power")
        else:
            low, high = run[f"{prefix}above_idle_low_j"], run[f"{prefix}above_idle_high_j"]
            lines.append(f"above idle  {mark}{energy(above)}   {energy(low)} to {energy(high)}")
        share = run[f"{prefix}job_share_j"]
        if share is not None:
            low, high = run[f"{prefix}job_share_low_j"], run[f"{prefix}job_share_high_j"]
            lines.append(f"job's share {mark}{energy(share)}   {energy(low)} to {energy(high)}")
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
    table = _table(["phase", "time", "energy", "bounds"], rows, frozenset({1, 2}))
    if table:
        table.append("Energy by phase is the device's, attributed by time; - is too short to tell.")
    return table


def _phase_energy(phase: Mapping[str, Any]) -> list[str]:
    for prefix, mark in (("", ""), ("estimated_", "~")):
        value = phase["energy_j"] if not prefix else phase["estimated_j"]
        if value is not None:
            low, high = phase[f"{prefix}low_j"], phase[f"{prefix}high_j"]
            return [mark + energy(value), f"{energy(low)} to {energy(high)}"]
    return ["-", ""]


def _metrics(run: Document) -> list[str]:
    rows = [[m["name"], significant(m["value"], 6), duration(m["t_s"])] for m in run["metrics"]]
    return _table(["metric", "value", "at"], rows, frozenset({1, 2}))


def _events(run: Document) -> list[str]:
    rows = []
    for event in run["events"]:
        since = "" if event["since_s"] is None else f"{max(0.0, event['since_s']):.1f} to "
        cause = f" ({event['cause']})" if event["cause"] else ""
        lost = ", energy missing" if event["energy_missing"] else ""
        when = f"{since}{event['t_s']:.1f} s"
        rows.append([when, f"{event['kind']}{cause}{lost}", event["detail"]])
    return _table(["when", "what", ""], rows, frozenset({0}))


def _carbon(run: Document) -> list[str]:
    carbon = run["carbon"]
    lines = [
        f"{significant(carbon['g_per_kwh'], 3)} g CO2e/kWh, {carbon['zone_name']}"
        f" ({carbon['zone']}) {carbon['year']}, {carbon['kind']}, PUE {carbon['pue']:g}",
    ]
    if carbon["assumed"]:
        lines.append("No zone was set: this is an assumption.")
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
    return [f"{name:<12}{value}" for name, value in pairs if value]
