"""From what is worth a trial to what is confirmed: who goes on, who does not, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

from advisor.candidates import fair_reference
from advisor.document import Answer
from advisor.options import Options
from advisor.same_answers import same_answers
from advisor.search import Search
from advisor.stacking import by_promise
from advisor.techniques.base import Applicability, Facts, Variant
from advisor.trials import Figure

# Of what is left after building: after that nothing further is tried out, so that what works can be
# measured.
_TRYING_SHARE = 0.3
_NO_TIME = Applicability(False, "there was no time to try it: a larger --budget")


@dataclass(frozen=True, slots=True)
class Selected:
    """`confirmed` is what fresh rounds measure: the best, and stacks of them.

    `entrants` are all that anything can be said of, `answers` the reasons of the others.
    """

    confirmed: list[Variant]
    entrants: list[Variant]
    answers: list[Answer]


def selected(
    search: Search, options: Options, entrants: list[Variant], facts: Facts, figure: Figure
) -> Selected:
    """Try the entrants out, screen them, and stack the best."""
    search.yardstick = fair_reference(facts, entrants)
    working = same_answers(search, options, entrants, facts, share=_TRYING_SHARE)
    finalists = [
        v
        for v in search.screen(working, figure, facts.included)
        if v.technique in facts.included or search.screened(v, figure) < 1
    ]
    finalists = same_answers(search, options, finalists, facts)
    stacked = by_promise(finalists)
    unseen = [
        v for v in working if v == search.yardstick and math.isinf(search.screened(v, figure))
    ]
    stacked += unseen  # it is measured beside them in any case
    confirmed = search.stacks(same_answers(search, options, stacked, facts), figure)
    entrants = [*entrants, *(v for v in stacked if v not in entrants)]
    out = {*search.untried, *search.passed_over}
    answers = [Answer(name, _NO_TIME) for name in search.untried]
    answers += [Answer(n, Applicability(False, why)) for n, why in search.passed_over.items()]
    return Selected(confirmed, [v for v in entrants if v.name not in out], answers)
