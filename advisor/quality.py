"""Whether a change leaves the answers as they were, as far as that can be told from outside."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import Literal, TypeAlias

from advisor.agreement import ENOUGH_SAMPLES, Agreement
from advisor.gates.gate import NumpyMissingError, Untold, gate
from advisor.gates.options import GateOptions
from advisor.gates.result import GateResult
from advisor.gates.splits import Part
from advisor.replay import Replay
from advisor.trials import BASELINES, Trial, Trials

Finding: TypeAlias = Literal[
    "identical", "to rounding", "within limit", "beyond limit", "differs", "cannot tell"
]

# These change nothing that a module computes from the same input, so there is no need to compare.
_HARMLESS = frozenset({"loader", "threads", "interop_threads"})
# Of the samples; below it the answers are not the same ones, whatever else is said.
_SAME_CLASSES = 0.99

_READABLE = 1e-4

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found, and the sentence that explains it. `drift` is of the metric, signed.

    `agreement` is of what the program's modules compute, where that was compared; `gate` what a
    gate found of a change that is `lossy` by its nature.
    """

    finding: Finding
    reason: str
    metric: float | None = None
    drift: float | None = None
    agreement: Agreement | None = None
    gate: GateResult | None = None
    lossy: bool = False

    @property
    def lossless(self) -> bool:
        """Whether nothing of the answers is lost, but for how sums are rounded."""
        return self.finding in ("identical", "to rounding")

    @property
    def acceptable(self) -> bool:
        """Whether nothing speaks against the change; "cannot tell" is passed on to the reader."""
        return self.finding not in ("differs", "beyond limit")

    @property
    def settled(self) -> bool:
        """Whether enough speaks for it: what is lossy is not recommended unless its loss is known.

        A change that should not move anything needs no such proof.
        """
        return self.acceptable and not (self.lossy and self.finding == "cannot tell")


