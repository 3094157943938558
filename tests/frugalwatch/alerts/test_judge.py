"""Figures of alerts, from what processes tell: windows, percentiles, energy by unit, drift."""

from __future__ import annotations

import math

import pytest

from frugalwatch.alerts.grammar import parse_alert
from frugalwatch.alerts.judge import AlertJudge, Judged
from frugalwatch.alerts.work import WorkWatch, quantile
from frugalwatch.budgets.run_watch import take
from frugalwatch.sampler.inside_messages import CountSaid, HelloSaid, TimesSaid
from frugalwatch.sampler.messages import MetricSaid, StepsSaid

SECOND = 1_000_000_000


def judge(*texts: str, resumed: bool = False) -> AlertJudge:
    return AlertJudge([parse_alert(text) for text in texts], resumed=resumed)


def look(alerts: AlertJudge, second: float, energy_j: float = 0.0) -> list[Judged]:
    return alerts.look(round(second * SECOND), energy_j, modelled=False)


def bucket(seconds: float) -> int:
    return math.floor(math.log(seconds * 1e9) / math.log(1.02))


def times(pid: int, counts: dict[float, int], unit: str = "request") -> TimesSaid:
    return TimesSaid(pid, 0, unit, tuple((bucket(s), n) for s, n in counts.items()))


def test_a_p95_is_that_of_the_window_and_over_all_processes() -> None:
    alerts = judge("p95>200ms over 10s")
    take(alerts, [times(1, {0.1: 1000}), times(2, {0.1: 1000})])
    assert look(alerts, 0) == []
    take(alerts, [times(1, {0.5: 40})])
    (found,) = look(alerts, 1)
    assert found.change == "crossed"
    assert found.value == pytest.approx(0.5, rel=0.02)
    assert "40 requests" in found.words
    take(alerts, [times(1, {0.1: 1500})])
    for second in range(2, 14):
        found_later = look(alerts, second)
    assert alerts.never_judged() == []
    assert found_later == [] or found_later[0].change == "back"


def test_nineteen_durations_tell_no_p95() -> None:
    alerts = judge("p95>1ms")
    look(alerts, 0)
    take(alerts, [times(1, {0.5: 19})])
    assert look(alerts, 1) == []
    take(alerts, [times(1, {0.5: 20})])
    assert len(look(alerts, 2)) == 1


def test_energy_by_unit_is_what_was_used_in_the_window_over_what_was_done() -> None:
    alerts = judge("J/step>2 over 10s")
    for second in range(10):
        take(alerts, [StepsSaid(1, 0, second * 10)])
        assert look(alerts, second, second * 10.0) == [], "one joule a step"
    found: list[Judged] = []
    for second in range(10, 25):
        take(alerts, [StepsSaid(1, 0, 90 + (second - 9) * 2)])
        found += look(alerts, second, 90.0 + (second - 9) * 10.0)
    assert [each.change for each in found] == ["crossed"]
    assert 2 < found[0].value < 5


def test_what_a_job_used_before_it_began_is_in_no_figure() -> None:
    alerts = judge("J/step>2")
    look(alerts, 0, 0.0)
    look(alerts, 30, 10_000.0)  # importing
    for second in range(31, 60):
        take(alerts, [StepsSaid(1, 0, (second - 30) * 10)])
        assert look(alerts, second, 10_000.0 + (second - 30) * 10) == [], "one joule a step"
    assert alerts.never_judged() == []


def test_hooks_counts_of_all_processes_count() -> None:
    alerts = judge("Wh/request>0.001")
    take(alerts, [CountSaid(1, 0, "request", 1, None), CountSaid(2, 0, "request", 1, None)])
    look(alerts, 0, 0.0)
    take(alerts, [CountSaid(1, 0, "request", 6, None), CountSaid(2, 0, "request", 6, None)])
    (found,) = look(alerts, 10, 100.0)
    assert found.value == pytest.approx(10.0)
    assert found.words.startswith("0.00278 Wh/request, over 10 in 10")


def test_a_process_number_that_is_given_again_loses_no_work() -> None:
    work = WorkWatch(60.0)
    work.counted(1, "step", 100)
    work.timed(1, "step", ((500, 100),))
    alerts = judge("J/step>1")
    alerts.work = work
    hello = HelloSaid(1, 0, "3.11", None, None, None, "x", ())
    take(alerts, [hello, StepsSaid(1, 0, 7)])
    now = work.look(SECOND, 0.0)
    assert now.done == {"step": 107}
    assert now.buckets == {"step": {500: 100}}


def test_a_sampler_that_took_over_counts_from_what_it_hears_first() -> None:
    work = WorkWatch(60.0, resumed=True)
    work.counted(1, "step", 1_000_000)
    work.timed(1, "step", ((500, 1000),))
    assert work.look(0, 0.0).done == {"step": 0}
    work.counted(1, "step", 1_000_010)
    work.timed(1, "step", ((500, 1003),))
    now = work.look(SECOND, 0.0)
    assert (now.done, now.buckets) == ({"step": 10}, {"step": {500: 3}})


def test_a_metric_is_judged_by_its_last_value_and_nan_is_none() -> None:
    alerts = judge("metric(loss)>2")
    take(alerts, [MetricSaid(1, 0, "loss", 1.0), MetricSaid(1, 0, "other", 9.0)])
    assert look(alerts, 0) == []
    take(alerts, [MetricSaid(1, 0, "loss", 3.0), MetricSaid(1, 0, "loss", math.nan)])
    (found,) = look(alerts, 1)
    assert (found.value, found.words) == (3.0, "loss is 3")


def test_a_drift_needs_forty_values_and_no_outlier_makes_one() -> None:
    alerts = judge("drift(accuracy)>5%")
    values = [0.9] * 20 + [0.9] * 19
    take(alerts, [MetricSaid(1, 0, "accuracy", value) for value in values])
    assert look(alerts, 0) == []
    assert alerts.never_judged()
    take(alerts, [MetricSaid(1, 0, "accuracy", 0.1)])
    assert look(alerts, 1) == [], "the median does not move for one value"
    take(alerts, [MetricSaid(1, 0, "accuracy", 0.8) for _ in range(20)])
    (found,) = look(alerts, 2)
    assert found.value == pytest.approx(1 / 9)
    assert "-11.1 %" in found.words


def test_memory_does_not_follow_what_a_job_says() -> None:
    work = WorkWatch(60.0)
    for tick in range(10_000):
        work.counted(1, "step", tick)
        work.look(tick * SECOND // 10, 0.0)
    assert len(work._looks) < 150
    assert work.before(999 * SECOND, 60.0).t_mono_ns <= 939 * SECOND + SECOND


def test_a_quantile_of_nothing_is_none_of_many() -> None:
    assert quantile({}, 0.95) == (0.0, 0)
    seconds, count = quantile({bucket(0.01): 94, bucket(1.0): 6}, 0.95)
    assert (count, seconds) == (100, pytest.approx(1.0, rel=0.02))
