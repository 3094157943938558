"""An advice in Markdown, for an issue, a pull request or a page of notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from advisor.report.facts import Change, Fact, Rejected
from advisor.report.scale import Scale
from advisor.report.telling import Told, told
from advisor.report.words import Document

_CODE = frozenset({"Try it", "Measure it again", "In a shell", "In your code"})


def markdown(document: Document, scale: Scale) -> str:
    """The whole report."""
    found = told(document, scale)
    lines = [f"# {found.title}", "", f"`{found.command}`", "", f"**{_plain(found.answer)}**", ""]
    lines += [*found.lead, ""]
    if found.baselines:
        lines += ["Measured, the middle of all rounds that count:", ""]
        lines += _table(
            ["as it is", *found.baseline_heads], ([b.name, *b.cells] for b in found.baselines)
        )
    for change in found.changes:
        lines += _change(change)
    if found.serving is not None:
        lines += ["## Replayed on its requests", ""]
        lines += [f"- {_plain(sentence)}" for sentence in found.serving.lead]
        lines += [""]
        for change in found.serving.changes:
            lines += _change(change)
        lines += _not_recommended(found.serving.rejected, "### Of these not recommended")
    if found.curve is not None:
        lines += ["## The curve of compression", ""]
        lines += [*(f"- {_plain(sentence)}" for sentence in found.curve.lead), ""]
        lines += _table(["combination", "CPU time", "answers that moved", ""], found.curve.rows)
    if found.robust is not None:
        lines += ["## The first one on other requests", "", f"- {_plain(found.robust.lead)}"]
        lines += [f"- Warning: {_plain(found.robust.warning)}"] if found.robust.warning else []
        lines += ["", *_table(["requests", "what stays"], found.robust.rows)]
        lines += ["### To roll it out", ""]
        lines += [*(f"- {_plain(sentence)}" for sentence in found.robust.rollout), ""]
    if found.hot_spots:
        lines += ["## What is not the model", ""]
        lines += [*(f"- {_plain(sentence)}" for sentence in found.hot_spots), ""]
    lines += _rest(found)
    return "\n".join(lines).rstrip() + "\n"


def _change(change: Change) -> Iterator[str]:
    yield from (f"## {change.number}. {_plain(change.name)}", "", _plain(change.headline), "")
    yield from _table(["", "", "known by"], ([f.label, f.text, f.origin] for f in change.facts))
    yield from ("### Apply it", "")
    for fact in change.apply:
        if fact.label in _CODE:
            language = "python" if fact.label == "In your code" else "sh"
            yield from (f"{fact.label}:", "", f"```{language}", fact.text, "```", "")
        else:
            yield from (f"{fact.label}: {_plain(fact.text)}", "")


def _rest(found: Told) -> Iterator[str]:
    yield from _not_recommended(found.rejected, "## Not recommended")
    for title, facts in (("Tried, since", found.tried), ("To repeat it", found.reproduction)):
        if facts:
            yield from (f"## {title}", "")
            yield from (_item(fact) for fact in facts)
            yield ""
    for title, sentences in (("What was assumed", found.assumed), ("Notes", found.notes)):
        if sentences:
            yield from (f"## {title}", "")
            yield from (f"- {_plain(sentence)}" for sentence in sentences)
            yield ""


def _not_recommended(rows: list[Rejected], title: str) -> Iterator[str]:
    if rows:
        yield from (title, "")
        yield from _table(
            ["change", "measured", "verdict", "reason"],
            ([r.name, r.figure, r.verdict, r.reason] for r in rows),
        )


def _item(fact: Fact) -> str:
    return f"- {fact.label}: {_plain(fact.text)}"


def _table(heads: list[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [_row(heads), "|" + " --- |" * len(heads)]
    return [*lines, *(_row(row) for row in rows), ""]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """One line in which nothing is markup: names of classes and files hold `_` and `*`."""
    line = " ".join(text.split())
    for mark in "\\`*_<>[]":
        line = line.replace(mark, f"\\{mark}")
    return line
