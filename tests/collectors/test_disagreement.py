"""A counter and a power sensor that differ are reported once, and sampling noise never is."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from collectors.base import Observation, Probe
from collectors.disagreement import CrossCheck, Disagreement
from collectors.isolated import IsolatedCollector

S = 1_000_000_000


def looks(powers_w: Sequence[float], counter_w: Sequence[float]) -> list[Disagreement]:
    """One look a second: sampled powers beside the true means that the counter integrated."""
    check = CrossCheck("gpu")
    counter_uj = 0
    found = []
    for second, (power_w, mean_w) in enumerate(zip(powers_w, counter_w, strict=True)):
        if second:
            counter_uj += round(mean_w * 1e6)
        if (one := check.update(second * S, counter_uj, power_w)) is not None:
            found.append(one)
    return found


@pytest.mark.parametrize(
    ("counter_w", "count"), [(100, 0), (92, 0), (109, 0), (89, 1), (112, 1), (0, 1)]
)
def test_more_than_a_tenth_apart_for_ten_seconds_is_said_once(counter_w: float, count: int) -> None:
    found = looks([100.0] * 30, [counter_w] * 30)
    assert len(found) == count
    for one in found:
        assert one.t_mono_ns - one.since_mono_ns == 10 * S
        assert one.integral_uj == 1_000_000_000
        assert one.counter_uj == round(counter_w * 10e6)


def test_nine_seconds_are_too_short_to_judge() -> None:
    assert looks([100.0] * 10, [50.0] * 10) == []


def test_a_swinging_power_sampled_once_a_second_is_no_evidence() -> None:
    # A square wave of 0.7 s between 100 and 300 W: the first eleven looks say 236 W.
    samples = [300.0 if second % 0.7 < 0.35 else 100.0 for second in range(60)]
    assert abs(sum(samples[:11]) / 11 - 200) > 20
    assert looks(samples, [200.0] * 60) == []


def test_a_missing_look_starts_the_window_again() -> None:
    check = CrossCheck("gpu")
    found = []
    for second in range(30):
        if second % 8 == 7:
            check.restart()
        elif (one := check.update(second * S, second * 50_000_000, 100.0)) is not None:
            found.append(one)
    assert found == []


def test_a_disagreement_reaches_the_sampler() -> None:
    sent = Disagreement("gpu", 1, 2, 187, 327)

    class Checked:
        name = "checked"
        isolate = True

        def probe(self) -> Probe:
            return Probe(self.name)

        def read(self) -> list[Observation]:
            return []

        def close(self) -> None:
            pass

        def take_disagreements(self) -> list[Disagreement]:
            return [sent]

    worker = IsolatedCollector(Checked, "checked")
    worker.start()
    before_s = time.monotonic()
    worker.read_blocking(5.0)
    assert time.monotonic() - before_s < 5.0
    assert worker.take_disagreements() == [sent]
    assert worker.take_disagreements() == []
    worker.close()
    assert sent.ratio == pytest.approx(1.749, abs=1e-3)
