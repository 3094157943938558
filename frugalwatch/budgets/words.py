"""Budgets in words: how they are judged, and how much of one is used."""

from __future__ import annotations

from frugalwatch.budgets.grammar import Budget
from frugalwatch.budgets.judge import Figure, Rate
from frugalwatch.report.format import about, significant

PASSED_RULE = "a warning when the best figure is above it"
TERM_RULE = "SIGTERM, once, when even the lowest figure is above it"


def judged_by(each: Rate, *, ends_job: bool) -> str:
    """The rule, and what a joule counts: for events, which `show` prints."""
    rule = f"{PASSED_RULE}, {TERM_RULE}" if ends_job else PASSED_RULE
    return f"judged by {each.words}; {rule}"


def used_words(budget: Budget, figure: Figure, *, modelled: bool) -> str:
    """`1.2 Wh, 1.0 to 1.3`, in the unit of the budget; `~` and `modelled` where a model took part.

    The bounds are left out where they say no more than the figure.
    """
    digits = 2 if modelled else 3
    value, low, high = (significant(each / budget.scale, digits) for each in figure)
    text = f"{value} {budget.written}"
    text = f"{about(text)} modelled" if modelled else text
    if figure.low >= figure.value * 0.99 and figure.high <= figure.value * 1.01:
        return text
    return f"{text}, {'0' if figure.low * 1000 < figure.high else low} to {high}"
