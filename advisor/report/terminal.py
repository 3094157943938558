"""The advice as a person reads it, in 80 columns, drawn from its document."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from advisor.hot_spots import in_words
from advisor.report.curve import curve
from advisor.report.facts import verified, year
from advisor.report.robustness import robust
from advisor.report.scale import Scale, saving
from advisor.report.spent import spent_in_words
from advisor.report.words import WIDTH as _WIDTH
from advisor.report.words import Document, cut, plural, resolution, seconds, work_of, wrapped
from advisor.trace.words import trace_lines
from advisor.workloads.source import from_json
from frugalwatch.report import format as show
from frugalwatch.report.needs_text import latency_in_words, memory_in_words
from frugalwatch.report.ratio import change, change_with_bounds
from frugalwatch.report.style import Style

_UNDER_A_ROW: Any = {"initial_indent": " " * 6, "subsequent_indent": " " * 8}  # of textwrap


def report(document: Document, style: Style, scale: Scale | None = None) -> str:
    """The whole report; with the first one's figures of a year where `scale` has a rate."""
    scale = scale or Scale()
    blocks = [_head(document, style, scale), _table(document, style), _year(document, scale)]
    blocks += [_tried(document, style), _rejected(document, style)]
    blocks += [_curve(document, style), _robust(document, style), _serving(document, style)]
    blocks.append(_outside_model(document, style))
    blocks += [_apply(document, style), _caveats(document)]
    blocks.append(_since(document))
    return "\n\n".join(block for block in blocks if block)


def _since(document: Document) -> str:
    """What became of it: verifications, and how to go on where it was cut short."""
    lines: list[str] = []
    for row in document["recommendations"]:
        for fact in verified(row, document):
            text = f"{document['advice']}.{row['number']} {fact.text}"
            lines += textwrap.wrap(text, _WIDTH, initial_indent=" ", subsequent_indent="   ")
    if document.get("state") == "interrupted":
        lines.append(f" Go on   frugalwatch advise --resume {document['advice']}")
    return "\n".join(lines)


def _curve(document: Document, style: Style) -> str:
    """What each combination of smaller models costs and loses."""
    found = curve(document)
    if found is None:
        return ""
    lines = [style.bold(" The curve of compression")]
    for sentence in found.lead:
        lines += wrapped(sentence)
    for row in found.rows:
        lines.append(f"    {cut(row.name, 50):<51}{row.cost}")
        standing = f"; {row.standing}" if row.standing else ""
        lines += textwrap.wrap(f"moves {row.drift}{standing}", _WIDTH, **_UNDER_A_ROW)
    return "\n".join(lines)


def _robust(document: Document, style: Style) -> str:
    """The first one on other requests, and how to roll it out."""
    found = robust(document)
    if found is None:
        return ""
    lines = [style.bold(" The first one on other requests"), *wrapped(found.lead)]
    for name, kept in found.rows:
        lines += textwrap.wrap(f"{name}: {kept}", _WIDTH, **_UNDER_A_ROW)
    if found.warning:
        lines += wrapped(f"Warning: {found.warning}.")
    for sentence in found.rollout:
        lines += wrapped(sentence)
    return "\n".join(lines)


def _serving(document: Document, style: Style) -> str:
    """What other ways to serve the same requests would save."""
    lines = trace_lines(document["trace"]) if document.get("trace") else []
    return "\n".join([style.bold(" Serving"), *(f" {line}" for line in lines)]) if lines else ""


def _outside_model(document: Document, style: Style) -> str:
    """Where CPU time goes that no change of the model can touch."""
    if not document.get("hot_spots"):
        return ""
    first, *others = in_words(document["hot_spots"])
    lines = [style.bold(" Outside the model"), *wrapped(first)]
    for line in others:
        lines += textwrap.wrap(line, _WIDTH, initial_indent="    ", subsequent_indent=" " * 6)
    return "\n".join(lines)


