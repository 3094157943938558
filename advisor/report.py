"""The advice as a person reads it, in 80 columns, drawn from its document."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.document import decisive_ratio
from frugalwatch.report import format as show
from frugalwatch.report.ratio import change, change_with_bounds
from frugalwatch.report.style import Style

if TYPE_CHECKING:
    from frugalwatch.ledger.advice import StoredAdvice

_WIDTH = 80
_UNDER_A_ROW: Any = {"initial_indent": " " * 6, "subsequent_indent": " " * 8}  # of textwrap
# What JSON gives back; every value is looked at before it is used.
Document = Mapping[str, Any]


def report(document: Document, style: Style) -> str:
    """The whole report."""
    blocks = [_head(document, style), _table(document, style), _tried(document, style)]
    blocks.append(_rejected(document, style))
    blocks += [_apply(document, style), _caveats(document)]
    return "\n\n".join(block for block in blocks if block)


def _head(document: Document, style: Style) -> str:
    title = f"FrugalWatch advice {document['advice']}"
    command = show.command_line(list(document["command"]), _WIDTH - len(title) - 3)
    spent = document["spent"]
    lines = [f"{style.bold(title)}   {command}"]
    lines += _wrapped(
        f"{_counted(document)} in {show.duration(spent['wall_s'])};"
        f" {_amount(spent, document['unit'])} spent on it"
    )
    if document["unit"] == "cpu_s":
        lines += _wrapped("Compared in CPU-seconds and wall-seconds: no energy counter here")
    else:
        lines += _wrapped("Compared in joules of this machine's energy counters")
    if document["resolution"] is not None:
        lines += _wrapped(
            f"Resolution {_resolution(document['resolution'])}: the program against itself"
        )
    for name, baseline in zip(("Baseline", "        "), document["baselines"], strict=False):
        figures = [_seconds(baseline["cpu_s"], "CPU-s"), _seconds(baseline["wall_s"], "s")]
        if baseline["energy_j"] is not None:
            figures.insert(0, show.energy(baseline["energy_j"]))
        each = _each(document, baseline)
        lines.append(f"  {name}  {baseline['name']:<12}{', '.join(figures)} per run{each}")
    return "\n".join(lines)


def _each(document: Document, baseline: Document) -> str:
    """What one step or call costs once the program is warm, where that is known."""
    work = document.get("work")
    joules, seconds = baseline.get("unit_energy_j"), baseline.get("unit_cpu_s")
    if not work or seconds is None:
        return ""
    if document["unit"] == "energy_j" and joules is not None:
        return f"; {show.joules(joules, 3)} per {work['unit']}"
    return f"; {_seconds(seconds, 'CPU-s')} per {work['unit']}"


def _counted(document: Document) -> str:
    if document["trials"] == 1:
        return "Replayed once"
    return f"Replayed {document['trials']} times, {document['rounds']} rounds to confirm,"


def _table(document: Document, style: Style) -> str:
    rows = document["recommendations"]
    if not rows:
        return "\n".join(_wrapped(_nothing(document)))
    unit = "Energy" if document["unit"] == "energy_j" else "CPU time"
    lines = [style.bold(f" #  {'Change':<22}{unit:<20}{'Time':<8}{'Output':<13}Saves")]
    for row in rows:
        mark = "=" if row["technique"] == "combination" else " "
        name = _cut(row["name"], 21)
        lines.append(
            f"{mark}{row['number']}  {name:<22}{change_with_bounds(row['ratio']):<20}"
            f"{change(row['wall_ratio']):<8}{row['quality']['finding']:<13}"
            f"{_saved(row, document)}"
        )
        lines += _by_unit(row, document)
        if row["versus_one_thread"] is not None:
            lines.append(
                f"    {'  against one thread':<22}{change_with_bounds(row['versus_one_thread'])}"
            )
        if row["quality"]["finding"] in ("cannot tell", "to rounding"):
            lines += textwrap.wrap(
                f"output: {row['quality'].get('reason', '')}", _WIDTH, **_UNDER_A_ROW
            )
    if any(row["technique"] == "combination" for row in rows):
        lines.append("  = several at once, measured and not added up")
    lines.append("")
    first = rows[0]
    if document["unit"] == "cpu_s" or first.get("decided_by") == "unit":
        lines += _wrapped(_claim(first))
    if first["pay_back_runs"] is not None and first.get("decided_by") != "unit":
        lines += _wrapped(
            f"Number 1 pays back what finding it cost after {first['pay_back_runs']} runs"
        )
    return "\n".join(line.rstrip() for line in lines).rstrip()


def _by_unit(row: Document, document: Document) -> list[str]:
    """What a change does to one unit of work, and what it costs at the start of the program."""
    found, work = row.get("per_unit"), document.get("work")
    if not found or not work or found["ratio"] is None:
        return []
    unit = work["unit"]
    lines = [f"    {'  per ' + unit:<22}{change_with_bounds(found['ratio'])}"]
    if found["pay_back_units"] is not None or found["first_start_extra"] is not None:
        parts = [f"{name} start {_more(extra, document['unit'])}" for name, extra in _starts(found)]
        if found["pay_back_units"] is not None:
            parts.append(f"earned back after {found['pay_back_units']:,} {_plural(unit)}")
        lines += textwrap.wrap("; ".join(parts), _WIDTH, **_UNDER_A_ROW)
    return lines


def _starts(found: Document) -> list[tuple[str, float]]:
    named = (("first", found["first_start_extra"]), ("each", found["start_extra"]))
    return [(name, extra) for name, extra in named if extra is not None]


def _plural(unit: str) -> str:
    return f"{unit}es" if unit.endswith("ch") else f"{unit}s"


def _more(value: float, unit: str) -> str:
    amount = show.joules(abs(value)) if unit == "energy_j" else _seconds(abs(value), "CPU-s", 2)
    return f"{'+' if value >= 0 else '-'}{amount}"


def _claim(row: Document) -> str:
    """What kind of saving the first recommendation is."""
    if row.get("decided_by") == "unit":
        return "Number 1 clearly saves in each unit of work; in runs this short that is not clear"
    if row.get("decided_by") == "time":
        return (
            "Number 1 saves waiting: by the model less energy, as the machine is on for less time"
        )
    if row["saves_energy"]:
        return "Number 1 also saves energy by the model, at half and at twice its active power"
    return "That is CPU time; whether number 1 saves energy as well is not known without a counter"


def _nothing(document: Document) -> str:
    if document["state"] == "interrupted":
        return "Interrupted before anything could be confirmed."
    unsettled = [r for r in document["not_recommended"] if r["verdict"] == "not confirmed"]
    if unsettled:
        return f"No verdict: {unsettled[0]['reason']}."
    if document["not_recommended"]:
        return "Nothing worth doing: no change that was tried saves more than the noise."
    if document["not_tried"]:
        return "Nothing worth doing: nothing that is known here applies to this program."
    return "Nothing to advise on."


def _tried(document: Document, style: Style) -> str:
    """Why each technique was tried: what was seen of the program and the machine."""
    lines: list[str] = []
    for row in document.get("tried", ()):
        lines += _row("+", row["technique"], "", row["reason"])
    return "\n".join([style.bold(" Tried, since"), *lines]) if lines else ""


def _rejected(document: Document, style: Style) -> str:
    lines = []
    for row in document["not_recommended"]:
        # The sentence above the list has said already why nothing is confirmed.
        said = row["verdict"] == "not confirmed" and not document["recommendations"]
        mark = "?" if row["verdict"] == "not confirmed" else "x"
        text = row["verdict"] if said else f"{row['verdict']}: {row['reason']}"
        lines += _row(mark, row["name"], _figures(row, document), text)
    reasons: dict[str, list[str]] = {}
    for row in document["not_tried"]:
        reasons.setdefault(row["reason"], []).append(row["technique"])
    for reason, names in reasons.items():
        if len(names) == 1:
            lines += _row("-", names[0], "", reason)
        else:  # what needs a GPU says so once
            lines += textwrap.wrap(
                f"{', '.join(names)}: {reason}",
                _WIDTH,
                initial_indent=" -  ",
                subsequent_indent=" " * 26,
            )
    return "\n".join([style.bold(" Not recommended"), *lines]) if lines else ""


def _figures(row: Document, document: Document) -> str:
    """The ratio of a change that is not recommended, per run and per unit of work."""
    found = change_with_bounds(row["ratio"])
    each = (row.get("per_unit") or {}).get("ratio")
    if each is not None and document.get("work"):
        found += f"; per {document['work']['unit']} {change_with_bounds(each)}"
    return found


def _row(mark: str, name: str, figure: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, _WIDTH - 26)
    if figure:
        wrapped = [figure, *wrapped]
    first = f" {mark}  {_cut(name, 21):<22}{wrapped[0]}"
    return [first, *(" " * 26 + line for line in wrapped[1:])]


def _apply(document: Document, style: Style) -> str:
    if not document["recommendations"]:
        return ""
    first = document["recommendations"][0]
    name = document["advice"]
    lines = [f"{style.bold(' Apply  ')} frugalwatch run --with {name} -- COMMAND"]
    lines.append(f" Verify  frugalwatch verify {name}")
    lines.append(" For good, number 1:")
    lines += [f"   {line}" for line in str(first["shell"]).splitlines()]
    if first["for_good"]:
        lines += [f"   {line}" for line in textwrap.wrap(first["for_good"], _WIDTH - 4)]
    lines += [f"      {line}" for line in str(first.get("code", "")).splitlines()]
    if first["risk"]:
        lines += [f"   risk: {line}" for line in textwrap.wrap(first["risk"], _WIDTH - 10)]
    return "\n".join(lines)


def _caveats(document: Document) -> str:
    notes: Sequence[str] = document["notes"]
    lines: list[str] = []
    for note in notes:
        lines += textwrap.wrap(note, _WIDTH - 1, initial_indent=" note: ", subsequent_indent="   ")
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _resolution(value: float) -> str:
    return f"±{value * 100:.1f} %" if value < 1 else "worse than ±100 %"


def _saved(row: Document, document: Document) -> str:
    """Per run, of what the verdict rests on."""
    decided_by, wall = row.get("decided_by"), row["wall_ratio"]
    if decided_by == "time":
        return _seconds(document["baselines"][0]["wall_s"] * (1 - wall["value"]), "s", 2)
    if decided_by == "unit" or row["saved_per_run"] is None:
        return ""
    value = row["saved_per_run"]["value"]
    return show.energy(value, 2) if document["unit"] == "energy_j" else _seconds(value, "CPU-s", 2)


def _amount(spent: Document, unit: str) -> str:
    if unit == "energy_j" and spent["energy_j"] is not None:
        return show.energy(spent["energy_j"])
    return _seconds(spent["cpu_s"], "CPU-s")


def _seconds(value: float | None, unit: str, digits: int = 3) -> str:
    return "?" if value is None else f"{show.significant(value, digits)} {unit}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def verification_report(document: Document, style: Style) -> str:
    """What `verify` found, promise and measurement side by side."""
    words = {
        "held": "The promised saving held.",
        "not_held": "The promised saving did NOT hold.",
        "cannot_tell": "It cannot be told whether the promised saving held.",
    }
    unit = "energy" if document["unit"] == "energy_j" else "CPU time"
    if document.get("decided_by") == "unit":
        unit += " of one unit of work"
    elif document.get("decided_by") == "time":
        unit = "time"
    lines = [
        f"FrugalWatch verify {document['advice']}.{document['recommendation']}"
        f"   {document['name']}",
        f"  {style.bold(words[document['verdict']])}",
        *_wrapped(document["reason"]),
        f"  Promised   {unit} {change_with_bounds(document['promised'])}",
        f"  Measured   {unit} {change_with_bounds(document['ratio']) or 'unknown'}"
        f"   {document['rounds']} rounds, time {change(document['wall_ratio'])}",
    ]
    if document["resolution"] is not None:
        lines.append(f"  Resolution {_resolution(document['resolution'])}")
    lines.append(f"  Output     {document['quality']['finding']}")
    lines += [line for note in document["notes"] for line in _wrapped(f"note: {note}")]
    return "\n".join(lines)


def advice_list(advices: Sequence[StoredAdvice]) -> str:
    """One line for each stored advice, the latest first."""
    if not advices:
        return "No advice yet. Make one: frugalwatch advise -- COMMAND"
    lines = [f"{'Advice':<8}{'State':<13}{'Best change':<46}Command"]
    for advice in advices:
        best = _outcome(advice.result) if advice.state == "done" else ""
        if advice.recommendations:
            entries: Sequence[Any] = advice.result["recommendations"]  # type: ignore[assignment]
            unit = "energy" if advice.result["unit"] == "energy_j" else "CPU"
            name, decided_by = _cut(entries[0]["name"], 20), entries[0].get("decided_by")
            unit = "time" if decided_by == "time" else unit
            each = f"/{advice.result['work']['unit']}" if decided_by == "unit" else ""  # type: ignore[index]
            best = f"{name}: {unit}{each} {change_with_bounds(decisive_ratio(entries[0]))}"
        command = show.command_line(list(advice.command), 40)
        lines.append(f"{advice.name:<8}{advice.state:<13}{best:<46}{command}")
    return "\n".join(lines)


def _outcome(document: Mapping[str, Any]) -> str:
    """What an advice without recommendations came to."""
    verdicts = {row["verdict"] for row in document["not_recommended"]}
    return "no verdict" if "not confirmed" in verdicts else "nothing worth doing"
