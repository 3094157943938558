"""From trials to a verdict on each variant, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from advisor.gates.options import GateOptions
from advisor.limits import Limits
from advisor.needs import Needs, needs_of
from advisor.per_unit import by_unit
from advisor.quality import Computed, Loss, Quality, judge
from advisor.statistics import Ratio, centre, ratio
from advisor.techniques.base import Variant
from advisor.trials import (
    AGAIN,
    BASE,
    BASELINES,
    Figure,
    Trials,
    cpu_s,
    energy_j,
    modelled_j,
    unit_cpu_s,
    unit_energy_j,
    unit_wall_s,
    wall_s,
)
from advisor.verdicts import (
    WORTH_IT,
    DecidedBy,
    Verdict,
    saves_later,
    verdict_on,
    verdict_on_time,
)

Unit: TypeAlias = Literal["energy_j", "cpu_s"]
FIGURES: dict[Unit, Figure] = {"energy_j": energy_j, "cpu_s": cpu_s}
PER_UNIT: dict[Unit, Figure] = {"energy_j": unit_energy_j, "cpu_s": unit_cpu_s}
# The active watts of the model are known within this factor, until calibrated.
BAND = (0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Power:
    """The model's watts of this machine: for idling, and for one busy CPU on top of that."""

    idle_w: float
    active_w: float


@dataclass(frozen=True, slots=True)
class Question:
    """How trials are to be judged. `tolerance` is absolute, of the metric.

    `work` is how many units a replay did; 0 where none were counted. `limits` are the user's, and
    so is `gate`: how far a change in precision may move the answers.
    """

    unit: Unit
    seed: int
    power: Power | None = None
    metric: bool = False
    tolerance: float | None = None
    computed: Computed = field(default_factory=Computed)
    work: int = 0
    limits: Limits = field(default_factory=Limits)
    gate: GateOptions = field(default_factory=GateOptions)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of one variant after confirmation.

    `main` is the ratio in the question's unit; `saved` is in that unit per run, at both ends of the
    interval. `saves_energy`: a counter says so, or the model does whatever its active watts are.
    `decided_by` is the ratio on which the verdict rests: of whole runs, of one unit, or of time.
    `per_unit` is the ratio of what one step or call costs after the warm-up, `start` what the start
    of the program costs more than as written, and `first_start` the same of its very first replay,
    where that had something to build. `pay_back_units` earn back the dearer of both.
    """

    variant: Variant
    verdict: Verdict
    reason: str
    quality: Quality
    main: Ratio | None = None
    wall: Ratio | None = None
    modelled: tuple[Ratio, ...] = ()
    versus_one_thread: Ratio | None = None
    unit_versus_one_thread: Ratio | None = None
    saved: tuple[float, float, float] | None = None
    saves_energy: bool = False
    decided_by: DecidedBy = "whole"
    per_unit: Ratio | None = None
    saved_per_unit: float | None = None
    start: float | None = None
    first_start: float | None = None
    pay_back_units: int | None = None
    needs: Needs = field(default_factory=Needs)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one run of a program uses in confirmation: centres over the rounds."""

    name: str
    cpu_s: float | None
    wall_s: float | None
    energy_j: float | None
    unit_cpu_s: float | None = None
    unit_energy_j: float | None = None
    unit_wall_s: float | None = None
    needs: Needs = field(default_factory=Needs)


def against_itself(
    trials: Trials, question: Question, figure: Figure | None = None
) -> Ratio | None:
    """The ratio of the program to itself: what of a difference is noise."""
    figure = figure or FIGURES[question.unit]
    pairs = trials.pairs(AGAIN.name, (BASE.name,), figure, "confirmation")
    return ratio(pairs, seed=question.seed)


def resolution(itself: Ratio | None) -> float | None:
    """The smallest difference that is not noise, as a fraction; None: not known."""
    return None if itself is None else max(abs(itself.high - 1), abs(1 - itself.low))


def baseline(trials: Trials, names: Sequence[str], title: str) -> Baseline | None:
    """The program's figures per run from confirmation, else from whatever there is."""
    replays = [
        t.replay
        for stage in (("confirmation",), ("screening", "probe"))
        for t in trials.all
        if t.variant in names and t.stage in stage and t.replay.ok
    ]
    confirmed = [
        t.replay
        for t in trials.all
        if t.variant in names and t.stage == "confirmation" and t.replay.ok
    ]
    chosen = confirmed or replays
    if not chosen:
        return None

    def middle(figure: Figure) -> float | None:
        values = [v for v in map(figure, chosen) if v is not None]
        return centre(values) if values else None

    return Baseline(
        title,
        middle(cpu_s),
        middle(wall_s),
        middle(energy_j),
        middle(unit_cpu_s),
        middle(unit_energy_j),
        middle(unit_wall_s),
        needs_of(trials, names),
    )


def judge_all(
    trials: Trials,
    entrants: Sequence[Variant],
    finalists: Sequence[Variant],
    question: Question,
    one_thread: str | None,
) -> list[Judgement]:
    """A judgement on every variant, those to recommend first, by the cautious end."""
    itself = resolution(against_itself(trials, question))
    judged = [
        _judge(trials, variant, variant in finalists, question, itself, len(finalists), one_thread)
        for variant in entrants
    ]
    return sorted(judged, key=_rank)


