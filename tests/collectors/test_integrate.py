"""Power samples become energy: exact where they can be, elsewhere with the truth inside bounds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.fake import Constant, Ramp, Square, Trace
from collectors.integrate import Integral, PowerIntegrator

NS = 1_000_000_000
TRACES: dict[str, Trace] = {
    "constant": Constant(40.0),
    "square": Square(20.0, 60.0, 0.7),
    "ramp": Ramp(20.0, 80.0, 12.0),
}


def sensor_w(trace: Trace, t_s: float, window_s: float) -> float:
    """What a sensor shows that averages over `window_s` (the trace stood at its start before)."""
    if window_s == 0:
        return trace.power_w(t_s)
    before_j = trace.energy_j(t_s - window_s) if t_s >= window_s else 0.0
    if t_s < window_s:
        before_j = -trace.power_w(0.0) * (window_s - t_s)
    return (trace.energy_j(t_s) - before_j) / window_s


def follow(
    trace: Trace, *, window_s: float, step_s: float, seed: int, length_s: float = 10.0
) -> tuple[Integral, float]:
    """The integral of jittered samples, and the truth in joules."""
    source = random.Random(seed)
    integrator = PowerIntegrator(window_s=window_s)
    start_s = t_s = source.random()
    while True:
        result = integrator.update(round(t_s * NS), sensor_w(trace, t_s, window_s))
        if t_s >= start_s + length_s:
            return result, trace.energy_j(t_s) - trace.energy_j(start_s)
        t_s += step_s * source.uniform(0.9, 1.1)


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("window_s", [0.0, 1.0])
@pytest.mark.parametrize("step_s", [0.02, 0.1, 1.0])
def test_truth_lies_inside_the_bounds(trace: str, window_s: float, step_s: float) -> None:
    for seed in range(20):
        result, true_j = follow(TRACES[trace], window_s=window_s, step_s=step_s, seed=seed)
        assert result.low_uj - 1 <= true_j * 1e6 <= result.high_uj + 1, seed


@pytest.mark.parametrize("trace", TRACES)
def test_one_second_average_agrees_within_one_percent(trace: str) -> None:
    # What happens inside the first and the last second stays unknown: 4 J of this square wave.
    for seed in range(20):
        result, true_j = follow(TRACES[trace], window_s=1.0, step_s=0.1, seed=seed, length_s=15.0)
        assert result.energy_uj / 1e6 == pytest.approx(true_j, rel=0.01)


def test_average_taken_as_instant_would_lag_behind_a_ramp() -> None:
    trace = Ramp(0.0, 120.0, 12.0)
    shown_w = [sensor_w(trace, t / 10, 1.0) for t in range(101)]
    right, wrong = PowerIntegrator(window_s=1.0), PowerIntegrator()
    for index, power_w in enumerate(shown_w):
        right_uj = right.update(index * NS // 10, power_w).energy_uj
        wrong_uj = wrong.update(index * NS // 10, power_w).energy_uj
    assert right_uj / 1e6 == pytest.approx(500.0, rel=0.005)
    assert wrong_uj / 1e6 < 460.0


def test_steady_ramp_needs_narrow_bounds_only() -> None:
    result, true_j = follow(TRACES["ramp"], window_s=0.0, step_s=1.0, seed=1)
    assert (result.high_uj - result.low_uj) / 2e6 < 0.05 * true_j


@given(
    st.lists(st.tuples(st.integers(1, 3 * NS), st.floats(0, 1000)), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.1, 1.0]),
)
def test_energy_never_falls_and_bounds_enclose_it(
    samples: list[tuple[int, float]], window_s: float
) -> None:
    integrator = PowerIntegrator(window_s=window_s, max_gap_s=2.0)
    t_ns, last_uj = 0, 0
    for pause_ns, power_w in samples:
        t_ns += pause_ns
        result = integrator.update(t_ns, power_w)
        assert last_uj <= result.energy_uj
        assert 0 <= result.low_uj <= result.energy_uj <= result.high_uj
        last_uj = result.energy_uj


@given(st.floats(0, 1000), st.floats(0, 1000), st.integers(2, 5 * NS), st.floats(0.01, 0.99))
def test_splitting_an_interval_adds_up(
    from_w: float, to_w: float, length_ns: int, share: float
) -> None:
    middle_ns = max(1, round(length_ns * share))
    whole, split = PowerIntegrator(), PowerIntegrator()
    whole.update(0, from_w)
    split.update(0, from_w)
    split.update(middle_ns, from_w + (to_w - from_w) * middle_ns / length_ns)
    expected_uj = whole.update(length_ns, to_w).energy_uj
    assert split.update(length_ns, to_w).energy_uj == pytest.approx(expected_uj, abs=2)


def test_pause_beyond_the_limit_is_a_gap_and_adds_nothing() -> None:
    integrator = PowerIntegrator(max_gap_s=5.0)
    integrator.update(0, 100.0)
    integrator.update(NS, 100.0)
    assert integrator.bridges(6 * NS)
    assert not integrator.bridges(7 * NS)
    late = integrator.update(7 * NS, 100.0)
    assert late.gap_since_ns == NS
    assert late.energy_uj == 100_000_000
    after = integrator.update(8 * NS, 100.0)
    assert after.gap_since_ns is None
    assert after.energy_uj == 200_000_000


def test_pause_within_the_limit_is_bridged_with_wider_bounds() -> None:
    def width_uj(times_s: list[int]) -> int:
        integrator = PowerIntegrator()
        for t_s in times_s:
            result = integrator.update(t_s * NS, 20.0 if t_s < 5 else 60.0)
        return result.high_uj - result.low_uj

    assert width_uj([0, 1, 2, 3, 4, 9, 10]) > width_uj([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])


def test_fall_of_power_never_lowers_a_lagging_sensors_energy() -> None:
    integrator = PowerIntegrator(window_s=1.0)
    integrator.update(0, 100.0)
    before = integrator.update(NS, 100.0)
    after = integrator.update(NS + NS // 10, 0.0)
    assert after.energy_uj >= before.energy_uj


def test_power_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        PowerIntegrator().update(0, float("nan"))


def test_noise_below_zero_counts_as_zero() -> None:
    integrator = PowerIntegrator()
    integrator.update(0, -1.0)
    assert integrator.update(NS, -1.0).energy_uj == 0


def test_sample_that_is_not_later_changes_nothing() -> None:
    integrator = PowerIntegrator()
    integrator.update(0, 10.0)
    first = integrator.update(NS, 10.0)
    assert integrator.update(NS, 1000.0) == first
