"""Advice as the screen writes it: a line of the list, and everything about one."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator

from frugalwatch.report.format import command_line, duration, energy, significant
from frugalwatch.report.needs_text import latency_in_words, memory_in_words
from frugalwatch.report.ratio import change, change_with_bounds
from frugalwatch.screen.advice.reading import AdviceEntry
from frugalwatch.screen.records import Document

# The columns of the changes, all that fits into 80: number, change, saving, time, output, status.
_CHANGE, _SAVING, _TIME, _OUTPUT = 23, 20, 8, 10
_BAR = 40
_VERDICTS = {"held": "held", "not_held": "NOT held", "cannot_tell": "cannot tell"}

NO_ADVICE = [
    "No advice yet.",
    "",
    "This replays a command with changes, measures each, and says which one saves most:",
    "",
    "    frugalwatch advise -- python infer.py",
    "",
    "or, for a recorded run:",
    "",
    "    frugalwatch advise last",
    "",
    "What it finds shows up here by itself.",
]


def what_it_says(entry: AdviceEntry) -> str:
    """The first recommendation, or why there is none."""
    if entry.recommendations:
        return str(entry.recommendations[0].get("name", "?"))
    if entry.state == "running":
        return "cut short" if entry.gone else _place(entry)
    if entry.state != "done":
        return entry.state
    rejected = _listed(entry.document, "not_recommended")
    unsure = any(row.get("verdict") == "not confirmed" for row in rejected)
    unsure = unsure or any(
        str(note).startswith("the program as written failed")
        for note in entry.document.get("notes") or ()
    )
    return "no verdict" if unsure else "nothing worth doing"


def what_it_saves(entry: AdviceEntry) -> str:
    """`CPU -48 % (-50..-46)` of the first recommendation; empty without one."""
    if not entry.recommendations:
        return ""
    return f"{_unit(entry)} {change_with_bounds(entry.recommendations[0].get('ratio'))}"


def what_became(entry: AdviceEntry) -> str:
    """The best news of any of its recommendations: held, applied, or `open`."""
    numbers = [int(row["number"]) for row in entry.recommendations if "number" in row]
    if not numbers:
        return ""
    said = [status(entry, number) for number in numbers]
    for wanted in ("NOT held", "held", "cannot tell"):
        found = [text for text in said if text.split(", ")[-1] == wanted]
        if found:
            return found[0]
    return next((text for text in said if text != "open"), "open")


def status(entry: AdviceEntry, recommendation: int) -> str:
    """`open`, `3 runs`, `held`, `3 runs, NOT held`."""
    runs, verdict = entry.runs_with(recommendation), entry.verdict_on(recommendation)
    parts = [f"{len(runs)} run{'s' * (len(runs) != 1)}"] if runs else []
    if verdict is not None:
        parts.append(_VERDICTS.get(str(verdict.verdict), str(verdict.verdict)))
    return ", ".join(parts) or "open"


def detail_lines(entry: AdviceEntry, width: int) -> list[str]:
    """Everything about one advice, in lines of at most `width`."""
    blocks = [
        _head(entry, width),
        _changes(entry, width),
        _became(entry, width),
        _rejected(entry, width),
        _apply(entry, width),
        list(_notes(entry, width)),
    ]
    lines: list[str] = []
    for block in blocks:
        lines += ([""] if lines and block else []) + block
    return lines


def _head(entry: AdviceEntry, width: int) -> list[str]:
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.started_utc_s))
    tail = f"  {entry.state}  {began}  {entry.host}"
    title = f" {entry.name}  "
    command = command_line(list(entry.command), max(8, width - len(title) - len(tail)))
    lines = [f"{title}{command}{tail}"]
    found = entry.document
    if entry.state == "running":
        return lines + [line for text in _running(entry) for line in _wrapped(text, width)]
    if not found:
        text = "It came to no end, and recommends nothing. To go on with it:"
        return [*lines, *_wrapped(f"{text} frugalwatch advise --resume {entry.name}", width)]
    spent = found.get("spent") or {}
    text = (
        f"Replayed {found.get('trials', '?')} times, {found.get('rounds', '?')} rounds to confirm"
    )
    if spent.get("wall_s") is not None:
        text += f", in {duration(spent['wall_s'])}; {_spent(found)} spent on it"
    lines += _wrapped(text + ".", width)
    basis = "joules of energy counters"
    if found.get("unit") == "cpu_s":
        basis = "CPU-seconds: there was no energy counter"
    resolution = found.get("resolution")
    if resolution is not None:
        basis += f". The program against itself differs by {resolution * 100:.1f} %"
    return lines + _wrapped(f"Compared in {basis}.", width)


def _place(entry: AdviceEntry) -> str:
    """`trial 17 of 60`, or how many there were where nothing was told."""
    trial, of = entry.progress.get("trial"), entry.progress.get("of")
    if trial is None:
        return f"at replay {entry.replays}"
    return f"trial {trial} of {of}" if of else f"trial {trial}"


def _running(entry: AdviceEntry) -> Iterator[str]:
    """How far it is, what it does just now, and what that has cost."""
    told = entry.progress
    if entry.gone:
        yield f"Cut short after {entry.replays} replays, which are kept. To go on with them:"
        yield f"frugalwatch advise --resume {entry.name}"
        return
    if not told:
        yield f"Being made, at replay {entry.replays}. Ctrl-C in its terminal keeps what is known."
        return
    parts = [f"Being made: {_place(entry)}"]
    if told.get("left_s") is not None:
        parts.append(f"about {duration(max(1.0, told['left_s']))} left")
    if told.get("spent_energy_j") is not None:
        parts.append(f"{energy(told['spent_energy_j'])} spent")
    elif told.get("spent_cpu_s") is not None:
        parts.append(f"{significant(told['spent_cpu_s'])} CPU-s spent")
    yield ", ".join(parts) + "."
    if told.get("trial") and told.get("of"):
        yield _bar((told["trial"] - 1) / told["of"])
    yield f"Now: {told.get('doing', '?')}. Ctrl-C in its terminal keeps what is known."


def _bar(share: float) -> str:
    """`[####----]  25 %`, in letters that every terminal has."""
    full = round(_BAR * min(1.0, max(0.0, share)))
    return f"[{'#' * full}{'-' * (_BAR - full)}] {share * 100:3.0f} %"


def _so_far(entry: AdviceEntry) -> list[str]:
    """What was replayed up to now, none of it confirmed."""
    if not entry.so_far:
        return []
    lines = [f"  {'So far, not confirmed':<{_CHANGE + 10}}{'Replays':>8}{'CPU-s of each':>15}"]
    for row in entry.so_far:
        used = "failed" if row.failed else "?" if row.cpu_s is None else significant(row.cpu_s)
        lines.append(
            f"  {_cut(row.variant, _CHANGE + 9):<{_CHANGE + 10}}{row.replays:>8}{used:>15}"
        )
    return lines


def _changes(entry: AdviceEntry, width: int) -> list[str]:
    if entry.state == "running":
        return _so_far(entry)
    if not entry.document:
        return []
    if not entry.recommendations:
        return _wrapped(f"It recommends nothing: {what_it_says(entry)}.", width)
    lines = [
        f"  {'#':<3}{'Change':<{_CHANGE}}{_unit(entry):<{_SAVING}}{'Time':<{_TIME}}"
        f"{'Output':<{_OUTPUT}}Since then"
    ]
    for row in entry.recommendations:
        number = int(row.get("number", 0))
        output = str((row.get("quality") or {}).get("finding", "?"))
        lines.append(
            f"  {number:<3}{_cut(str(row.get('name', '?')), _CHANGE - 1):<{_CHANGE}}"
            f"{change_with_bounds(row.get('ratio')):<{_SAVING}}"
            f"{change(row.get('wall_ratio')):<{_TIME}}{_cut(output, _OUTPUT - 1):<{_OUTPUT}}"
            f"{status(entry, number)}"
        )
        needs = (
            latency_in_words(row.get("latency")),
            memory_in_words(row.get("peak_memory_bytes")),
        )
        if any(needs):
            lines += _hanging("; ".join(n for n in needs if n), width)
    return lines


def _became(entry: AdviceEntry, width: int) -> list[str]:
    """Runs that it was applied to, and each verification, promise beside measurement."""
    lines: list[str] = []
    for row in entry.recommendations:
        number = int(row.get("number", 0))
        runs = entry.runs_with(number)
        if runs:
            shown = ", ".join(map(str, runs[-12:]))
            lines += _wrapped(f"{entry.name}.{number} was applied to run {shown}.", width)
    for found in entry.verifications:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.started_utc_s))
        if found.verdict is None:
            text = "was not finished"
        else:
            measured = {"value": found.ratio, "low": found.low, "high": found.high}
            known = None not in (found.ratio, found.low, found.high)
            figures = f", measured {change_with_bounds(measured)}" if known else ""
            verdict = _VERDICTS.get(found.verdict, found.verdict)
            text = f"{verdict}{figures}. {found.reason}".rstrip()
        name = f"{entry.name}.{found.recommendation}"
        lines += _wrapped(f"Verified {name} on {when}, {found.host}: {text}", width)
    return lines


def _rejected(entry: AdviceEntry, width: int) -> list[str]:
    lines: list[str] = []
    for row in _listed(entry.document, "not_recommended"):
        name, figure = str(row.get("name", "?")), change_with_bounds(row.get("ratio"))
        text = f"x {name}: {figure + ', ' if figure else ''}{row.get('verdict', '')}"
        if row.get("reason"):
            text += f": {row['reason']}"
        lines += _hanging(text, width)
    for row in _listed(entry.document, "not_tried"):
        lines += _hanging(f"- {row.get('technique', '?')}: {row.get('reason', '')}", width)
    return [" Not recommended", *lines] if lines else []


def _apply(entry: AdviceEntry, width: int) -> list[str]:
    if not entry.recommendations:
        return []
    first = entry.recommendations[0]
    lines = [
        f" Apply     frugalwatch run --with {entry.name} -- COMMAND",
        f" Verify    frugalwatch verify {entry.name}",
    ]
    shell = str(first.get("shell") or "").splitlines()
    if shell:
        lines += [" For good, number 1:", *(_cut(f"   {line}", width) for line in shell)]
    for name in ("for_good", "risk"):
        if first.get(name):
            text = f"risk: {first[name]}" if name == "risk" else str(first[name])
            lines += _hanging(text, width)
    return lines


def _notes(entry: AdviceEntry, width: int) -> Iterator[str]:
    for note in entry.document.get("notes") or ():
        yield from _hanging(f"note: {note}", width)


def _spent(document: Document) -> str:
    spent = document.get("spent") or {}
    if document.get("unit") == "energy_j" and spent.get("energy_j") is not None:
        return energy(spent["energy_j"])
    return "?" if spent.get("cpu_s") is None else f"{significant(spent['cpu_s'])} CPU-s"


def _unit(entry: AdviceEntry) -> str:
    return "Energy" if entry.document.get("unit") == "energy_j" else "CPU"


def _listed(document: Document, name: str) -> list[Document]:
    found = document.get(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=" ", subsequent_indent=" ")


def _hanging(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent="   ", subsequent_indent="     ")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."
