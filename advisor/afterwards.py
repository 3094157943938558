"""What is measured after the search: power limits, copies side by side, serving, robustness."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from advisor.beside import beside
from advisor.document import Answer
from advisor.options import Options
from advisor.power_limit.sweep import swept
from advisor.replay import Replayer
from advisor.robustness import of_winner
from advisor.search import Search
from advisor.side_by_side import NAME, SideBySide, applies, side_by_side
from advisor.techniques.base import Applicability, Facts, Variant
from advisor.trials import BASE
from advisor.workshop import Workshop


def afterwards(  # noqa: PLR0917 - one call, all of it needed
    search: Search,
    replayer: Replayer,
    facts: Facts,
    options: Options,
    swaps: Sequence[Variant],
    notes: list[str],
    answers: list[Answer],
) -> dict[str, object]:
    """What is found beside the search, unless the user has ended it or it is overdue.

    What came of power limits and copies is added to the `notes`, or why not to the `answers`.
    """
    nothing: dict[str, object] = {
        "trace": None,
        "hot_spots": None,
        "power_limit": None,
        "side_by_side": None,
    }
    if search.interrupted or search.unreliable:
        return nothing
    try:
        sweep = swept(
            replayer,
            facts,
            allowed=options.power_limit,
            time_s=options.plan.budget.time_s,
            seed=options.plan.seed,
            tell=search.say,
        )
        shared = _side_by_side(search, replayer, facts, options)
        for name, each in (("power limit", sweep), (NAME, shared)):
            if each is not None and each.why_not:
                answers.append(Answer(name, Applicability(False, each.why_not)))
            elif each is not None:
                notes += each.in_words()
        found = beside(
            replayer,
            facts,
            time_s=options.plan.budget.time_s,
            left_s=search.left_s(),
            latency_limit_s=options.limits.latency_s,
            seed=options.plan.seed,
            swaps=swaps,
            gates=options.gate,
            tell=search.say,
        )
    except KeyboardInterrupt:
        search.interrupted = True
        return nothing
    return {
        **found,
        "power_limit": None if sweep is None else sweep.as_json(),
        "side_by_side": shared.as_json(),
    }


def _side_by_side(search: Search, replayer: Replayer, facts: Facts, options: Options) -> SideBySide:
    """Copies of the program at once, where there is time for it or the user insists."""
    answer = applies(facts, replayer.work_kind)
    if not answer.yes:
        return SideBySide(facts.cpus, 0, why_not=answer.reason)
    own = search.trials.replays(BASE.name)
    round_s = 4.0 * max((r.wall_s or 0.0 for r in own), default=0.0)
    left_s = search.left_s()
    if 3 * round_s > left_s and NAME not in facts.included:
        hint = f"a larger --budget, or --include '{NAME}'"
        return SideBySide(facts.cpus, 0, why_not=f"there was no time to try it: {hint}")
    return side_by_side(
        replayer.workload,
        options.isolation,
        replayer.new_folder("copies"),
        facts.cpus,
        time_s=max(0.0, left_s / 2),
        seed=options.plan.seed,
        tell=search.say,
    )


def with_robustness(
    search: Search,
    built_by: tuple[Workshop, Facts] | None,
    options: Options,
    document: dict[str, object],
) -> dict[str, object]:
    """The document, with the winner on other inputs than those that were replayed.

    Not where the user has ended the search.
    """
    found: dict[str, object] | None = None
    if built_by is not None and not search.interrupted and not search.unreliable:
        with suppress(KeyboardInterrupt):
            found = of_winner(*built_by, document, options.gate)
    return {**document, "robustness": found}
