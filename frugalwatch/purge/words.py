"""What a purge would delete, or has deleted, in words."""

from __future__ import annotations

import time

from frugalwatch.captures.render import size
from frugalwatch.purge.found import Found
from frugalwatch.report.format import command_line, energy

_MOST = 10
_WIDTH = 78


def found_lines(found: Found, *, keep_totals: bool) -> list[str]:
    """One line for each kind of thing, and the first few runs by name."""
    lines: list[str] = []
    if found.runs:
        what = "all but the totals of " if keep_totals else ""
        lines.append(f"{what}{_counted(len(found.runs), 'run')}{_energy(found)}")
        lines += [_run_line(*each) for each in _first_runs(found)]
        if len(found.runs) > _MOST:
            lines.append(f"  ... and {len(found.runs) - _MOST} more (--json has all)")
    if found.advice:
        names = ", ".join(f"A{each.number}" for each in found.advice[:_MOST])
        more = f" and {len(found.advice) - _MOST} more" if len(found.advice) > _MOST else ""
        lines.append(f"{_counted(len(found.advice), 'stored advice', '')}: {names}{more}")
    for kind in dict.fromkeys(files.kind for files in found.files):
        chosen = [files for files in found.files if files.kind == kind]
        taken = size(sum(files.size_bytes for files in chosen))
        lines.append(f"{_counted(len(chosen), kind)}, {taken}")
    return lines


def _energy(found: Found) -> str:
    parts = []
    for name, mark in (("energy_j", ""), ("estimated_j", "~")):
        known = [value for run in found.runs if (value := getattr(run, name)) is not None]
        if known:
            modelled = " modelled" if mark else " measured"
            parts.append(f"{mark}{energy(sum(known))}{modelled}")
    return f", {' and '.join(parts)}" if parts else ""


def _first_runs(found: Found) -> list[tuple[int, float, tuple[str, ...]]]:
    return [(run.number, run.started_utc_s, run.command) for run in found.runs[:_MOST]]


def _run_line(number: int, started_utc_s: float, command: tuple[str, ...]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(started_utc_s))
    start = f"  {number:>5}  {when}  "
    return start + command_line(list(command), _WIDTH - len(start))


def _counted(number: int, what: str, plural: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else plural}"
