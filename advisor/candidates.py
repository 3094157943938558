"""What is worth a trial on a workload, and what is built for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from advisor.choosing import answer_of
from advisor.document import Answer
from advisor.options import Options
from advisor.preparing import prepared
from advisor.techniques import Family, techniques
from advisor.techniques.base import Applicability, Builds, Facts, Variant
from advisor.techniques.threads import VARIABLES, one_thread
from advisor.techniques.torch_facts import NO_TORCH
from advisor.workshop import COMPRESS_S, Workshop

# Of the budget: what each recipe that changes the model may take; there are two.
_COMPRESSING_SHARE = 0.25
# Of that, once more: what searching for the best combination of what came out may take.
_SEARCHING_SHARE = 0.3
_SEARCHING_AT_LEAST_S = 30.0
NO_TIME_TO_BUILD = Applicability(False, "there was no time to build it: a larger --budget")


def candidates(
    facts: Facts,
    *,
    hook: bool = True,
    bench: Workshop | None = None,
    family: Family = "runtime",
    is_late: Callable[[], bool] = lambda: False,
    first: Callable[[Variant], None] = lambda _: None,
) -> tuple[list[Variant], list[Answer]]:
    """What is worth a trial on this workload, and every technique's answer with its reason.

    What needs something built first gets it on the `bench`, or says why that cannot be. Once it
    `is_late` nothing more is built but what the user insists on. `first` gets the first thing that
    runs the model otherwise and loses nothing, before anything else is built: whoever waits may
    have a sign early.
    """
    entrants: list[Variant] = []
    answers: list[Answer] = []
    waits = True
    reason = NO_TORCH if hook else "the hook is switched off in your configuration"
    if facts.inside is None:
        answers.append(Answer("inside the program", Applicability(False, reason)))
    for technique in techniques(hook=facts.inside is not None, family=family):
        if bench is not None and bench.interrupted:
            break
        answer = answer_of(technique, facts)
        builds = isinstance(technique, Builds) and technique.name not in facts.included
        if answer.yes and builds and is_late():
            answers.append(Answer(technique.name, NO_TIME_TO_BUILD))
            continue
        variants, refusals = prepared(technique, facts, bench) if answer.yes else ([], [])
        if variants or not refusals:
            answers.append(Answer(technique.name, answer))
        answers += refusals
        entrants += variants
        safe = next((v for v in variants if "replace" in v.change.switches and not v.lossy), None)
        if waits and safe:
            waits = False
            first(safe)
    # What the user insists on comes first: time may run out.
    return sorted(in_order(entrants), key=lambda v: v.technique not in facts.included), answers


def in_order(entrants: Sequence[Variant]) -> list[Variant]:
    """The entrants, where those whose cost was seen change places: what promises most goes first.

    That is the cheapest of those that lose nothing, which any limit lets through, and then the
    others by cost.
    """
    places = [place for place, v in enumerate(entrants) if v.cost is not None]
    by_cost = sorted((entrants[place] for place in places), key=lambda v: v.cost or 0.0)
    safe = next((v for v in by_cost if not v.lossy), None)
    found = list(entrants)
    for place, variant in zip(places, sorted(by_cost, key=lambda v: v is not safe), strict=True):
        found[place] = variant
    return found


def tell_limits(bench: Workshop, options: Options) -> None:
    """How long what is built on the bench may take, and what it must keep."""
    bench.compress_s = _compress_s(options.plan.budget.time_s)
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
