"""What is said of one recommendation, point by point, whatever it is written in afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from advisor.report.scale import J_PER_KWH, Bounded, Saving
from advisor.report.words import Document, amount, each, plural, work_of
from frugalwatch.carbon.grid import GridFactor
from frugalwatch.report import format as show
from frugalwatch.report.needs_text import latency_in_words, memory_in_words, size_in_words
from frugalwatch.report.ratio import change_with_bounds

_VERDICTS = {"held": "held", "not_held": "did NOT hold", "cannot_tell": "cannot be told"}
# What each axis of a verdict is called.
_DECIDED = {
    "whole": "whole runs",
    "unit": "one unit of work: in runs this short the start hides it",
    "time": "time: it saves waiting",
}


class Fact(NamedTuple):
    """One point: `label` is short, `origin` is measured, modelled or empty."""

    label: str
    text: str
    origin: str = ""


class Change(NamedTuple):
    """One recommendation: its number, what it saves in a line, and everything about it."""

    number: str
    name: str
    headline: str
    facts: list[Fact]
    apply: list[Fact]


class Rejected(NamedTuple):
    """A change that was measured and is not recommended, or a technique that was not tried."""

    name: str
    figure: str
    verdict: str
    reason: str


def facts(
    row: Document, document: Document, saved: Saving | None, factor: GridFactor | None
) -> list[Fact]:
    """Everything about one recommendation but how to apply it."""
    return [
        *_saving(row, document, saved),
        *year(document, saved, factor),
        *_needs(row, document),
        *_quality(row),
        *_adopting(row, document, saved),
        *verified(row, document),
        *([Fact("Risk", row["risk"])] if row.get("risk") else []),
    ]


def _saving(row: Document, document: Document, saved: Saving | None) -> Iterator[Fact]:
    energy = document["unit"] == "energy_j"
    what = "Energy" if energy else "CPU time"
    yield Fact(f"{what} of a run", change_with_bounds(row.get("ratio")) or "unknown", "measured")
    per_unit = (row.get("per_unit") or {}).get("ratio")
    if per_unit and work_of(document):
        yield Fact(
            f"{what} of a {work_of(document)['unit']}", change_with_bounds(per_unit), "measured"
        )
    fair = (row.get("per_unit") or {}).get("versus_one_thread")
    if fair and work_of(document):
        what = f"against one thread, of a {work_of(document)['unit']}"
        yield Fact(what.capitalize(), change_with_bounds(fair), "measured")
    if row.get("wall_ratio"):
        yield Fact("Time of a run", change_with_bounds(row["wall_ratio"]), "measured")
    if row.get("versus_one_thread"):
        yield Fact("Against one thread", change_with_bounds(row["versus_one_thread"]), "measured")
    if saved is not None:
        yield Fact(
            f"Saves in each {saved.unit}",
            saved.cost.in_words(lambda v, digits: each(v, document["unit"], digits)),
            "measured",
        )
        if not energy and saved.energy_j is not None:
            yield Fact(
                f"Energy of each {saved.unit}",
                f"saves ~{saved.energy_j.in_words(show.joules)}",
                "modelled",
            )
        elif not energy:
            yield Fact("Energy", "not claimed: without a counter this is a saving of CPU time only")
    yield Fact("Decided by", _DECIDED.get(row.get("decided_by", "whole"), ""))


def year(document: Document, saved: Saving | None, factor: GridFactor | None) -> Iterator[Fact]:
    """What it saves in a year, where a rate was given and the unit is known to be saved."""
    if saved is None or saved.requests_per_day is None or saved.year_cost is None:
        return
    rate = f"at {saved.requests_per_day:,.0f} {plural(saved.unit)} a day"
    origin = "modelled" if saved.modelled else "measured"
    if document["unit"] == "cpu_s":
        hours = saved.year_cost.times(1 / 3600)
        yield Fact("A year", f"{hours.in_words(show.significant)} CPU-h {rate}", "measured")
    if saved.year_energy_j is None:
        return
    about = "~" if saved.modelled else ""
    kwh = saved.year_energy_j.times(1 / J_PER_KWH)
    yield Fact(
        "Energy a year",
        f"{about}{kwh.in_words(show.significant)} kWh {rate}",
        origin,
    )
    if saved.year_co2e is not None and factor is not None:
        found = saved.year_co2e
        carbon = Bounded(found.co2e_g, found.low_g, found.high_g).times(1e-3)
        yield Fact(
            "Carbon a year",
            f"{about}{carbon.in_words(show.significant)} kg CO2e ({grid_in_words(factor)})",
            origin,
        )
    money = saved.year_money
    if money is not None:
        amounts = Bounded(money.amount, money.low, money.high)
        yield Fact(
            "Money a year",
            f"{about}{amounts.in_words(show.significant)} {money.currency}"
            f" (at {money.price_per_kwh:g} {money.currency} a kWh)",
            origin,
        )


def grid_in_words(factor: GridFactor) -> str:
    """Zone, year, kind and source of a gram, and whether anybody chose it."""
    assumed = "assumed: " if factor.assumed else ""
    return (
        f"{assumed}{factor.zone_name} {factor.year}, {factor.g_per_kwh:.0f} g/kWh,"
        f" {factor.kind}, {factor.source}"
    )


def _needs(row: Document, document: Document) -> Iterator[Fact]:
    base = (document.get("baselines") or [{}])[0]
    for label, key, words in (
        ("Latency", "latency", latency_in_words),
        ("Peak memory", "peak_memory_bytes", memory_in_words),
    ):
        now, before = words(row.get(key)), words(base.get(key))
        if now:
            yield Fact(label, f"{now}; as written {before or 'unknown'}", "measured")
    if row.get("file_bytes") is not None:
        yield Fact("Size on disk", size_in_words(row["file_bytes"]), "measured")
    if row.get("on_front"):
        yield Fact(
            "Pareto", "no other change is better in cost, latency, memory and quality at once"
        )


def _quality(row: Document) -> Iterator[Fact]:
    quality = row.get("quality") or {}
    yield Fact("Output", _sentence(quality.get("finding", "?"), quality.get("reason")))
    for gate in gates_of(quality):
        yield Fact("Quality", gate_in_words(gate), "measured")


def gates_of(quality: Document) -> list[Document]:
    """What gates found, whether there is one or several."""
    found = quality.get("gates") or quality.get("gate") or []
    return [found] if isinstance(found, dict) else [g for g in found if isinstance(g, dict)]


def gate_in_words(gate: Document) -> str:
    """What a gate says, with its value, bounds and limit where its sentence lacks them."""
    parts = [str(gate.get("sentence") or gate.get("measure") or "")]
    value, low, high = (gate.get(key) for key in ("value", "low", "high"))
    if value is not None and low is not None and high is not None:
        parts.append(f"{value:.4g} (between {low:.4g} and {high:.4g}), limit {gate.get('limit')}")
    if gate.get("judged"):
        parts.append(f"judged on {gate['judged']} inputs")
    return "; ".join(part for part in parts if part)


def _adopting(row: Document, document: Document, saved: Saving | None) -> Iterator[Fact]:
    yield Fact("Cost to adopt", row.get("one_off") or "nothing")
    if row.get("needs"):
        needs = row["needs"]
        yield Fact("Needs", needs if isinstance(needs, str) else ", ".join(map(str, needs)))
    per_unit, work = row.get("per_unit") or {}, work_of(document)
    for label, key in (("First start", "first_start_extra"), ("Each start", "start_extra")):
        if per_unit.get(key) is not None:
            sign = "+" if per_unit[key] >= 0 else "-"
            yield Fact(
                label, f"{sign}{amount(abs(per_unit[key]), document['unit'], 2)}", "measured"
            )
    if per_unit.get("pay_back_units") is not None and work:
        count = per_unit["pay_back_units"]
        yield Fact("Start pays back", f"after {count:,} {plural(work['unit'])} of a run", "derived")
    if saved is not None and saved.pay_back_requests is not None:
        text = f"after {saved.pay_back_requests:,} {plural(saved.unit)}"
        if saved.pay_back_days is not None:
            text += f", which is {_days(saved.pay_back_days)}"
        yield Fact("Finding it pays back", f"{text} (all replays of this advice)", "derived")


def verified(row: Document, document: Document) -> Iterator[Fact]:
    """What `verify` found of one recommendation, each time; the oldest first."""
    for found in document.get("verifications") or ():
        if found["recommendation"] != row["number"] or not found["verdict"]:
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found["started_utc_s"]))
        text = f"{_VERDICTS.get(found['verdict'], found['verdict'])}, {when}, {found['host']}"
        if None not in (found["ratio"], found["low"], found["high"]):
            measured = {"value": found["ratio"], "low": found["low"], "high": found["high"]}
            text += f": {change_with_bounds(measured)}"
        yield Fact("Verified", f"{text}. {found['reason']}".rstrip(), "measured")


def _days(days: float) -> str:
    if days < 0.1:
        return f"{show.duration(days * 86400)} at that rate"
    return f"{show.significant(days, 2)} days at that rate"


def _sentence(finding: str, reason: str | None) -> str:
    return f"{finding}: {reason}" if reason else finding
