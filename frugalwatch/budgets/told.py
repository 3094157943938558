"""What became of a run's budgets and alerts, read back from its events: for the run object.

The figures are those of the settled run, so they agree with its energy, carbon and cost to the last
digit; what was judged while it ran may have been a look short of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from frugalwatch.budgets.grammar import BadBudgetError, Budget, parse_budget
from frugalwatch.budgets.judge import Figure, rate, used, verdict

if TYPE_CHECKING:
    from frugalwatch.carbon.grid import GridFactor
    from frugalwatch.config.settings import Settings
    from frugalwatch.report.window import Span

_Row: TypeAlias = tuple[str, str, int, str]


def budgets_and_alerts(
    connection: sqlite3.Connection,
    run_id: int,
    energy: Figure | None,
    window: Span,
    *,
    factor: GridFactor,
    settings: Settings,
) -> dict[str, object]:
    """The keys `budgets` and `alerts` of the run object. `energy`: see `judged_energy`."""
    rows: list[_Row] = connection.execute(
        "SELECT kind, cause, t_mono_ns, detail FROM event WHERE run_id = ?"
        " AND (kind LIKE 'budget%' OR kind LIKE 'alert%' OR kind = 'job_signalled')"
        " ORDER BY t_mono_ns, id",
        (run_id,),
    ).fetchall()
    signalled = next((row[2] for row in rows if row[0] == "job_signalled"), None)
    budgets: list[dict[str, object]] = []
    for kind, text, _, detail in rows:
        if kind not in ("budget", "budget_term"):
            continue
        try:
            budget = parse_budget(text)
        except BadBudgetError:  # of a newer version
            continue
        found = _budget(budget, energy, factor, settings)
        passed = _first(rows, text, ("budget_passed", "budget_exceeded"))
        exceeded = _first(rows, text, ("budget_exceeded",))
        ends_job = kind == "budget_term"
        budgets.append(
            {
                **found,
                "judged_by": detail,
                "on_exceed": "term" if ends_job else "warn",
                "passed_s": _seconds(passed, window),
                "exceeded_s": _seconds(exceeded, window),
                "signalled_s": _seconds(signalled, window) if ends_job and exceeded else None,
            }
        )
    return {"budgets": budgets, "alerts": _alerts(rows, window)}


def judged_energy(document: Mapping[str, object]) -> Figure | None:
    """Joules of all counted devices of a run; the lower bound is the job's where others ran too."""
    found: Figure | None = None
    for prefix, names in (
        ("", ("energy_j", "energy_low_j", "energy_high_j")),
        ("estimated_", ("estimated_j", "estimated_low_j", "estimated_high_j")),
    ):
        value, low, high = (document[name] for name in names)
        if document["headline"] == "job_share":
            share = document[f"{prefix}job_share_low_j"]
            low = low if share is None else share
        if isinstance(value, float) and isinstance(low, float) and isinstance(high, float):
            before = found or Figure(0.0, 0.0, 0.0)
            found = Figure(before.value + value, before.low + low, before.high + high)
    return found


def _budget(
    budget: Budget, energy: Figure | None, factor: GridFactor, settings: Settings
) -> dict[str, object]:
    figure: Figure | None = None
    if energy is not None:
        each = rate(budget, factor, settings)
        figure = used(energy, each)
    return {
        "budget": budget.text,
        "measure": budget.measure,
        "unit": budget.unit,
        "limit": budget.amount,
        "used": None if figure is None else figure.value,
        "used_low": None if figure is None else figure.low,
        "used_high": None if figure is None else figure.high,
        "verdict": None if figure is None else verdict(budget, figure),
    }


def _alerts(rows: list[_Row], window: Span) -> list[dict[str, object]]:
    return [
        {
            "alert": text,
            "crossings": sum(1 for row in rows if row[:2] == ("alert", text)),
            "first_s": _seconds(_first(rows, text, ("alert",)), window),
            "judged": ("alert_unjudged", text) not in {row[:2] for row in rows},
            "last": next((r[3] for r in reversed(rows) if r[:2] == ("alert", text)), None),
        }
        for kind, text, _, _ in rows
        if kind == "alert_set"
    ]


def _first(rows: list[_Row], text: str, kinds: tuple[str, ...]) -> int | None:
    return next((t for kind, cause, t, _ in rows if kind in kinds and cause == text), None)


def _seconds(t_mono_ns: int | None, window: Span) -> float | None:
    return None if t_mono_ns is None else (t_mono_ns - window.begin) / 1e9


def budget_words(found: Mapping[str, object], origin: object) -> str:
    """`0.31 Wh used, 62 %; kept`, for a row of the summary that begins with the budget."""
    from frugalwatch.budgets.words import used_words
    from frugalwatch.report.format import significant

    budget = parse_budget(str(found["budget"]))
    value, low, high = found["used"], found["used_low"], found["used_high"]
    if not isinstance(value, float) or not isinstance(low, float) or not isinstance(high, float):
        return "what was used is unknown"
    figure = Figure(value, low, high)
    words = used_words(budget, figure, modelled=origin != "measured")
    ended = "; the job was sent SIGTERM" if found["signalled_s"] is not None else ""
    part = significant(value / budget.amount * 100, 2 if origin != "measured" else 3)
    return f"{found['verdict']}: {part} %, {words}{ended}"
