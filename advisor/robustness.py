"""What is known of the winner beyond the requests that were replayed, and how to roll it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any  # what the document holds

from advisor.compression.building import calls_of
from advisor.gates.options import GateOptions
from advisor.gates.result import ENOUGH
from advisor.techniques.swapping import export, order, target
from advisor.workshop import CannotBuildError

if TYPE_CHECKING:
    from advisor.techniques.base import Facts
    from advisor.workshop import Workshop

# Steps of a careful change: shares of the traffic.
_SHARES = (0.01, 0.1, 0.5, 1.0)


def of_winner(
    bench: Workshop | None, facts: Facts, document: Mapping[str, Any], gate: GateOptions
) -> dict[str, object] | None:
    """The first recommendation under other conditions, if it is a model that was built.

    None where it is not, or computes what the original does. It takes a few seconds.
    """
    rows = document["recommendations"]
    if bench is None or not rows or not rows[0].get("artefact") or facts.sample is None:
        return None
    row = rows[0]
    if not row["quality"]["by_gate"]:
        return None
    found: dict[str, object] = {
        "of": row["name"],
        "artefact": row["artefact"],
        "seed": bench.seed,
        "conditions": [],
        "not_compared": None,
        "rollout": rollout(row),
    }
    try:
        source = export(facts, bench)
        asked = {
            **order(facts, source),
            "artefact": row["artefact"],
            "judging": [str(call.inputs_path) for call in calls_of(target(facts), "judging")],
            "limits": {name: gate.least(name) for name in ("agreement", "overlap", "error")},
            "seed": bench.seed,
        }
        found["conditions"] = bench.build("robustness", "robustness", asked).about["conditions"]
    except CannotBuildError as reason:
        found["not_compared"] = str(reason)
    return found


def rollout(row: Mapping[str, Any]) -> dict[str, object]:
    """How to bring a lossy change into production, and back."""
    watch = [
        "answers of both models on 1 % of the requests: how often they agree",
        "the run's notes: a call of another form goes to the original, and says why",
    ]
    latency = row.get("latency") or {}
    tail = latency.get("p99_s") or latency.get("p95_s")
    if tail:
        name = "p99" if latency.get("p99_s") else "p95"
        watch.append(f"{name} of a request: {tail * 1000:.3g} ms was measured here")
    if row.get("technique") in ("cascade", "early exit"):
        part = next((p for p in str(row.get("risk", "")).split("; ") if "alarm" in p), "")
        watch.append(f"how often it asks the original: {part}" if part else "its `alarm`")
    return {
        "shares": list(_SHARES),
        "requests_each": max(ENOUGH, 1000),
        "watch": watch,
        "back": "keep the original loaded (load(own=model)); take the two lines out again, or run"
        " without --with",
    }


def warning(found: Mapping[str, Any]) -> str:
    """What to say where answers fall apart on inputs that are a little other; empty if not."""
    conditions = found["conditions"]
    worst = None
    for each in conditions[1:]:
        if _beyond(each) and (worst is None or _distance(each) > _distance(worst)):
            worst = each
    if worst is None:
        return ""
    return (
        f"with inputs {worst['name']} it no longer keeps the limit: it knows what was captured, and"
        " little else"
    )


def _beyond(each: Mapping[str, Any]) -> bool:
    """Whether even the kind bound is beyond the limit."""
    if each["measure"] == "error":
        return bool(each["low"] > each["limit"])
    return bool(each["high"] < each["limit"])


def _distance(each: Mapping[str, Any]) -> float:
    return float(abs(each["value"] - each["limit"]))
