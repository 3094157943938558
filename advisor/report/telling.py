"""An advice as it is told in Markdown and on a page: one model, drawn from the stored document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from advisor.hot_spots import in_words
from advisor.report.applying import (
    assumptions,
    how_to_apply,
    reproduction,
)
from advisor.report.curve import Curve, curve
from advisor.report.facts import Change, Fact, Rejected, facts
from advisor.report.robustness import Robust, robust
from advisor.report.scale import Saving, Scale, saving
from advisor.report.serving import Serving, serving
from advisor.report.spent import spent_in_words
from advisor.report.terminal import nothing, workload_in_words
from advisor.report.words import Document, each, resolution, seconds, work_of
from frugalwatch.report import format as show
from frugalwatch.report.needs_text import latency_in_words, memory_in_words
from frugalwatch.report.ratio import change, change_with_bounds


class BaselineRow(NamedTuple):
    """What the program uses without any change."""

    name: str
    cells: list[str]


class Told(NamedTuple):
    """The whole of it, in words."""

    title: str
    command: str
    answer: str
    lead: list[str]
    baseline_heads: list[str]
    baselines: list[BaselineRow]
    changes: list[Change]
    rejected: list[Rejected]
    serving: Serving | None
    curve: Curve | None
    robust: Robust | None
    hot_spots: list[str]
    tried: list[Fact]
    notes: Sequence[str]
    assumed: list[str]
    reproduction: list[Fact]


def savings_of(document: Document, scale: Scale) -> list[Saving | None]:
    """What each recommendation saves in a request, and in a year where a rate was given."""
    return [saving(row, document, scale) for row in document["recommendations"]]


def scaled(document: Document, scale: Scale) -> dict[str, object]:
    """The document, with `per_request` and the grid's `carbon` where a rate was given."""
    if scale.requests_per_day is None:
        return dict(document)
    savings = savings_of(document, scale)
    return {
        **document,
        "recommendations": [
            {**row, "per_request": None if saved is None else saved.as_json()}
            for row, saved in zip(document["recommendations"], savings, strict=True)
        ],
        "carbon": None if scale.factor is None else scale.factor.as_json(),
    }


def told(document: Document, scale: Scale) -> Told:
    """Everything that the reports say."""
    rows, savings = document["recommendations"], savings_of(document, scale)
    heads, baselines = _baselines(document)
    first = savings[0] if savings else None
    return Told(
        title=f"FrugalWatch advice {document['advice']}",
        command=show.command_line(list(document["command"]), 400),
        answer=_answer(document, first),
        lead=_lead(document, scale),
        baseline_heads=heads,
        baselines=baselines,
        changes=[
            Change(
                str(row["number"]),
                row["name"],
                _headline(row, document),
                facts(row, document, saved, scale.factor),
                how_to_apply(row, document),
            )
            for row, saved in zip(rows, savings, strict=True)
        ],
        rejected=_rejected(document),
        serving=serving(document.get("trace")),
        curve=curve(document),
        robust=robust(document),
        hot_spots=in_words(document["hot_spots"]) if document.get("hot_spots") else [],
        tried=[Fact(r["technique"], r["reason"]) for r in document.get("tried") or ()],
        notes=list(document.get("notes") or ()),
        assumed=assumptions(document, first, scale.factor),
        reproduction=reproduction(document),
    )


def _answer(document: Document, first: Saving | None) -> str:
    """The answer in one sentence."""
    rows = document["recommendations"]
    if not rows:
        return nothing(document)
    row = rows[0]
    what = "energy" if document["unit"] == "energy_j" else "CPU time"
    ratio, of = row["ratio"], "of a run"
    if row.get("decided_by") == "unit":
        ratio, of = row["per_unit"]["ratio"], f"of a {work_of(document)['unit']}"
    elif row.get("decided_by") == "time":
        ratio, what = row["wall_ratio"], "time"
    text = f"{row['name']}: {change_with_bounds(ratio)} {what} {of}"
    if first is not None and row.get("decided_by") != "time":
        text += f", {each(first.cost.value, document['unit'], 2)} in each {first.unit}"
    return text


def _lead(document: Document, scale: Scale) -> list[str]:
    compared = "CPU-seconds and wall-seconds: no energy counter here"
    if document["unit"] == "energy_j":
        compared = "joules of this machine's energy counters"
    found = [
        *([f"{about}."] if (about := workload_in_words(document)) else []),
        f"Replayed {document['trials']} times, {document['rounds']} rounds to confirm, in"
        f" {show.duration(document['spent']['wall_s'])}; spent on it:"
        f" {spent_in_words(document, scale.settings, scale.factor)}.",
        f"Compared in {compared}.",
    ]
    if document.get("resolution") is not None:
        found.append(
            f"Resolution {resolution(document['resolution'])}: the program against itself."
        )
    if document.get("state") == "interrupted":
        found.append(
            "It was interrupted: only the trials until then count. To go on:"
            f" frugalwatch advise --resume {document['advice']}"
        )
    return found


def _headline(row: Document, document: Document) -> str:
    what = "energy" if document["unit"] == "energy_j" else "CPU time"
    parts = [f"{change_with_bounds(row.get('ratio'))} {what}"]
    if row.get("wall_ratio"):
        parts.append(f"{change(row['wall_ratio'])} time")
    parts.append(f"output {(row.get('quality') or {}).get('finding', '?')}")
    return ", ".join(parts)


def _baselines(document: Document) -> tuple[list[str], list[BaselineRow]]:
    """A column for each figure that is known of any baseline."""
    cells = [_figures(b, document) for b in document["baselines"]]
    heads = [head for head in (cells[0] if cells else {}) if any(c[head] for c in cells)]
    return heads, [
        BaselineRow(b["name"], [c[head] for head in heads])
        for b, c in zip(document["baselines"], cells, strict=True)
    ]


def _figures(base: Document, document: Document) -> dict[str, str]:
    unit, work = document["unit"], work_of(document)
    joules, wall_s, one = (base.get(k) for k in ("energy_j", "wall_s", f"unit_{unit}"))
    return {
        "energy": "" if joules is None else show.energy(joules),
        "CPU": seconds(base.get("cpu_s"), "CPU-s"),
        "time": "" if wall_s is None else show.duration(wall_s),
        f"each {work.get('unit', 'unit')}": "" if one is None else each(one, unit),
        "latency": latency_in_words(base.get("latency")),
        "memory": memory_in_words(base.get("peak_memory_bytes")),
    }


def _rejected(document: Document) -> list[Rejected]:
    found = [
        Rejected(r["name"], _figure(r, document), r["verdict"], r.get("reason") or "")
        for r in document["not_recommended"]
    ]
    found += [Rejected(r["technique"], "", "not tried", r["reason"]) for r in document["not_tried"]]
    return found


def _figure(row: Document, document: Document) -> str:
    found = change_with_bounds(row.get("ratio"))
    per_unit = (row.get("per_unit") or {}).get("ratio")
    if per_unit and work_of(document):
        found += f"; per {work_of(document)['unit']} {change_with_bounds(per_unit)}"
    return found
