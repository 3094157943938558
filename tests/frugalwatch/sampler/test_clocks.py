"""The wall clock that is set, and the machine that sleeps."""

from __future__ import annotations

from frugalwatch.sampler.clocks import ClockWatch

SECOND = 1_000_000_000


class Machine:
    """A machine's clocks in seconds."""

    def __init__(self) -> None:
        self.mono = 1000.0
        self.wall = 1.7e9
        self.boot = 1000.0

    def work(self, seconds: float) -> None:
        self.mono += seconds
        self.wall += seconds
        self.boot += seconds

    def sleep(self, seconds: float) -> None:
        """CLOCK_MONOTONIC stands still in suspend."""
        self.wall += seconds
        self.boot += seconds

    def __call__(self) -> tuple[int, int, int]:
        mono = round(self.mono * SECOND)
        return mono, round(self.wall * SECOND) - mono, round(self.boot * SECOND) - mono


def test_a_machine_that_just_works_has_no_change() -> None:
    machine = Machine()
    watch = ClockWatch(machine)
    for _ in range(5):
        machine.work(1.0)
        assert watch.look() is None
    assert watch.slept_ns == 0


def test_a_clock_that_is_set_is_a_step_and_no_sleep() -> None:
    machine = Machine()
    watch = ClockWatch(machine)
    for step_s in (3600.0, -7200.0):
        machine.work(1.0)
        machine.wall += step_s
        change = watch.look()
        assert change is not None
        assert abs(change.stepped_ns - step_s * SECOND) < 1000
        assert change.slept_ns == 0
        assert change.t_mono_ns - change.since_mono_ns == SECOND
        machine.work(1.0)
        assert watch.look() is None, "said once"


def test_ntp_that_slews_is_no_step() -> None:
    machine = Machine()
    watch = ClockWatch(machine)
    for _ in range(100):
        machine.work(10.0)
        machine.wall += 10.0 * 500e-6
        assert watch.look() is None


def test_a_sleep_is_a_sleep_and_no_step() -> None:
    machine = Machine()
    watch = ClockWatch(machine)
    machine.work(1.0)
    machine.sleep(600.0)
    change = watch.look()
    assert change is not None
    assert change.slept_ns == 600 * SECOND
    assert change.stepped_ns == 0
    machine.work(1.0)
    machine.sleep(30.0)
    assert watch.look() is not None
    assert watch.slept_ns == 630 * SECOND, "added up for the run"


def test_a_clock_that_is_set_while_the_machine_sleeps_is_both() -> None:
    machine = Machine()
    watch = ClockWatch(machine)
    machine.sleep(60.0)
    machine.wall += 3600.0
    change = watch.look()
    assert change is not None
    assert change.slept_ns == 60 * SECOND
    assert abs(change.stepped_ns - 3600 * SECOND) < 1000


def test_the_machines_own_clocks_are_looked_at() -> None:
    watch = ClockWatch()
    assert watch.look() is None
