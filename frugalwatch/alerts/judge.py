"""The figure that an alert is about, as it stands now, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from frugalwatch.alerts.crossing import Change, Crossing
from frugalwatch.alerts.grammar import Alert
from frugalwatch.alerts.work import MetricWatch, Work, WorkWatch, quantile, since
from frugalwatch.report.format import duration, significant

# What an alert without a unit is about: the first of these of which durations were told.
_LEADING = ("request", "call", "generate", "step", "predict", "fit", "batch", "epoch")
_LEAST_DONE = 5  # before an energy by unit means anything
_SHORTEST_S = 5.0  # ticks at both ends of a window are part of its energy


class Judged(NamedTuple):
    """An alert that has changed: its figure in SI units, and the words for it."""

    alert: Alert
    change: Change
    value: float
    words: str


class AlertJudge:
    """All alerts of one run."""

    def __init__(self, alerts: Sequence[Alert], *, resumed: bool = False) -> None:
        self._crossings = {a: Crossing(a.threshold, above=a.above) for a in dict.fromkeys(alerts)}
        self._judged: set[Alert] = set()
        self.work = WorkWatch(max(alert.window_s for alert in alerts), resumed=resumed)
        self.metrics = MetricWatch(
            {alert.subject for alert in alerts if alert.kind in ("metric", "drift")}
        )

    def look(self, now_ns: int, energy_j: float, *, modelled: bool) -> list[Judged]:
        """What has changed since the last look. `energy_j` is the run's so far."""
        work = self.work.look(now_ns, energy_j)
        found: list[Judged] = []
        for alert, crossing in self._crossings.items():
            seen = self._figure(alert, work, modelled=modelled)
            if seen is None:
                continue
            self._judged.add(alert)
            value, words = seen
            change = crossing.look(value, now_ns / 1e9)
            if change is not None:
                found.append(Judged(alert, change, value, words))
        return found

    def never_judged(self) -> list[Alert]:
        """Alerts about whose figure too little was ever told."""
        return [alert for alert in self._crossings if alert not in self._judged]

    def state(self) -> dict[str, list[float]]:
        """For `resume` in a sampler that takes over. Windows begin anew there."""
        return {alert.text: crossing.state() for alert, crossing in self._crossings.items()}

    def resume(self, state: dict[str, list[float]]) -> None:
        """Go on from what a sampler that died left."""
        for alert, crossing in self._crossings.items():
            if alert.text in state:
                crossing.resume(state[alert.text])

    def _figure(self, alert: Alert, work: Work, *, modelled: bool) -> tuple[float, str] | None:
        """The figure and its words; None while there is too little to tell."""
        if alert.kind == "metric":
            value = self.metrics.newest(alert.subject)
            return None if value is None else (value, f"{alert.subject} is {value:.6g}")
        if alert.kind == "drift":
            return self._drift(alert)
        if alert.kind == "latency":
            return _latency(alert, work, self.work.before(work.t_mono_ns, alert.window_s))
        before = self.work.first_done(work.t_mono_ns, alert.window_s, alert.subject)
        return _energy(alert, work, before, modelled=modelled)

    def _drift(self, alert: Alert) -> tuple[float, str] | None:
        found = self.metrics.drift(alert.subject)
        if found is None or found[0] == 0:
            return None
        first, last = found
        moved = (last - first) / abs(first)
        words = f"{alert.subject} went from {first:.4g} to {last:.4g} ({moved * 100:+.1f} %)"
        return abs(moved), f"{words}, medians of the first and the last 20 values"


def _latency(alert: Alert, work: Work, before: Work) -> tuple[float, str] | None:
    unit = alert.subject or next((u for u in _LEADING if u in work.buckets), "")
    histogram = since(work.buckets.get(unit, {}), before.buckets.get(unit, {}))
    value, count = quantile(histogram, alert.part)
    if count * (1 - alert.part) < 1:  # of 19 values the 95th percentile is the largest
        return None
    over = duration((work.t_mono_ns - before.t_mono_ns) / 1e9)
    return value, f"p{alert.unit} is {duration(value)}, over {count} {unit}s in {over}"


def _energy(alert: Alert, work: Work, before: Work, *, modelled: bool) -> tuple[float, str] | None:
    done = work.done.get(alert.subject, 0) - before.done.get(alert.subject, 0)
    seconds = (work.t_mono_ns - before.t_mono_ns) / 1e9
    if done < _LEAST_DONE or seconds < _SHORTEST_S:
        return None
    value = (work.energy_j - before.energy_j) / done
    mark = "~" if modelled else ""
    words = f"{mark}{significant(value / alert.scale, 3)} {alert.unit}/{alert.subject}"
    return value, f"{words}, over {done} in {duration(seconds)}{', modelled' if modelled else ''}"
