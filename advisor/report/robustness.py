"""The winner under other conditions, and how to roll it out, in words."""

from __future__ import annotations

from typing import NamedTuple

from advisor.gates.intervals import Interval
from advisor.gates.result import bounds, percent
from advisor.report.words import Document
from advisor.robustness import warning

_MEASURES = {
    "agreement": "the same class",
    "overlap": "of the nearest neighbours stay",
    "error": "off by at most",
    "tokens": "of the tokens stay",
}


class Robust(NamedTuple):
    """`rows` are conditions and what stayed; `warning` may be empty; `rollout` are sentences."""

    lead: str
    rows: list[tuple[str, str]]
    warning: str
    rollout: list[str]


def robust(document: Document) -> Robust | None:
    """None where nothing lossy was recommended."""
    found = document.get("robustness")
    if not found:
        return None
    lead = f"{found['of']}, against the original on captured inputs that chose nothing."
    if found.get("not_compared"):
        lead = f"{found['of']} was not compared on other inputs: {found['not_compared']}."
    rows = [(each["name"], _kept(each)) for each in found["conditions"]]
    said = warning(found) if found["conditions"] else ""
    return Robust(lead, rows, said, _rollout(found["rollout"]))


def _kept(each: Document) -> str:
    value = Interval(each["value"], each["low"], each["high"])
    text = f"{bounds(value)} {_MEASURES[each['measure']]}"
    if each["measure"] == "error":
        text = f"{_MEASURES['error']} {bounds(value)}"
    worst = each.get("worst_class")
    if worst and worst["value"] < 1:
        text += f"; class {worst['class']} {percent(worst['value'])} of {worst['inputs']}"
    return text


def _rollout(found: Document) -> list[str]:
    shares = ", ".join(percent(share) for share in found["shares"])
    return [
        f"Give it {shares} of the traffic in turn, {found['requests_each']:,} requests at least"
        " each.",
        f"Watch {'; '.join(found['watch'])}.",
        f"Back: {found['back']}.",
    ]