class Metric:
    """Picks a number from what a program printed: the last match of a regular expression.

    The number is the first group, or the first number inside the match.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern, re.MULTILINE)

    def __call__(self, replay: Replay) -> float | None:
        found = None
        for match in self._pattern.finditer(replay.text()):
            found = match
        if found is None:
            return None
        text = found.group(1) if self._pattern.groups else found.group(0)
        number = re.search(_NUMBER, text or "")
        return float(number.group(0)) if number else None


@dataclass(frozen=True, slots=True)
class Computed:
    """What is known of what the program's modules compute: `own` is the program against itself.

    `learns`: its weights change as it runs, so that the least difference grows.
    """

    own: Agreement | None = None
    by_variant: Mapping[str, Agreement] = field(default_factory=dict)
    learns: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """A change that computes in another precision, and how far it may move the answers.

    `calibrated` are digests of the inputs that it was tuned by, which judge nothing. While variants
    are still being chosen it is judged by inputs of the `part` "screening".
    """

    options: GateOptions = field(default_factory=GateOptions)
    calibrated: tuple[str, ...] = ()
    part: Part = "judging"


def judge(
    trials: Trials,
    variant: str,
    *,
    metric: bool,
    tolerance: float | None,
    switches: Collection[str] = (),
    computed: Computed = Computed(),
    loss: Loss | None = None,
) -> Quality:
    """Compare a variant's answers with those of the program as written.

    With `metric` by the mean paired difference of the number, against `tolerance` (absolute; None:
    the largest difference that the program showed against itself, or a point where there is a
    `loss`). Else a change with a `loss` goes through a gate; others are compared byte by byte, and
    where they have `switches` that act inside the program, or replays end before it has printed
    all, also by what its modules compute.
    """
    agreement = computed.by_variant.get(variant)
    if metric:
        points = None if loss is None else loss.options.max_drop_points
        found = _by_metric(trials, variant, tolerance, points)
        if agreement is not None and agreement.calls and not agreement.exact:
            found = replace(found, reason=f"{found.reason}; {in_words(agreement)}")
        result = None if loss is None else _gated(agreement, loss)
        return replace(
            found,
            agreement=agreement,
            gate=result if isinstance(result, GateResult) else None,
            lossy=loss is not None,
        )
    printed = _by_output(trials, variant)
    if loss is not None:
        return replace(
            _by_gate(printed, agreement, computed, loss), agreement=agreement, lossy=True
        )
    if _HARMLESS.issuperset(switches) and (switches or agreement is None):
        return printed
    return replace(_by_values(printed, agreement, computed), agreement=agreement)


def _by_gate(
    printed: Quality, agreement: Agreement | None, computed: Computed, loss: Loss
) -> Quality:
    """What is said of a change that is lossy: its limit decides, and not whether digits differ."""
    why_not = _incomparable(agreement, computed)
    if why_not is None and computed.learns:
        why_not = "its modules learn as it runs, so that every difference grows"
    if why_not is not None:
        return Quality("cannot tell", f"{why_not}; name a number: --metric")
    if agreement is not None and agreement.to_rounding and printed.finding != "differs":
        finding: Finding = "identical" if agreement.exact else "to rounding"
        return Quality(finding, in_words(agreement))
    result = _gated(agreement, loss)
    if loss.part != "judging":  # it can only be shown to be hopeless there
        hopeless = isinstance(result, GateResult) and result.hopeless
        return Quality("beyond limit" if hopeless else "within limit", "on screening inputs")
    if isinstance(result, Untold):
        return Quality("cannot tell", f"{result.reason}; name a number: --metric")
    findings: dict[bool | None, Finding] = {True: "within limit", False: "beyond limit"}
    finding = findings.get(result.acceptable, "cannot tell")
    return Quality(finding, result.sentence, gate=result)


def _gated(agreement: Agreement | None, loss: Loss) -> GateResult | Untold:
    pairs = () if agreement is None else agreement.pairs
    try:
        return gate(pairs, loss.options, loss.part, frozenset(loss.calibrated))
    except NumpyMissingError as missing:  # what was measured is worth more than an error
        return Untold(f"{missing.message} ({missing.hint})")


def _incomparable(agreement: Agreement | None, computed: Computed) -> str | None:
    """Why what modules compute cannot be compared; None if it can."""
    if agreement is None:
        return "what its modules compute could not be compared"
    if not agreement.calls:
        return "what goes into its modules differs from run to run"
    own = computed.own
    if own is not None and not (own.exact or own.to_rounding):
        return "what its modules compute differs from run to run"
    return None


def _by_values(printed: Quality, agreement: Agreement | None, computed: Computed) -> Quality:
    """What is said of a change that acts on what modules compute, from both."""
    why_not = _incomparable(agreement, computed)
    if agreement is None or why_not is not None:
        return _untold(printed, str(why_not))
    if printed.finding == "differs":
        return Quality("differs", f"{printed.reason} ({in_words(agreement)})")
    calls = f"{agreement.calls} call{'' if agreement.calls == 1 else 's'}"
    if agreement.exact:
        return Quality("identical", f"its modules return the same bits in {calls}")
    if computed.learns:
        return _untold(printed, f"{in_words(agreement)}, and that grows as it learns")
    if agreement.to_rounding:
        return Quality("to rounding", f"{in_words(agreement)}, by the order of sums")
    if agreement.samples and agreement.same_class < _SAME_CLASSES * agreement.samples:
        return Quality("differs", in_words(agreement))
    few = "" if agreement.samples >= ENOUGH_SAMPLES else f", too few to judge by ({calls})"
    return _untold(printed, in_words(agreement) + few)


def _untold(printed: Quality, why: str) -> Quality:
    if printed.finding == "differs":
        return Quality("differs", f"{printed.reason} ({why})")
    said = "it prints the same, but " if printed.finding == "identical" else ""
    return Quality("cannot tell", f"{said}{why}; name a number: --metric")


def in_words(agreement: Agreement) -> str:
    """How far what modules return has moved."""
    if agreement.exact:
        return "its modules return the same bits"
    if not math.isfinite(agreement.distance):
        return "its modules return other shapes, or no numbers"
    text = f"its modules' outputs move by {_share(agreement.distance)}"
    if agreement.largest > 2 * agreement.distance:
        text += f", by {_share(agreement.largest)} in one call"
    if agreement.samples:
        text += f"; the same class in {agreement.same_class} of {agreement.samples}"
    return text


def _share(value: float) -> str:
    """0.6 %, or 3e-07 where that is no percentage that anybody reads."""
    return f"{value * 100:.2g} %" if value >= _READABLE else f"{value:.0e}"


def _by_output(trials: Trials, variant: str) -> Quality:
    own = {r.output_sha256 for r in trials.comparable_baselines() if r.ok}
    theirs = {r.output_sha256 for r in trials.replays(variant) if r.ok}
    if len(own) > 1:
        return Quality(
            "cannot tell", "the program's output differs from run to run; name a number: --metric"
        )
    if own == {_EMPTY}:
        return Quality("cannot tell", "the program prints nothing")
    if theirs <= own:
        return Quality("identical", "every byte of its output is the same")
    return Quality(
        "differs", "its output is not the same; if that is fine, name a number: --metric"
    )


def _by_metric(
    trials: Trials, variant: str, tolerance: float | None, points: float | None = None
) -> Quality:
    """By the paired difference. `points` are hundredths of the number that a lossy change may cost
    where no tolerance was named.
    """
    rounds: dict[tuple[str, int], dict[str, float]] = {}
    for trial in trials.all:
        if trial.metric is not None and trial.stage != "probe":
            rounds.setdefault((trial.stage, trial.round), {})[trial.variant] = trial.metric
    names = [b.name for b in BASELINES]
    complete = [r for r in rounds.values() if variant in r and all(n in r for n in names)]
    if not complete:
        return Quality("cannot tell", "--metric found no number in its output")
    drift = mean([r[variant] - mean([r[n] for n in names]) for r in complete])
    limit = tolerance
    if limit is None:
        limit = max(abs(r[names[0]] - r[names[1]]) for r in complete)
        if points is not None:
            usual = mean([r[n] for r in complete for n in names])
            limit = max(limit, points / 100 * abs(usual))
    value = mean([r[variant] for r in complete])
    # A limit that was computed from printed decimals is not exact to the last bit.
    if abs(drift) <= limit * (1 + 1e-9):
        return Quality("within limit", f"off by {drift:+.3g}, limit {limit:.3g}", value, drift)
    return Quality("beyond limit", f"off by {drift:+.3g}, limit {limit:.3g}", value, drift)


def metric_of_baseline(trials: Sequence[Trial]) -> float | None:
    """The mean of the metric of the program as written."""
    names = {b.name for b in BASELINES}
    values = [t.metric for t in trials if t.variant in names and t.metric is not None]
    return mean(values) if values else None


_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # sha256 of nothing
