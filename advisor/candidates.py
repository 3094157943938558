"""What is worth a trial on a workload, and what is built for it."""

from __future__ import annotations

from advisor.choosing import answer_of
from advisor.document import Answer
from advisor.options import Options
from advisor.preparing import prepared
from advisor.techniques import Family, techniques
from advisor.techniques.base import Applicability, Facts, Variant
from advisor.techniques.threads import VARIABLES, one_thread
from advisor.techniques.torch_facts import NO_TORCH
from advisor.workshop import COMPRESS_S, Workshop

# Of the budget: what each recipe that changes the model may take; there are two.
_COMPRESSING_SHARE = 0.25
# Of that, once more: what searching for the best combination of what came out may take.
_SEARCHING_SHARE = 0.3
_SEARCHING_AT_LEAST_S = 30.0


def candidates(
    facts: Facts,
    *,
    hook: bool = True,
    bench: Workshop | None = None,
    family: Family = "runtime",
) -> tuple[list[Variant], list[Answer]]:
    """What is worth a trial on this workload, and every technique's answer with its reason.

    What needs something built first gets it on the `bench`, or says why that cannot be.
    """
    entrants: list[Variant] = []
    answers: list[Answer] = []
    reason = NO_TORCH if hook else "the hook is switched off in your configuration"
    if facts.inside is None:
        answers.append(Answer("inside the program", Applicability(False, reason)))
    for technique in techniques(hook=facts.inside is not None, family=family):
        if bench is not None and bench.interrupted:
            break
        answer = answer_of(technique, facts)
        variants, refusals = prepared(technique, facts, bench) if answer.yes else ([], [])
        if variants or not refusals:
            answers.append(Answer(technique.name, answer))
        answers += refusals
        entrants += variants
    # What the user insists on comes first: time may run out.
    return sorted(entrants, key=lambda v: v.technique not in facts.included), answers


def tell_limits(bench: Workshop, options: Options) -> None:
    """How long what is built on the bench may take, and what it must keep."""
    bench.compress_s = _compress_s(options.plan.budget.time_s)
    bench.limit = options.gate.max_drop_points / 100
    bench.gate, bench.seed = options.gate, options.plan.seed
    bench.student = options.student
    bench.storage = options.storage
    bench.search_s = max(_SEARCHING_AT_LEAST_S, _SEARCHING_SHARE * bench.compress_s)


def _compress_s(budget_s: float | None) -> float:
    """What a recipe that changes the model may take: the rest is for measuring."""
    return COMPRESS_S if budget_s is None else _COMPRESSING_SHARE * budget_s


def fair_reference(facts: Facts, finalists: list[Variant]) -> Variant | None:
    """The fair second yardstick: one thread. None where the program has that already."""
    if facts.cpus < 2 or facts.threads_peak == 1:
        return None
    if all(facts.environment.get(name) == "1" for name in VARIABLES[:2]):
        return None
    change = one_thread(facts)
    same = [v for v in finalists if v.change == change]
    return same[0] if same else Variant("one thread", "reference", change)
