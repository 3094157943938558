"""How often a power sensor is looked at, and when an energy counter is known to step."""

from __future__ import annotations

import random

import pytest

from collectors.nvidia_power import PollPace
from collectors.nvidia_tick import TickPhase

MS = 1_000_000


def pace_after(pace: PollPace, update_ms: float, polls: int, cost_s: float = 20e-6) -> list[float]:
    """Poll a sensor that renews a changing value every `update_ms`; returns the pauses."""
    t_ms = 0.0
    pauses = []
    for _ in range(polls):
        pace.seen(round(t_ms * MS), float(t_ms // update_ms), cost_s)
        pauses.append(pace.interval_s())
        t_ms += pauses[-1] * 1e3
    return pauses


def test_pace_starts_fast_and_settles_at_half_the_sensors_period() -> None:
    pauses = pace_after(PollPace(0.1), 100, 400)
    assert max(pauses[:20]) <= 0.025
    assert sum(pauses[-50:]) / 50 == pytest.approx(0.05, rel=0.1)
    assert max(pauses[-50:]) / min(pauses[-50:]) > 1.3  # never in step with a load that repeats


def test_pace_is_not_misled_by_a_load_that_hides_updates() -> None:
    pauses = pace_after(PollPace(0.1), 350, 400)
    assert max(pauses) < 0.07


def test_pace_of_a_value_that_never_changes_settles_at_the_usual_period() -> None:
    pauses = pace_after(PollPace(0.1), 1e9, 400)
    assert sum(pauses[-50:]) / 50 == pytest.approx(0.05, rel=0.1)


def test_pace_never_spends_more_than_a_hundredth_of_a_core() -> None:
    pauses = pace_after(PollPace(0.1), 100, 400, cost_s=3e-3)
    assert sum(pauses[-50:]) / 50 >= 0.3


def follow(
    phase: TickPhase, *, tick_ms: float, until_s: float, jitter_ms: float = 0.0
) -> list[float]:
    """Let the phase look when it wants to; its errors in ms at random instants once locked."""
    source = random.Random(1)
    edges = [37.0]
    while edges[-1] < until_s * 1e3 + 1000:
        edges.append(edges[-1] + tick_ms + source.uniform(-jitter_ms, jitter_ms))
    t_ms = 0.0
    errors = []
    while t_ms < until_s * 1e3:
        phase.seen(round(t_ms * MS), sum(edge <= t_ms for edge in edges))
        due_ns = phase.due_ns()
        if due_ns is None:
            break
        t_ms = max(t_ms + 0.2, due_ns / MS + source.uniform(0.05, 0.5))  # wakes a little late
        at_ms = t_ms + source.uniform(0, tick_ms)
        age_ns = phase.age_ns(round(at_ms * MS))
        if age_ns is not None and not phase.settle_ns(round(at_ms * MS)):
            true_age_ms = at_ms - max(edge for edge in edges if edge <= at_ms)
            errors.append(age_ns / MS - true_age_ms)
    return errors


@pytest.mark.parametrize("tick_ms", [100.0, 100.7, 60.0])
def test_steps_of_a_steady_counter_are_known_within_milliseconds(tick_ms: float) -> None:
    phase = TickPhase()
    errors = follow(phase, tick_ms=tick_ms, until_s=60)
    assert phase.locked
    assert len(errors) > 50
    assert max(map(abs, errors)) < 12
    assert max(map(abs, errors[-30:])) < 4
    # The first look at 0 ms came before the edge at 37 ms.
    assert phase.zero_age_ns is not None
    assert phase.zero_age_ns / MS == pytest.approx(tick_ms - 37, abs=8)


def test_few_looks_are_spent_once_the_steps_are_known() -> None:
    phase = TickPhase()
    errors = follow(phase, tick_ms=100.0, until_s=60)
    assert len(errors) < 60 * 4


@pytest.mark.parametrize(("tick_ms", "jitter_ms"), [(100.0, 60.0), (20.0, 0.0), (2000.0, 0.0)])
def test_an_unsteady_fast_or_slow_counter_is_given_up_on(tick_ms: float, jitter_ms: float) -> None:
    phase = TickPhase()
    follow(phase, tick_ms=tick_ms, jitter_ms=jitter_ms, until_s=60)
    assert phase.due_ns() is None
    assert phase.age_ns(60_000 * MS) is None
    assert phase.settle_ns(60_000 * MS) == 0
