"""From what a search has found to the document."""

from __future__ import annotations

from dataclasses import dataclass, field

from advisor.document import Answer, Setting, Work, advice_document
from advisor.inside import Inside
from advisor.notes import long_replays, notes_of, training_note
from advisor.options import Options
from advisor.ranking import Question, Unit, against_itself, judge_all, resolution
from advisor.same_answers import computed_by
from advisor.search import Search
from advisor.setting import isolation_in_words, model_power, usable_cpus
from advisor.techniques.base import Variant
from advisor.work_kind import WorkKind
from advisor.workload import Workload
from advisor.workshop import Cost


@dataclass(frozen=True, slots=True)
class Found:
    """What was tried, what was measured anew, and what is to be said of it."""

    unit: Unit
    entrants: list[Variant]
    finalists: list[Variant]
    answers: list[Answer]
    reference: Variant | None
    notes: list[str]
    inside: Inside | None
    work_kind: WorkKind = "unknown"
    building: Cost = field(default_factory=Cost)


def concluded(
    number: int,
    workload: Workload,
    options: Options,
    search: Search,
    found: Found,
) -> dict[str, object]:
    """The document of an advice, without what is measured after the search."""
    question = Question(
        found.unit,
        options.plan.seed,
        model_power() if found.unit == "cpu_s" else None,
        metric=options.metric is not None,
        tolerance=options.tolerance,
        computed=computed_by(search, found.inside),
        work=found.inside.units if found.inside is not None else 0,
        limits=options.limits,
        gate=options.gate,
    )
    reference = found.reference.name if found.reference else None
    judgements = judge_all(search.trials, found.entrants, found.finalists, question, reference)
    return advice_document(
        number=number,
        workload=workload,
        question=question,
        trials=search.trials,
        judgements=[] if search.unreliable else judgements,
        answers=found.answers,
        one_thread=reference,
        notes=[
            *(workload.source.warnings() if workload.source else ()),
            *found.notes,
            *training_note(judgements, found.inside, options),
            *long_replays(search, found.inside, options),
            *notes_of(search, options, resolution(against_itself(search.trials, question))),
        ],
        state="interrupted" if search.interrupted else "done",
        isolation=isolation_in_words(options.isolation),
        metric_pattern=options.metric,
        wall_s=search.spent_s(),
        work=_work(found),
        stop_after=f"{options.stop.after}{options.stop.unit}" if options.stop else None,
        setting=Setting(
            budget=str(options.plan.budget),
            cpus=usable_cpus(),
            inside=found.inside,
            earlier=options.earlier,
            building=found.building,
        ),
    )


def _work(found: Found) -> Work:
    inside = found.inside
    if inside is None:
        return Work(kind=found.work_kind)
    return Work(inside.unit, inside.units, found.work_kind)
