"""Whether a change leaves the answers as they were, as far as that can be told from outside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal, TypeAlias

from advisor.replay import Replay
from advisor.trials import BASELINES, Trial, Trials

Finding: TypeAlias = Literal["identical", "within limit", "beyond limit", "differs", "cannot tell"]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True, slots=True)
class Quality:
    """What was found, and the sentence that explains it. `drift` is of the metric, signed."""

    finding: Finding
    reason: str
    metric: float | None = None
    drift: float | None = None

    @property
    def acceptable(self) -> bool:
        """Whether nothing speaks against the change; "cannot tell" is passed on to the reader."""
        return self.finding not in ("differs", "beyond limit")


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


def judge(trials: Trials, variant: str, *, metric: bool, tolerance: float | None) -> Quality:
    """Compare a variant's answers with those of the program as written.

    With `metric` by the mean paired difference of the number, against `tolerance` (absolute; None:
    the largest difference that the program showed against itself). Else byte by byte.
    """
    return _by_metric(trials, variant, tolerance) if metric else _by_output(trials, variant)


def _by_output(trials: Trials, variant: str) -> Quality:
    own = {r.output_sha256 for b in BASELINES for r in trials.replays(b.name) if r.ok}
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


def _by_metric(trials: Trials, variant: str, tolerance: float | None) -> Quality:
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
