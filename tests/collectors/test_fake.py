"""The scripted source: its truth is exact, and what it shows agrees with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.base import Collector, Gap, Observation, Reading
from collectors.fake import (
    Constant,
    FakeCollector,
    FakeDevice,
    Levels,
    Ramp,
    Square,
    Trace,
)
from collectors.host import Host
from collectors.registry import HARDWARE, hardware_collector
from tests.support.clock import NS, Clock

TRACES = [Constant(40.0), Square(20.0, 60.0, 0.7), Square(5.0, 50.0, 3.0, 0.2), Ramp(10, 90, 4)]


@pytest.mark.parametrize("trace", TRACES)
@given(t_s=st.floats(0, 100))
def test_energy_is_the_integral_of_power(trace: Trace, t_s: float) -> None:
    steps = 4000
    numeric_j = sum(trace.power_w(t_s * (i + 0.5) / steps) for i in range(steps)) * t_s / steps
    # a jump inside one step is misplaced by up to the step; there are two a period
    allowed_j = 1e-9 + 60.0 * (t_s / steps) * (2 * t_s / 0.7 + 2)
    assert trace.energy_j(t_s) == pytest.approx(numeric_j, abs=min(allowed_j, 1 + 0.02 * numeric_j))


def play(
    device: FakeDevice, seconds: float, step_s: float = 0.1
) -> tuple[FakeCollector, Clock, list[Observation]]:
    clock = Clock()
    source = FakeCollector(Host(clock_ns=clock), [device])
    source.probe()
    found: list[Observation] = []
    for _ in range(round(seconds / step_s)):
        clock.forward(step_s)
        found += source.read()
    return source, clock, found


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("range_j", [None, 120.0])
def test_counter_agrees_with_the_truth_also_through_wraps(
    trace: Trace, range_j: float | None
) -> None:
    source, clock, found = play(FakeDevice("cpu", trace, range_j=range_j), 30.0)
    assert not any(isinstance(o, Gap) for o in found)
    last = found[-1]
    assert isinstance(last, Reading)
    true_j = source.true_energy_j("fake:cpu", clock.now_ns - 30 * NS, clock.now_ns)
    assert last.energy_uj == pytest.approx(true_j * 1e6, abs=2)


@pytest.mark.parametrize("trace", TRACES)
def test_power_device_holds_the_truth_inside_its_bounds(trace: Trace) -> None:
    source, clock, found = play(FakeDevice("gpu", trace, "gpu", "power"), 30.0, 0.13)
    last = found[-1]
    assert isinstance(last, Reading)
    assert last.low_uj is not None
    assert last.high_uj is not None
    true_uj = source.true_energy_j("fake:gpu", 1000 * NS, clock.now_ns) * 1e6
    assert last.low_uj - 1 <= true_uj <= last.high_uj + 1


def test_scripted_failure_of_a_counter_loses_nothing() -> None:
    device = FakeDevice("cpu", Constant(40.0), failures=((1.0, 3.0, "invalid"),))
    _, _, found = play(device, 5.0)
    gaps = [o for o in found if isinstance(o, Gap)]
    assert {gap.cause for gap in gaps} == {"invalid"}
    assert all(gap.recoverable for gap in gaps)
    assert isinstance(found[-1], Reading)
    assert found[-1].energy_uj == pytest.approx(200_000_000, abs=2)


def test_lost_device_keeps_everything_until_the_loss() -> None:
    _, _, found = play(FakeDevice("gpu", Constant(100.0), "gpu", "power", lost_after_s=2.05), 5.0)
    readings = [o for o in found if isinstance(o, Reading)]
    gaps = [o for o in found if isinstance(o, Gap)]
    assert readings[-1].energy_uj == pytest.approx(200_000_000, abs=2)
    assert gaps[-1].cause == "lost"
    assert not gaps[-1].recoverable


def test_demo_devices_cover_the_three_domains() -> None:
    probe = FakeCollector(Host()).probe()
    assert {device.domain for device in probe.devices} == {"cpu", "gpu", "ram"}


def test_fake_is_built_by_name_and_never_looked_for_as_hardware() -> None:
    assert isinstance(hardware_collector("fake", Host()), FakeCollector)
    assert "fake" not in HARDWARE
    with pytest.raises(KeyError):
        hardware_collector("no such source", Host())


# nvidia loads a driver library and has tests of its own
@pytest.mark.parametrize("name", sorted({*HARDWARE, "fake"} - {"nvidia"}))
def test_every_registered_source_keeps_the_contract_on_a_bare_machine(
    name: str, tmp_path: object
) -> None:
    source = hardware_collector(name, Host(sysfs=f"{tmp_path}/none", procfs=f"{tmp_path}/none"))
    assert isinstance(source, Collector)
    probe = source.probe()
    assert probe.ok == (name == "fake")
    assert probe.reason
    source.read()
    source.close()
    source.close()


def test_levels_follow_each_other_and_the_last_one_stays() -> None:
    trace = Levels(((2.0, 10.0), (3.0, 40.0), (1.0, 5.0)))
    assert [trace.power_w(t) for t in (0.0, 1.9, 2.0, 4.9, 5.5, 60.0)] == [10, 10, 40, 40, 5, 5]
    assert [trace.energy_j(t) for t in (0.0, 2.0, 3.0, 5.0, 8.0)] == [0, 20, 60, 140, 155]


def test_a_scripted_device_warms_up_and_a_lost_one_tells_nothing() -> None:
    devices = (
        FakeDevice("hot", Constant(100.0), warms_c_per_w=0.2, clock_hz=2e9),
        FakeDevice("gone", Constant(100.0), warms_c_per_w=0.2, lost_after_s=5.0),
        FakeDevice("mute", Constant(100.0)),
    )
    clock = Clock()
    source = FakeCollector(Host(clock_ns=clock), devices)
    source.probe()
    clock.forward(10.0)
    (seen,) = source.conditions()
    assert (seen.device, seen.temperature_c, seen.clock_hz) == ("fake:hot", 52.0, 2e9)
