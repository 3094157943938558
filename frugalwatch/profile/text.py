"""The profile as tables for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from frugalwatch.profile.document import shown_energy
from frugalwatch.profile.packages import short_place
from frugalwatch.report.format import command_line, duration, significant
from frugalwatch.report.rows import WIDTH
from frugalwatch.report.style import Style

# Any: the object is JSON, described in docs/reference/profile.md.
Document: TypeAlias = Mapping[str, Any]

_UNITS = ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ"), (0.0, "uJ"))
_SCALE = {"kJ": 1e3, "J": 1.0, "mJ": 1e-3, "uJ": 1e-6}
_SMALLEST_SHARE = 0.0005
_MOST_MODELS = 3


def joules(value: float, digits: int = 2) -> str:
    """`1.2 kJ`, `34 J`, `5.6 mJ`."""
    if value == 0:
        return "0 J"
    unit = next(name for least, name in _UNITS if abs(value) >= least)
    return f"{significant(value / _SCALE[unit], digits)} {unit}"


def joule_range(low: float, high: float) -> str:
    """`3.2 to 18 J`, in the unit of the upper end."""
    unit = next(name for least, name in _UNITS if high >= least) if high > 0 else "J"
    scale = _SCALE[unit]
    begin = "0" if low * 1000 < high else significant(low / scale, 2)
    return f"{begin} to {significant(high / scale, 2)} {unit}"


def share(part: float | None) -> str:
    """`37 %`, `4.1 %`, `< 0.1 %`."""
    if part is None:
        return "-"
    percent = 100 * part
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %"


def share_range(entry: Mapping[str, Any]) -> str:
    """`35 to 39 %`."""
    low, high = 100 * entry["share_low"], 100 * entry["share_high"]
    digits = 0 if high >= 9.95 else 1
    return f"{low:.{digits}f} to {high:.{digits}f} %"


def profile_text(
    document: Document,
    style: Style,
    *,
    rows: int = 20,
    by: str = "function",
    wall: bool = False,
    width: int = WIDTH,
) -> str:
    """The head, the parts of the job, and the functions or lines that used most."""
    models = document["models"]
    layers = [
        _section(_model_title(model), layer_table(document, model, rows), style)
        for model in models[:_MOST_MODELS]
    ]
    entries = document["lines" if by == "line" else "functions"]
    room = max(WIDTH, width) - 45
    table = _wall_table(entries, rows, room) if wall else _cost_table(document, entries, rows, room)
    sections = [
        "\n".join(_head(document, style)),
        _section("Parts of the job", _part_rows(document, "parts", "part"), style),
        _section("Own code of", _packages(document), style),
        _section("Lines" if by == "line" else "Functions", table, style),
        *layers,
        "\n".join(_notes(document)),
    ]
    return "\n\n".join(s for s in sections if s)


def _head(document: Document, style: Style) -> list[str]:
    command = command_line(document["command"], WIDTH - 20)
    lines = [style.bold(f"Profile of run {document['number']}: {command}")]
    shown = shown_energy(document, document["energy_kind"])
    if shown is not None:
        value, low, high = shown
        how = "measured" if document["energy_kind"] == "measured" else "modelled"
        about = "" if how == "measured" else "~"
        lines.append(
            f"  {about}{joules(value)} ({joule_range(low, high)}), {how}, attributed by CPU time"
        )
        device = document["job"][f"device_{document['energy_kind']}_j"]
        lines.append(
            f"  of {about}{joules(device)} that the machine drew: the rest is idling, and others'"
        )
    count = len(document["processes"])
    processes = f"{count} processes" if count > 1 else "1 process"
    lines.append(
        f"  {duration(_cpu_s(document))} of CPU time"
        f" in {duration(document['duration_s'])}; {document['samples']} samples of {processes}"
    )
    return lines


def _packages(document: Document) -> list[str]:
    """Nothing where it would say what the parts said."""
    parts = {p["part"] for p in document["parts"]}
    if parts == {p["package"] for p in document["packages"]}:
        return []
    return _part_rows(document, "packages", "package")


def _cpu_s(document: Document) -> float:
    return float(document["job"]["recorded_cpu_s"])


def _section(title: str, lines: Sequence[str], style: Style) -> str:
    if not lines:
        return ""
    head, _, rest = title.partition("\n")
    return "\n".join(
        [style.bold(head), *([rest] if rest else []), *(f"  {line}".rstrip() for line in lines)]
    )


def _part_rows(document: Document, key: str, name: str) -> list[str]:
    rows = [
        [
            _energy_cell(document, entry),
            share(entry["share"]),
            share_range(entry),
            duration(entry["cpu_s"]),
            str(entry[name]),
        ]
        for entry in document[key]
        if (entry["share"] or 0) >= _SMALLEST_SHARE
    ]
    return _table(["energy", "share", "bounds", "CPU", name], rows)


def _cost_table(document: Document, entries: Sequence[Document], most: int, room: int) -> list[str]:
    """By own energy; `total` includes what a function calls."""
    chosen = [e for e in entries if (e["self"]["share"] or 0) >= _SMALLEST_SHARE][:most]
    rows = [
        [
            _energy_cell(document, e["self"]),
            share(e["self"]["share"]),
            share_range(e["self"]),
            share(e["total"]["share"]),
            _place(e, room),
        ]
        for e in chosen
    ]
    table = _table(["self", "share", "bounds", "total", "where"], rows)
    left = sum(1 for e in entries if (e["self"]["share"] or 0) >= _SMALLEST_SHARE) - len(chosen)
    return [*table, f"... and {left} more (--rows)"] if left > 0 else table


def _model_title(model: Mapping[str, Any]) -> str:
    back = model["backward_s"]
    times = f"{duration(model['call_s'] or 0.0)} a call"
    if back:
        times += f" and {duration(back)} backward"
    return (
        f"Layers of {model['root']}, {count(model['parameters'])} parameters\n"
        f"  {times}; {model['watched_calls']} of {model['calls']} calls watched"
    )


def layer_table(document: Document, model: Mapping[str, Any], most: int) -> list[str]:
    """Layers by what they used; a container shows what it does beside calling its parts."""
    chosen = [row for row in model["layers"] if row["share"] >= _SMALLEST_SHARE][:most]
    rows = [
        [
            layer_energy(document, row),
            share(row["share"]),
            duration(row["forward_self_s"]),
            duration(row["backward_s"]) if row["backward_s"] else "-",
            "-" if row["flops"] is None else count(row["flops"]),
            count(row["parameters"]),
            f"{row['name']}  {row['kind']}",
        ]
        for row in chosen
    ]
    table = _table(["energy", "share", "forward", "backward", "FLOP", "params", "layer"], rows)
    left = sum(1 for row in model["layers"] if row["share"] >= _SMALLEST_SHARE) - len(chosen)
    return [*table, f"... and {left} more (--rows)"] if left > 0 else table


def layer_energy(document: Document, row: Mapping[str, Any]) -> str:
    """Joules of a layer, marked where they are modelled."""
    if document["energy_kind"] is None:
        return "-"
    measured = document["energy_kind"] == "measured"
    return joules(row["energy_j"]) if measured else f"~{joules(row['estimated_j'])}"


def count(value: float) -> str:
    """`0`, `640`, `2.36 M`, `151 M`, `1.2 G`."""
    for least, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= least:
            return f"{significant(value / least)}{unit}"
    return f"{value:.0f}"


def _wall_table(entries: Sequence[Document], most: int, room: int) -> list[str]:
    """By the time that threads were there, working or waiting; waiting costs no CPU energy."""
    chosen = sorted(entries, key=lambda e: e["self"]["wall_s"], reverse=True)
    rows = [
        [
            duration(e["self"]["wall_s"]),
            duration(min(e["self"]["cpu_s"], e["self"]["wall_s"])),
            duration(max(0.0, e["self"]["wall_s"] - e["self"]["cpu_s"])),
            duration(e["total"]["wall_s"]),
            _place(e, room),
        ]
        for e in chosen[:most]
        if e["self"]["wall_s"] > 0
    ]
    return _table(["there", "working", "waiting", "total", "where"], rows)


def _energy_cell(document: Document, entry: Mapping[str, Any]) -> str:
    shown = shown_energy(entry, document["energy_kind"])
    if shown is None:
        return "-"
    return joules(shown[0]) if document["energy_kind"] == "measured" else f"~{joules(shown[0])}"


def _place(entry: Document, width: int) -> str:
    """`conv2d  torch/nn/functional.py:112`, the file cut on its left where it is too long."""
    if entry["file"] is None:
        return str(entry["function"])
    name = entry["function"].rpartition("<locals>.")[2]
    at = entry["line"] or entry["first_line"]  # Python 3.12 and later name no first line
    where = f"{short_place(entry['file'])}:{at}" if at else short_place(entry["file"])
    room = width - len(name) - 2
    if len(where) > room:
        where = ".." + where[-max(10, room - 2) :]
    return f"{name}  {where}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns to the right, the last one to the left."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head) - 1)]
    return [
        "  ".join([*(cell.rjust(widths[i]) for i, cell in enumerate(row[:-1])), row[-1]])
        for row in [head, *rows]
    ]


def _notes(document: Document) -> list[str]:
    import textwrap

    notes = list(document["notes"])
    late = document["late_share"]
    if late is not None and late > 0.02:
        notes.append(f"{share(late)} of it is in samples that may belong to a line nearby")
    return [
        line
        for note in notes
        for line in textwrap.wrap(note, WIDTH, initial_indent="note: ", subsequent_indent="      ")
    ]