def _head(document: Document, style: Style, scale: Scale) -> str:
    title = f"FrugalWatch advice {document['advice']}"
    command = show.command_line(list(document["command"]), _WIDTH - len(title) - 3)
    lines = [f"{style.bold(title)}   {command}"]
    lines += wrapped(workload_in_words(document))
    lines += wrapped(
        f"{_counted(document)} in {show.duration(document['spent']['wall_s'])};"
        f" spent on it: {spent_in_words(document, scale.settings, scale.factor)}"
    )
    if document["unit"] == "cpu_s":
        lines += wrapped("Compared in CPU-seconds and wall-seconds: no energy counter here")
    else:
        lines += wrapped("Compared in joules of this machine's energy counters")
    if document["resolution"] is not None:
        lines += wrapped(
            f"Resolution {resolution(document['resolution'])}: the program against itself"
        )
    for name, baseline in zip(("Baseline", "        "), document["baselines"], strict=False):
        figures = [seconds(baseline["cpu_s"], "CPU-s"), seconds(baseline["wall_s"], "s")]
        if baseline["energy_j"] is not None:
            figures.insert(0, show.energy(baseline["energy_j"]))
        each = _each(document, baseline)
        lines.append(f"  {name}  {baseline['name']:<12}{', '.join(figures)} per run{each}")
    return "\n".join(lines)


def workload_in_words(document: Document) -> str:
    """What was replayed: a training, or what a model was called with; empty if nobody can say."""
    source = from_json(document.get("workload"))
    work = document.get("work") or {}
    kind, unit = work.get("kind", "unknown"), work.get("unit")
    done = f"{work['count']:,} {plural(unit)} in each replay" if unit else ""
    if source is not None:
        return f"{source.in_words()}; run by Python {source.python}"
    if kind == "unknown":
        return ""
    kind = {"training": "A training", "inference": "An inference"}[kind]
    return f"{kind}: {done}" if done else kind


def _each(document: Document, baseline: Document) -> str:
    """What one step or call costs once the program is warm, and how long it takes."""
    work = work_of(document)
    joules, cpu_s = baseline.get("unit_energy_j"), baseline.get("unit_cpu_s")
    if not work or cpu_s is None:
        return ""
    if document["unit"] == "energy_j" and joules is not None:
        return f"; {show.joules(joules, 3)} per {work['unit']}"
    return f"; {seconds(cpu_s, 'CPU-s')} per {work['unit']}"


def _counted(document: Document) -> str:
    if document["trials"] == 1:
        return "Replayed once"
    return f"Replayed {document['trials']} times, {document['rounds']} rounds to confirm,"


def _table(document: Document, style: Style) -> str:
    rows = document["recommendations"]
    if not rows:
        return "\n".join(wrapped(nothing(document)))
    unit = "Energy" if document["unit"] == "energy_j" else "CPU time"
    lines = [style.bold(f" #  {'Change':<22}{unit:<20}{'Time':<8}{'Output':<13}Saves")]
    for row in rows:
        mark = "=" if row["technique"] == "combination" else " "
        name = cut(row["name"], 21)
        lines.append(
            f"{mark}{row['number']}  {name:<22}{change_with_bounds(row['ratio']):<20}"
            f"{change(row['wall_ratio']):<8}{row['quality']['finding']:<13}"
            f"{_saved(row, document)}"
        )
        lines += _by_unit(row, document)
        lines += _needs(row)
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
        lines += wrapped(_claim(first))
    if first["pay_back_runs"] is not None and first.get("decided_by") != "unit":
        lines += wrapped(
            f"Number 1 pays back what finding it cost after {first['pay_back_runs']} runs"
        )
    return "\n".join(line.rstrip() for line in lines).rstrip()


