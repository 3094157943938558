"""A comparison of runs as text: the answer first, then what limits it, then the runs' figures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from frugalwatch.report.attribution import Energy
from frugalwatch.report.compare_runs import Comparison, SideRatio
from frugalwatch.report.format import (
    about,
    command_line,
    digits_for,
    duration,
    energy,
    energy_range,
    grams,
    percent,
    significant,
)

NAMES = {
    "energy_j": "energy",
    "cpu_s": "CPU time",
    "duration_s": "time",
    "energy_per_step_j": "energy a step",
    "co2e_g": "CO2e",
}
_LABEL = 15
_CELL = 14
_MOST_METRICS = 6
# An energy in the unit of the moment, with so many digits.
EnergyText = Callable[[Energy, bool], str]


class Line(NamedTuple):
    """One line; `is_title` is written bold, `is_row` is part of a table and never broken."""

    text: str
    is_title: bool = False


def default_energy(found: Energy, modelled: bool) -> str:
    """An energy as every command writes it."""
    digits = 2 if modelled else digits_for(found.value, found.low, found.high)
    text = energy(found.value, digits)
    return about(text) if modelled else text


def compare_lines(
    found: Comparison, width: int, energy_text: EnergyText = default_energy
) -> list[Line]:
    """All of a comparison in lines of at most `width` columns."""
    lines = _answer(found, width)
    for note in found.notes:
        lines += _prose(f"! {note}", width, "    ")
    lines.append(Line(""))
    each = max(1, (width - _LABEL - 1) // (_CELL + 1))
    for first in range(0, len(found.runs), each):
        lines += _table(found, slice(first, first + each), energy_text)
        lines.append(Line(""))
    return lines[:-1]


def _answer(found: Comparison, width: int) -> list[Line]:
    """A sentence for each side, and below it the ratios of the other quantities."""
    lines = [Line(_sides_text(found, side)) for side in found.sides[:8]]
    if len(found.sides) > 8:
        lines.append(Line(f"  and {len(found.sides) - 8} more, each for itself"))
    lines.append(Line(""))
    shown = [entry for entry in found.ratios if _is_worth_a_line(entry, found)]
    headlines = {e.side: e.why for e in shown if e.quantity == found.headline}
    if not shown:
        return [
            *lines,
            *_prose("nothing can be compared: no two sides have a common figure", width),
        ]
    for side in found.sides:
        for entry in shown:
            if entry.side == side:
                said = entry.found is not None and entry.why == headlines.get(side)
                is_headline = entry.quantity == found.headline
                text = ratio_text(entry._replace(why="") if said and not is_headline else entry)
                if is_headline:
                    lines += [Line(part.text, is_title=True) for part in _prose(text, width)]
                else:
                    lines += _prose(text, width, "    ")
    return lines


def _is_worth_a_line(entry: SideRatio, found: Comparison) -> bool:
    """What no run could have is left out. Energy is not, since a reader looks for it, but for a
    side on which no run ended well: a note says that. CO2e that only follows energy is, too.
    """
    if entry.quantity == "co2e_g" and entry.found is not None:
        energies = [
            r.found for r in found.ratios if r.side == entry.side and r.quantity == "energy_j"
        ]
        same = energies[0] is not None and abs(entry.found.ratio / energies[0].ratio - 1) < 0.01
        return not same
    return entry.found is not None or (entry.quantity == "energy_j" and all(entry.counts))


def _sides_text(found: Comparison, side: str) -> str:
    runs = found.on(side)
    numbers = ", ".join(str(run.number) for run in runs[:12]) + (" ..." if len(runs) > 12 else "")
    words = {command_line(list(run.document["command"]), 40) for run in runs}
    text = next(iter(words)) if len(words) == 1 else f"{len(words)} commands"
    return f"  {side}  run{'s' * (len(runs) > 1)} {numbers}   {text}"


def ratio_text(entry: SideRatio) -> str:
    """`B takes 0.82 x the energy of A (95 %: 0.79 to 0.85)`, or why that cannot be said."""
    name = NAMES[entry.quantity]
    if entry.found is None:
        return f"{entry.side} against {entry.against}, {name}: not compared; {entry.why}"
    ratio, low, high, verdict = entry.found
    if low is None or high is None:
        text = f"{significant(ratio, 2)} x the {name}"
        why = f"  ({entry.why})" if entry.why else ""
        return f"{entry.side} took {text} of {entry.against}{why}"
    span = f"95 %: {significant(low, 3)} to {significant(high, 3)}"
    counts = f"{entry.counts[0]} and {entry.counts[1]} runs"
    if verdict == "no clear difference":
        return (
            f"{entry.side} and {entry.against}: no clear difference in {name}  ({span}, {counts})"
        )
    text = f"{significant(ratio, 3)} x the {name}"
    return f"{entry.side} took {text} of {entry.against}  ({span}, {counts})"


def _table(found: Comparison, part: slice, energy_text: EnergyText) -> list[Line]:
    runs = found.runs[part]
    documents = [run.document for run in runs]
    rows = [("", [f"{run.side}: run {run.number}" for run in runs])]
    for label, read in _rows(found, energy_text):
        cells = [read(document) for document in documents]
        if any(cells):
            rows.append((label, [cell or "-" for cell in cells]))
    return [
        Line(
            f" {label:<{_LABEL - 1}}" + "".join(f" {_cut(cell):>{_CELL}}" for cell in cells),
            is_title=place == 0,
        )
        for place, (label, cells) in enumerate(rows)
    ]


Reader = Callable[[Mapping[str, Any]], str]


def _rows(found: Comparison, energy_text: EnergyText) -> list[tuple[str, Reader]]:
    metrics = [entry for run in found.runs for entry in run.document.get("metrics", [])]
    names = list(dict.fromkeys(str(entry["name"]) for entry in metrics))
    return [
        ("state", _state),
        ("started", lambda d: str(d.get("started_utc", ""))[5:16].replace("T", " ")),
        ("time", lambda d: duration(d["duration_s"])),
        ("CPU time", lambda d: "" if d.get("cpu_s") is None else duration(d["cpu_s"])),
        ("energy", lambda d: _energy(d, "energy", energy_text)),
        ("  bounds", _bounds),
        ("  above idle", lambda d: _energy(d, "above_idle", energy_text)),
        ("  job's share", lambda d: _energy(d, "job_share", energy_text)),
        ("modelled", lambda d: _energy(d, "estimated", energy_text)),
        ("CO2e", _carbon),
        ("mean power", _mean_power),
        ("covered", lambda d: "" if d.get("coverage") is None else percent(d["coverage"])),
        ("busy share", lambda d: "" if d.get("busy_share") is None else percent(d["busy_share"])),
        ("steps", lambda d: _step(d, "steps", 9)),
        ("steps a second", lambda d: _step(d, "steps_per_s", 3)),
        ("J a step", lambda d: _step(d, "energy_per_step_j", 3)),
        ("~J a step", lambda d: _step(d, "estimated_per_step_j", 2)),
        ("CPU s a step", lambda d: _step(d, "cpu_per_step_s", 3)),
        *((f"last {name}"[: _LABEL - 1], _last(name)) for name in names[:_MOST_METRICS]),
        ("zone", lambda d: str((d.get("carbon") or {}).get("zone", ""))),
        ("host", lambda d: str(d.get("host", ""))),
        ("commit", lambda d: str(d.get("git_commit") or "")[:10]),
    ]


def _state(document: Mapping[str, Any]) -> str:
    if document["state"] == "killed" and document.get("exit_signal"):
        return f"signal {document['exit_signal']}"
    code = document["exit_code"]
    return f"exit {code}" if document["state"] == "done" and code else str(document["state"])


def _energy(document: Mapping[str, Any], stem: str, energy_text: EnergyText) -> str:
    value = document.get(f"{stem}_j")
    if value is None:
        return ""
    low, high = document.get(f"{stem}_low_j"), document.get(f"{stem}_high_j")
    found = Energy(value, value if low is None else low, value if high is None else high)
    return energy_text(found, stem == "estimated")


def _bounds(document: Mapping[str, Any]) -> str:
    """The bounds of measured energy without a unit, which stands above them."""
    value = document.get("energy_j")
    if value is None or document["energy_low_j"] == document["energy_high_j"]:
        return ""
    low, high = document["energy_low_j"], document["energy_high_j"]
    text = energy_range(low, high, digits_for(value, low, high), beside_j=value)
    least, _, most = text.rpartition(" ")[0].partition(" to ")
    return "" if least == most else f"{least} to {most}"


def _carbon(document: Mapping[str, Any]) -> str:
    value = document.get("co2e_g")
    if value is None:
        return ""
    return grams(value) if document.get("co2e_origin") == "measured" else about(grams(value))


def _mean_power(document: Mapping[str, Any]) -> str:
    """Measured where anything was; else the model's."""
    lasted = document["duration_s"]
    for key, mark in (("energy_j", ""), ("estimated_j", "~")):
        if document.get(key) is not None and lasted:
            return f"{mark}{significant(document[key] / lasted, 3 if not mark else 2)} W"
    return ""


def _step(document: Mapping[str, Any], key: str, digits: int) -> str:
    value = (document.get("steps") or {}).get(key)
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else significant(value, digits)


def _last(name: str) -> Reader:
    def read(document: Mapping[str, Any]) -> str:
        values = [m["value"] for m in document.get("metrics", []) if m["name"] == name]
        return "" if not values or values[-1] is None else f"{values[-1]:.4g}"

    return read


def _cut(text: str) -> str:
    return text if len(text) <= _CELL else text[: _CELL - 2] + ".."


def _prose(text: str, width: int, indent: str = "  ") -> list[Line]:
    lines = textwrap.wrap(
        text,
        max(30, width),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )
    return [Line(line) for line in lines]


def sides_of(numbers: Sequence[Sequence[int]]) -> dict[int, str]:
    """Runs given in groups, each group a side: A, B, C."""
    return {
        number: chr(ord("A") + place) for place, group in enumerate(numbers) for number in group
    }
