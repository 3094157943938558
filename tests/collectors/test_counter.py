"""Wrap, reset or ambiguous: what a counter's next value means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.counter import Unwrapper

NS = 1_000_000_000
REAL_UJ = 262_143_328_850


def test_counter_wrap_adds_one_range() -> None:
    counter = Unwrapper(REAL_UJ, 2000.0)
    counter.update(0, REAL_UJ - 30_000_000)
    step = counter.update(NS, 10_000_000)
    assert step.cause is None
    assert counter.energy_uj == 40_000_000
    assert counter.power_w == pytest.approx(40.0)


def test_fall_that_no_wrap_explains_is_a_reset_and_adds_nothing() -> None:
    counter = Unwrapper(REAL_UJ, 2000.0)
    counter.update(0, 100_000_000_000)
    step = counter.update(NS, 5_000_000)
    assert (step.cause, step.since_ns) == ("reset", 0)
    assert counter.energy_uj == 0
    assert counter.update(2 * NS, 45_000_000).cause is None
    assert counter.energy_uj == 40_000_000


def test_published_maximum_decides_what_is_a_reset() -> None:
    # 600 J in a second over the wrap: possible for a big socket, not for one of 150 W.
    for plausible_w, cause in ((2000.0, None), (450.0, "reset")):
        counter = Unwrapper(REAL_UJ, plausible_w)
        counter.update(0, REAL_UJ - 300_000_000)
        assert counter.update(NS, 300_000_000).cause == cause


def test_forward_leap_is_no_energy() -> None:
    counter = Unwrapper(REAL_UJ, 2000.0)
    counter.update(0, 0)
    assert counter.update(NS, 200_000_000_000).cause == "invalid"
    assert counter.energy_uj == 0


def test_fall_of_a_counter_without_range_is_a_reset() -> None:
    counter = Unwrapper(None, 2000.0)
    counter.update(0, 10)
    assert counter.update(NS, 5).cause == "reset"
    assert counter.max_poll_s is None


def test_long_pause_is_ambiguous_and_the_truth_lies_within() -> None:
    # 300 J range at 40 W: 10 s hide a full turn (400 J, of which the counter shows 100 J).
    counter = Unwrapper(300_000_000, 2000.0)
    counter.update(0, 0)
    for second in range(1, 21):
        counter.update(second * NS // 4, second * 10_000_000)
    step = counter.update(15 * NS, (200_000_000 + 400_000_000) % 300_000_000)
    assert step.cause == "ambiguous"
    assert step.delta_uj == 100_000_000
    assert counter.energy_uj == 300_000_000
    assert counter.energy_uj < 600_000_000 <= counter.energy_uj + counter.hidden_uj


def test_first_long_interval_without_history_is_ambiguous() -> None:
    counter = Unwrapper(300_000_000, 2000.0)
    counter.update(0, 0)
    assert counter.update(NS, 40_000_000).cause == "ambiguous"


def test_pause_on_real_hardware_is_exact_when_power_stays_what_it_was() -> None:
    # Ten minutes without a look at 40 W: 1.2 MJ would fit at 2 kW, but not at four times 40 W.
    counter = Unwrapper(REAL_UJ, 2000.0)
    for second in range(10):
        counter.update(second * NS, second * 40_000_000)
    assert counter.update(609 * NS, 609 * 40_000_000).cause is None


def test_power_unlike_before_is_not_trusted_over_a_long_pause() -> None:
    counter = Unwrapper(REAL_UJ, 2000.0)
    for second in range(10):
        counter.update(second * NS, second * 5_000_000)
    step = counter.update(609 * NS, 45_000_000 + 150_000_000_000)
    assert step.cause == "ambiguous"


@pytest.mark.parametrize(("range_j", "power_w"), [(300, 40.0), (120, 40.0), (150, 60.0)])
def test_frequent_wraps_of_a_small_range_add_up(range_j: int, power_w: float) -> None:
    range_uj = range_j * 1_000_000
    counter = Unwrapper(range_uj, 2000.0)
    assert counter.max_poll_s is not None
    step_ns = round(counter.max_poll_s / 2 * NS)
    for index in range(400):
        t_ns = index * step_ns
        assert counter.update(t_ns, round(power_w * t_ns / 1000) % range_uj).cause is None
    assert counter.energy_uj == pytest.approx(power_w * 399 * step_ns / 1000, abs=1)


def test_poll_interval_of_a_real_range_is_range_over_plausible_power() -> None:
    assert Unwrapper(REAL_UJ, 450.0).max_poll_s == pytest.approx(262_143.328850 / 450)


@given(
    range_uj=st.integers(10_000_000, REAL_UJ),
    start=st.floats(0, 0.999),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=30),
    plausible_w=st.sampled_from([100.0, 450.0, 2000.0]),
)
def test_any_single_wrap_per_interval_is_exact(
    range_uj: int, start: float, shares: list[float], plausible_w: float
) -> None:
    counter = Unwrapper(range_uj, plausible_w)
    assert counter.max_poll_s is not None
    step_ns = int(counter.max_poll_s * NS) - 1
    most_uj = min(range_uj - 1, int(plausible_w * step_ns / 1000))
    true_uj, t_ns, start_uj = 0, 0, int(start * range_uj)
    counter.update(t_ns, start_uj)
    for share in shares:
        t_ns += step_ns
        true_uj += int(share * most_uj)
        step = counter.update(t_ns, (start_uj + true_uj) % range_uj)
        assert step.cause is None
        assert counter.energy_uj == true_uj


@given(st.lists(st.tuples(st.integers(0, 10**11), st.integers(0, REAL_UJ - 1)), max_size=40))
def test_energy_never_falls_whatever_the_counter_shows(looks: list[tuple[int, int]]) -> None:
    counter = Unwrapper(REAL_UJ, 2000.0)
    t_ns, last_uj = 0, 0
    for pause_ns, raw_uj in looks:
        t_ns += pause_ns
        step = counter.update(t_ns, raw_uj)
        assert step.delta_uj >= 0
        assert step.hidden_uj >= 0
        assert counter.energy_uj == last_uj + step.delta_uj
        last_uj = counter.energy_uj


@given(st.lists(st.integers(0, 500_000_000), min_size=2, max_size=20))
def test_splitting_an_interval_adds_up(parts_uj: list[int]) -> None:
    whole, split = Unwrapper(REAL_UJ, 2000.0), Unwrapper(REAL_UJ, 2000.0)
    start_uj = REAL_UJ - sum(parts_uj) // 2 - 1
    whole.update(0, start_uj)
    split.update(0, start_uj)
    shown_uj = start_uj
    for index, part_uj in enumerate(parts_uj, start=1):
        shown_uj += part_uj
        split.update(index * NS, shown_uj % REAL_UJ)
    whole.update(len(parts_uj) * NS, shown_uj % REAL_UJ)
    assert whole.energy_uj == split.energy_uj == sum(parts_uj)