def _by_unit(row: Document, document: Document) -> list[str]:
    """What a change does to one unit of work, and what it costs at the start of the program."""
    found, work = row.get("per_unit"), work_of(document)
    if not found or not work or found["ratio"] is None:
        return []
    unit = work["unit"]
    lines = [f"    {'  per ' + unit:<22}{change_with_bounds(found['ratio'])}"]
    if found.get("versus_one_thread"):
        fair = change_with_bounds(found["versus_one_thread"])
        lines.append(f"    {'   against one thread':<22}{fair}")
    if found["pay_back_units"] is not None or found["first_start_extra"] is not None:
        parts = [f"{name} start {_more(extra, document['unit'])}" for name, extra in _starts(found)]
        if found["pay_back_units"] is not None:
            parts.append(f"earned back after {found['pay_back_units']:,} {plural(unit)}")
        lines += textwrap.wrap("; ".join(parts), _WIDTH, **_UNDER_A_ROW)
    return lines


def _starts(found: Document) -> list[tuple[str, float]]:
    named = (("first", found["first_start_extra"]), ("each", found["start_extra"]))
    return [(name, extra) for name, extra in named if extra is not None]


def _more(value: float, unit: str) -> str:
    amount = show.joules(abs(value)) if unit == "energy_j" else seconds(abs(value), "CPU-s", 2)
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


def nothing(document: Document) -> str:
    if document["state"] == "interrupted":
        return "Interrupted before anything could be confirmed."
    unsettled = [r for r in document["not_recommended"] if r["verdict"] == "not confirmed"]
    if unsettled:
        return f"No verdict: {unsettled[0]['reason']}."
    unreliable = [n for n in document["notes"] if n.startswith("the program as written failed")]
    if unreliable:
        return f"No verdict: {unreliable[0]}."
    if document["not_recommended"]:
        return "Nothing worth doing: no change that was tried saves more than the noise."
    if document["not_tried"]:
        return "Nothing worth doing: nothing that is known here applies to this program."
    return "Nothing to advise on."


def _year(document: Document, scale: Scale) -> str:
    """What number 1 saves in a year, and when it pays back."""
    if scale.requests_per_day is None or not document["recommendations"]:
        return ""
    first = document["recommendations"][0]
    saved = saving(first, document, scale)
    lines: list[str] = []
    for fact in year(document, saved, scale.factor):
        mark = f" [{fact.origin}]" if fact.origin else ""
        lines += textwrap.wrap(f"{fact.label}: {fact.text}{mark}", _WIDTH, **_UNDER_A_ROW)
    return "\n".join(["  Number 1, in a year:", *lines]) if lines else ""


def _needs(row: Document) -> list[str]:
    """How long a request takes with a change, and how much memory its processes hold."""
    parts = [latency_in_words(row.get("latency")), memory_in_words(row.get("peak_memory_bytes"))]
    if parts[1]:
        parts[1] = f"memory {parts[1]}"
    known = [part for part in parts if part]
    return textwrap.wrap("; ".join(known), _WIDTH, **_UNDER_A_ROW) if known else []


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
    if each is not None and work_of(document):
        found += f"; per {work_of(document)['unit']} {change_with_bounds(each)}"
    return found


def _row(mark: str, name: str, figure: str, text: str) -> list[str]:
    wrapped = textwrap.wrap(text, _WIDTH - 26)
    if figure:
        wrapped = [figure, *wrapped]
    first = f" {mark}  {cut(name, 21):<22}{wrapped[0]}"
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
        lines += textwrap.wrap(
            first["risk"], _WIDTH, initial_indent="   risk: ", subsequent_indent="     "
        )
    return "\n".join(lines)


def _caveats(document: Document) -> str:
    notes: Sequence[str] = document["notes"]
    lines: list[str] = []
    for note in notes:
        lines += textwrap.wrap(note, _WIDTH - 1, initial_indent=" note: ", subsequent_indent="   ")
    return "\n".join(lines)


def _saved(row: Document, document: Document) -> str:
    """Per run, of what the verdict rests on."""
    decided_by, wall = row.get("decided_by"), row["wall_ratio"]
    if decided_by == "time":
        return seconds(document["baselines"][0]["wall_s"] * (1 - wall["value"]), "s", 2)
    if decided_by == "unit" or row["saved_per_run"] is None:
        return ""
    value = row["saved_per_run"]["value"]
    return show.energy(value, 2) if document["unit"] == "energy_j" else seconds(value, "CPU-s", 2)