def _rank(judgement: Judgement) -> tuple[int, float]:
    ratio = judgement.per_unit if judgement.verdict == "saves per unit" else judgement.main
    if judgement.variant.claim == "time" and judgement.modelled:
        ratio = max(judgement.modelled, key=lambda each: each.high)
    place = WORTH_IT.index(judgement.verdict) if judgement.verdict in WORTH_IT else len(WORTH_IT)
    return (place, ratio.high if ratio else float("inf"))


def _judge(  # noqa: PLR0917 - one call, all of it needed
    trials: Trials,
    variant: Variant,
    confirmed: bool,
    question: Question,
    itself: float | None,
    finalists: int,
    one_thread: str | None,
) -> Judgement:
    quality = judge(
        trials,
        variant.name,
        metric=question.metric,
        tolerance=question.tolerance,
        switches=variant.change.switches,
        computed=question.computed,
        loss=Loss(question.gate, variant.calibrated) if variant.lossy else None,
    )
    unapplied = [r for r in trials.replays(variant.name) if r.state == "not applied"]
    if unapplied:
        return Judgement(variant, "not applied", unapplied[0].why, quality)
    needs = needs_of(trials, [variant.name])
    failed = [r for r in trials.replays(variant.name) if r.state in ("failed", "timeout")]
    if failed:
        return Judgement(variant, "failed", _failure(failed[0].state, failed[0].exit_code), quality)
    names = [b.name for b in BASELINES]

    def compare(figure: Figure, old: Sequence[str] = names) -> Ratio | None:
        pairs = trials.pairs(variant.name, old, figure, "confirmation")
        return ratio(pairs, seed=question.seed, comparisons=max(1, finalists))

    def beside(figure: Figure) -> Ratio | None:
        return None if one_thread in (None, variant.name) else compare(figure, [str(one_thread)])

    main = compare(FIGURES[question.unit])
    if main is None or not confirmed:
        return _unconfirmed(trials, variant, quality, question, confirmed)
    power = question.power
    per_unit = compare(PER_UNIT[question.unit])
    wall = compare(wall_s)
    modelled = (
        ()
        if power is None
        else tuple(
            found
            for k in BAND
            if (found := compare(modelled_j(power.idle_w, k * power.active_w))) is not None
        )
    )
    verdict, reason = verdict_on(main, modelled, quality, itself)
    decided_by: DecidedBy = "whole"
    if variant.claim == "time" and question.unit == "cpu_s" and quality.acceptable:
        of_time = resolution(against_itself(trials, question, wall_s))
        on_time = verdict_on_time(wall, modelled, of_time)
        if on_time is not None:
            verdict, reason, decided_by = *on_time, "time"
    if verdict in ("costs more", "no clear saving") and quality.acceptable:
        of_units = resolution(against_itself(trials, question, PER_UNIT[question.unit]))
        if saves_later(per_unit, of_units):
            verdict, reason = "saves per unit", "it saves in each unit, not yet in a whole run"
            decided_by = "unit"
    if verdict in WORTH_IT and not quality.settled:
        verdict, reason = "not confirmed", quality.reason
    if verdict in WORTH_IT:
        beyond = question.limits.exceeded_by(needs.latency, needs.peak_memory_bytes)
        if beyond:
            verdict, reason = "beyond a limit", beyond
    base = baseline(trials, names, BASE.name)
    per_run = (
        None if base is None else (base.energy_j if question.unit == "energy_j" else base.cpu_s)
    )
    saved = None
    if per_run is not None:
        saved = (
            per_run * (1 - main.value),
            per_run * (1 - main.high),
            per_run * (1 - main.low),
        )
    return Judgement(
        **by_unit(
            trials,
            variant,
            FIGURES[question.unit],
            PER_UNIT[question.unit],
            question.work,
            per_unit,
        ),
        variant=variant,
        needs=needs,
        verdict=verdict,
        reason=reason,
        quality=quality,
        decided_by=decided_by,
        main=main,
        wall=wall,
        modelled=modelled,
        versus_one_thread=beside(FIGURES[question.unit]),
        unit_versus_one_thread=beside(PER_UNIT[question.unit]),
        saved=saved,
        saves_energy=question.unit == "energy_j"
        or (variant.claim != "cpu" and bool(modelled) and all(m.high < 1 for m in modelled)),
    )


def _unconfirmed(
    trials: Trials, variant: Variant, quality: Quality, question: Question, confirmed: bool
) -> Judgement:
    figure = FIGURES[question.unit]
    names = [b.name for b in BASELINES]
    seen = trials.pairs(variant.name, names, figure, "screening")
    if not quality.acceptable:
        return Judgement(variant, "changes the answers", quality.reason, quality)
    if not quality.settled:
        return Judgement(variant, "not confirmed", quality.reason, quality)
    if confirmed or not seen:
        reason = "too few rounds in the time that there was; more: a larger --budget"
        return Judgement(variant, "not confirmed", reason, quality)
    return Judgement(
        variant, "no clear saving", "others, or nothing, did better in screening", quality
    )


def _failure(state: str, exit_code: int | None) -> str:
    if state == "timeout":
        return "it took far longer than the program as written, and was ended"
    return f"the program ends with status {exit_code} with it"
