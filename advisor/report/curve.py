"""The curve of compression: what each combination costs and loses, and where to stop."""

from __future__ import annotations

from typing import NamedTuple

from advisor.report.words import Document
from frugalwatch.report.ratio import change

# Rows that a report has room for; all are in the JSON.
_MOST = 12


class CurveRow(NamedTuple):
    """One combination: CPU time of a request against the original, and how many answers moved."""

    name: str
    cost: str
    drift: str
    standing: str


class Curve(NamedTuple):
    """`lead` says how it was found and where to stop; rows from the dearest to the cheapest."""

    lead: list[str]
    rows: list[CurveRow]


def curve(document: Document) -> Curve | None:
    """None where nothing was searched."""
    found = document.get("compression")
    if not found or not found["points"]:
        return None
    tried = [p for p in found["points"] if not p["refused"]]
    shown = [p for p in tried if p["on_front"] or p["measured"]]
    shown.sort(key=lambda p: -p["cost_ratio"])
    rows = [
        CurveRow(p["name"], change_of(p["cost_ratio"]), _drift(p), _standing(p, document))
        for p in shown[-_MOST:]
    ]
    return Curve([*_lead(found, tried), _stop(found, document)], rows)


def change_of(ratio: float) -> str:
    """-86 % of the CPU time, and how many times less where that is many times."""
    text = change({"value": ratio})
    return f"{text} ({1 / ratio:.3g}x less)" if 0 < ratio < 0.5 else text


def _lead(found: Document, tried: list[Document]) -> list[str]:
    refused = len(found["points"]) - len(tried)
    text = (
        f"{len(found['points'])} of {found['space']} combinations of smaller models, precisions and"
        f" ways to serve were looked at on captured inputs, {refused} could not be built or would"
        f" not pay; {found['stopped']}. Seed {found['seed']}."
    )
    return [text, "Costs are of the model alone, against its export in 32-bit floats, one process."]


def _stop(found: Document, document: Document) -> str:
    """Where the measured rounds let it stop, which is not what a look promised."""
    names = {p["name"]: p for p in found["points"]}
    kept = [r for r in document["recommendations"] if r["name"] in names]
    if kept:
        best = min(kept, key=lambda r: float(names[r["name"]]["cost_ratio"]))
        return f"Where to stop: {best['name']}, the cheapest that was measured within the limit."
    within = [p for p in found["points"] if not p["refused"] and p["drift"] <= p["limit"]]
    if all(p["refused"] for p in found["points"]):
        return "Where to stop: it cannot be told; give it a larger --budget."
    if not within:
        return "Where to stop: at the original; every smaller one moves more answers than allowed."
    last = min(within, key=lambda p: float(p["cost_ratio"]))
    return (
        f"By the screening inputs it can go as far as {last['name']}; the measured rounds do not"
        " confirm a stack."
    )


def _drift(point: Document) -> str:
    return f"{100 * point['drift']:.1f} % (limit {100 * point['limit']:.3g} %)"


def _standing(point: Document, document: Document) -> str:
    for row in document["recommendations"]:
        if row["name"] == point["name"]:
            return f"{document['advice']}.{row['number']}: {row['verdict']}"
    for row in document["not_recommended"]:
        if row["name"] == point["name"]:
            return str(row["verdict"])
    if point["hopeless"]:
        return "surely beyond the limit"
    return "on the front" if point["on_front"] else ""
