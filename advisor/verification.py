"""Whether a promised saving still holds: fresh rounds with and without, judged by intervals."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from advisor import store
from advisor.document import decisive_ratio
from advisor.first_replay import check_first
from advisor.options import Options
from advisor.quality import Computed, Loss, Metric, Quality, judge
from advisor.ranking import (
    FIGURES,
    PER_UNIT,
    Question,
    Unit,
    against_itself,
    resolution,
)
from advisor.replay import Replayer
from advisor.search import Search
from advisor.setting import isolation_in_words, noisy_neighbours, private_folder
from advisor.standing import Standing
from advisor.statistics import Ratio, ratio
from advisor.techniques.base import Change, Variant
from advisor.trials import BASELINES, Figure, Trial, Trials, wall_s
from advisor.verdicts import TOO_NOISY, DecidedBy
from advisor.workload import Workload
from frugalwatch.errors import FrugalWatchError
from frugalwatch.ledger.advice import Recommendation, StoredAdvice

SCHEMA = "frugalwatch.verification/1"

Verdict: TypeAlias = Literal["held", "not_held", "cannot_tell"]


def verdict(
    promised_high: float, measured: Ratio | None, itself: float | None
) -> tuple[Verdict, str]:
    """Compare what was measured with the cautious end of the promise, with the reason.

    Held: it saves, clearly, and at least the cautious end. Not held: it saves less than that by
    more than the program differs from itself (`itself`), which the intervals within one session do
    not hold. Between the two it cannot be told.
    """
    if measured is None:
        return "cannot_tell", "Too few rounds in the time that there was."
    if itself is None or itself > TOO_NOISY:
        return "cannot_tell", "The host is too noisy: the program differs as much from itself."
    if measured.low > promised_high * (1 + itself):
        return "not_held", "It saves clearly less than the cautious end of the promise."
    if measured.high < 1 and measured.value <= promised_high:
        return "held", "It saves at least the cautious end of the promise."
    return "cannot_tell", "It is too near to the cautious end of the promise to tell."


def verify(
    conn: sqlite3.Connection,
    advice: StoredAdvice,
    recommendation: Recommendation,
    workload: Workload,
    options: Options,
    *,
    tell: Callable[[Standing], None],
) -> dict[str, object]:
    """Measure again and return the document, which is stored as well.

    Raises CommandFailsError or CannotIsolateError; FrugalWatchError if the advice was given in
    joules and there is no counter now.
    """
    promise = _promise(advice, recommendation)
    change = Change(recommendation.set, recommendation.unset, recommendation.switches)
    variant = Variant(
        recommendation.name, "advice", change, pays_later=promise.decided_by == "unit"
    )
    number = store.begin_verification(conn, advice.id, recommendation.number)

    def keep(trial: Trial) -> None:
        store.add_trial(conn, advice.id, trial, number)

    with private_folder() as folder:
        replayer = Replayer(
            workload, options.isolation, folder, hook=options.hook, stop=options.stop
        )
        search = Search(
            replayer,
            options.plan,
            record=keep,
            tell=tell,
            metric=Metric(options.metric) if options.metric else lambda _: None,
        )
        first = search.look()
        check_first(first, "replayed without the change")
        if promise.unit == "energy_j" and first.energy_j is None:
            raise FrugalWatchError(
                "this advice promised joules, and there is no energy counter here",
                hint="frugalwatch doctor",
            )
        search.confirm(search.try_out([variant]))
        quality = judge(
            search.trials,
            variant.name,
            metric=options.metric is not None,
            tolerance=options.tolerance,
            switches=change.switches,
            computed=Computed(
                search.own_agreement,
                search.agreements,
                learns=replayer.inside is not None and replayer.inside.learns,
            ),
            loss=_loss(advice, recommendation, options),
        )
    document = _document(advice, recommendation, workload, options, search.trials, promise, quality)
    document["state"] = "interrupted" if search.interrupted else "done"
    store.finish_verification(conn, number, document)
    return document


def _loss(advice: StoredAdvice, recommendation: Recommendation, options: Options) -> Loss | None:
    """How the change was judged then, if it was by a gate: by the same one now."""
    was: Mapping[str, Any] = _entry(advice, recommendation).get("quality") or {}
    if not was.get("by_gate"):
        return None
    return Loss(options.gate, tuple(was.get("calibrated") or ()))


def _entry(advice: StoredAdvice, recommendation: Recommendation) -> dict[str, Any]:
    entries = cast("list[dict[str, Any]]", advice.result["recommendations"])
    return next(e for e in entries if e["number"] == recommendation.number)


class _Promise(NamedTuple):
    """What was promised: a ratio of whole runs, of what each unit of work costs, or of time."""

    unit: Unit
    ratio: Mapping[str, float]
    decided_by: DecidedBy

    @property
    def figure(self) -> Figure:
        if self.decided_by == "time":
            return wall_s
        return (PER_UNIT if self.decided_by == "unit" else FIGURES)[self.unit]


def _promise(advice: StoredAdvice, recommendation: Recommendation) -> _Promise:
    entry = _entry(advice, recommendation)
    decided_by: DecidedBy = entry.get("decided_by", "whole")
    return _Promise(cast(Unit, advice.result["unit"]), decisive_ratio(entry), decided_by)


def _document(  # noqa: PLR0917 - one call, all of it needed
    advice: StoredAdvice,
    recommendation: Recommendation,
    workload: Workload,
    options: Options,
    trials: Trials,
    promise: _Promise,
    quality: Quality,
) -> dict[str, object]:
    seed = options.plan.seed
    names = [b.name for b in BASELINES]
    name = recommendation.name

    pairs = trials.pairs(name, names, promise.figure, "confirmation")
    measured = ratio(pairs, seed=seed)
    wall = ratio(trials.pairs(name, names, wall_s, "confirmation"), seed=seed)
    itself = resolution(against_itself(trials, Question(promise.unit, seed), promise.figure))
    answer, reason = verdict(promise.ratio["high"], measured, itself)
    unapplied = [r.why for r in trials.replays(name) if r.state == "not applied"]
    failed = [r for r in trials.replays(name) if r.state in ("failed", "timeout")]
    if unapplied:
        answer, reason = "not_held", f"It could not be applied: {unapplied[0]}."
    elif failed:
        answer, reason = "not_held", "The program fails with the change."
    elif not quality.acceptable:
        answer, reason = "not_held", f"It changes the answers: {quality.reason}."
    elif not quality.settled:
        answer, reason = "cannot_tell", f"Whether the answers stay: {quality.reason}."
    return {
        "schema": SCHEMA,
        "advice": advice.name,
        "recommendation": recommendation.number,
        "name": name,
        "command": list(workload.masked),
        "host": os.uname().nodename,
        "promised_on": advice.result.get("host"),
        "unit": promise.unit,
        "decided_by": promise.decided_by,
        "verdict": answer,
        "reason": reason,
        "promised": dict(promise.ratio),
        "ratio": None if measured is None else measured.as_json(),
        "wall_ratio": None if wall is None else wall.as_json(),
        "resolution": itself,
        "rounds": len(pairs),
        "quality": {
            "finding": quality.finding,
            "reason": quality.reason,
            "gate": None if quality.gate is None else quality.gate.as_json(),
        },
        "isolation": isolation_in_words(options.isolation),
        "notes": _notes(advice, workload),
    }


def _notes(advice: StoredAdvice, workload: Workload) -> list[str]:
    notes = []
    if advice.result.get("host") != os.uname().nodename:
        notes.append(f"the promise was made on another machine ({advice.result.get('host')})")
    if advice.command != workload.masked or advice.cwd != workload.cwd:
        notes.append("the promise was made for another command or folder")
    neighbours = noisy_neighbours()
    return [*notes, neighbours] if neighbours else notes
