"""From trials to a verdict on each variant, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from advisor.quality import Quality, judge
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
    wall_s,
)

Unit: TypeAlias = Literal["energy_j", "cpu_s"]
Verdict: TypeAlias = Literal[
    "recommended", "no clear saving", "costs more", "changes the answers", "failed", "not confirmed"
]

FIGURES: dict[Unit, Figure] = {"energy_j": energy_j, "cpu_s": cpu_s}
# The active watts of the model are known within this factor, until calibrated.
BAND = (0.5, 1.0, 2.0)
# Beyond this the host is too noisy for any verdict.
TOO_NOISY = 0.25
_FEW = 8  # rounds; with fewer, noise widens the interval out of proportion


@dataclass(frozen=True, slots=True)
class Power:
    """The model's watts of this machine: for idling, and for one busy CPU on top of that."""

    idle_w: float
    active_w: float


@dataclass(frozen=True, slots=True)
class Question:
    """How trials are to be judged. `tolerance` is absolute, of the metric."""

    unit: Unit
    seed: int
    power: Power | None = None
    metric: bool = False
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of one variant after confirmation.

    `main` is the ratio in the question's unit; `saved` is in that unit per run, at both ends of the
    interval. `saves_energy`: a counter says so, or the model does whatever its active watts are.
    """

    variant: Variant
    verdict: Verdict
    reason: str
    quality: Quality
    main: Ratio | None = None
    wall: Ratio | None = None
    modelled: tuple[Ratio, ...] = ()
    versus_one_thread: Ratio | None = None
    saved: tuple[float, float, float] | None = None
    saves_energy: bool = False


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one run of a program uses in confirmation: centres over the rounds."""

    name: str
    cpu_s: float | None
    wall_s: float | None
    energy_j: float | None


def against_itself(trials: Trials, question: Question) -> Ratio | None:
    """The ratio of the program to itself: what of a difference is noise."""
    figure = FIGURES[question.unit]
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

    return Baseline(title, middle(cpu_s), middle(wall_s), middle(energy_j))


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
    cautious = judgement.main.high if judgement.main else float("inf")
    return (0 if judgement.verdict == "recommended" else 1, cautious)


def _judge(  # noqa: PLR0917 - one call, all of it needed
    trials: Trials,
    variant: Variant,
    confirmed: bool,
    question: Question,
    itself: float | None,
    finalists: int,
    one_thread: str | None,
) -> Judgement:
    quality = judge(trials, variant.name, metric=question.metric, tolerance=question.tolerance)
    failed = [r for r in trials.replays(variant.name) if r.state in ("failed", "timeout")]
    if failed:
        return Judgement(variant, "failed", _failure(failed[0].state, failed[0].exit_code), quality)
    names = [b.name for b in BASELINES]

    def compare(figure: Figure, old: Sequence[str] = names) -> Ratio | None:
        pairs = trials.pairs(variant.name, old, figure, "confirmation")
        return ratio(pairs, seed=question.seed, comparisons=max(1, finalists))

    main = compare(FIGURES[question.unit])
    if main is None or not confirmed:
        return _unconfirmed(trials, variant, quality, question, confirmed)
    power = question.power
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
        variant=variant,
        verdict=verdict,
        reason=reason,
        quality=quality,
        main=main,
        wall=compare(wall_s),
        modelled=modelled,
        versus_one_thread=None
        if one_thread in (None, variant.name)
        else compare(FIGURES[question.unit], [str(one_thread)]),
        saved=saved,
        saves_energy=question.unit == "energy_j"
        or (variant.claim == "energy" and bool(modelled) and all(m.high < 1 for m in modelled)),
    )


def verdict_on(
    main: Ratio, modelled: Sequence[Ratio], quality: Quality, itself: float | None
) -> tuple[Verdict, str]:
    """What a confirmed ratio comes to, with the reason; `itself` is the resolution."""
    if itself is None or itself > TOO_NOISY:
        few = "too few rounds for a host as noisy as this" if main.rounds < _FEW else "noisy host"
        reason = f"{few}: the program differs as much from itself; more: --time-budget SECONDS"
        return "not confirmed", reason
    if main.low > 1:
        return "costs more", "it uses more, not less"
    if main.high >= 1 or 1 - main.value <= itself:
        return "no clear saving", "the difference is within the noise"
    if not quality.acceptable:
        return "changes the answers", quality.reason
    if any(m.low > 1 for m in modelled):
        return "costs more", "it takes longer, and by the model that can cost more than it saves"
    return "recommended", ""


def _unconfirmed(
    trials: Trials, variant: Variant, quality: Quality, question: Question, confirmed: bool
) -> Judgement:
    figure = FIGURES[question.unit]
    names = [b.name for b in BASELINES]
    seen = trials.pairs(variant.name, names, figure, "screening")
    if confirmed or not seen:
        reason = "too few rounds in the time that there was; more: --time-budget SECONDS"
        return Judgement(variant, "not confirmed", reason, quality)
    return Judgement(
        variant, "no clear saving", "others, or nothing, did better in screening", quality
    )


def _failure(state: str, exit_code: int | None) -> str:
    if state == "timeout":
        return "it took far longer than the program as written, and was ended"
    return f"the program ends with status {exit_code} with it"
