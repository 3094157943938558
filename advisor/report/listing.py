"""All stored advice, one line for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from advisor.document import decisive_ratio
from advisor.report.words import cut
from frugalwatch.report import format as show
from frugalwatch.report.ratio import change_with_bounds

if TYPE_CHECKING:
    from frugalwatch.ledger.advice import StoredAdvice


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
            name, decided_by = cut(entries[0]["name"], 20), entries[0].get("decided_by")
            unit = "time" if decided_by == "time" else unit
            each = f"/{advice.result['work']['unit']}" if decided_by == "unit" else ""  # type: ignore[index]
            best = f"{name}: {unit}{each} {change_with_bounds(decisive_ratio(entries[0]))}"
        command = show.command_line(list(advice.command), 40)
        lines.append(f"{advice.name:<8}{advice.state:<13}{best:<46}{command}")
    return "\n".join(lines)


def _outcome(document: Mapping[str, Any]) -> str:
    """What an advice without recommendations came to."""
    verdicts = {row["verdict"] for row in document["not_recommended"]}
    failed = any(n.startswith("the program as written failed") for n in document["notes"])
    return "no verdict" if failed or "not confirmed" in verdicts else "nothing worth doing"
