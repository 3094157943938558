"""The modelled energy against truth computed by hand, its bounds, its limits, its failures."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.band import Band
from collectors.base import Collector, Gap, Reading, Resumable
from collectors.calibration import Calibration, ToldPower
from collectors.cpu_model import KEY, CpuModelCollector, cpu_model_collector
from collectors.cpu_power_model import CpuPowerModel
from collectors.host import Host
from tests.support.machine_tree import (
    ICE_LAKE_SP,
    MASKED_SAPPHIRE_RAPIDS,
    ROCKET_LAKE,
    Clock,
    MachineTree,
)

IDLE_W, FULL_W = 0.756, 3.878  # Ice Lake, per hardware thread


def one_reading(collector: CpuModelCollector) -> Reading:
    (observation,) = collector.read()
    assert isinstance(observation, Reading)
    return observation


@pytest.fixture
def tree(tmp_path: Path) -> MachineTree:
    tree = MachineTree(tmp_path)
    tree.cpu(ICE_LAKE_SP, 4)
    return tree


def test_energy_is_idle_watts_times_wall_plus_active_watts_times_cpu(tree: MachineTree) -> None:
    collector = cpu_model_collector(tree.host)
    assert collector.probe().ok
    for step in range(1, 11):
        tree.clock.forward(1.0)
        tree.busy([0.9 * step, 0.4 * step, 0.0, 0.0])
        reading = one_reading(collector)
    truth_j = 4 * IDLE_W * 10 + (FULL_W - IDLE_W) * (9.0 + 4.0)
    assert reading.energy_uj == pytest.approx(truth_j * 1e6, rel=1e-6)
    assert reading.low_uj == pytest.approx(truth_j / 2 * 1e6, rel=1e-6)
    assert reading.high_uj == pytest.approx(truth_j * 2 * 1e6, rel=1e-6)


def test_an_idle_and_a_full_machine_meet_the_published_end_points(tree: MachineTree) -> None:
    collector = cpu_model_collector(tree.host)
    collector.probe()
    tree.clock.forward(100.0)
    assert one_reading(collector).energy_uj == pytest.approx(4 * IDLE_W * 100e6)
    tree.clock.forward(100.0)
    tree.busy([100.0] * 4)
    assert one_reading(collector).energy_uj == pytest.approx(4 * (IDLE_W + FULL_W) * 100e6)


def test_the_device_says_that_it_is_a_model_of_the_whole_server(tree: MachineTree) -> None:
    (device,) = cpu_model_collector(tree.host).probe().devices
    assert (device.key, device.domain, device.origin) == (KEY, "cpu", "estimated")
    assert (device.boundary, device.encloses) == ("server_ac", ("cpu", "ram"))
    assert device.source == (
        "model: Ice Lake-SP, 0.76-3.88 W per hardware thread (SPECpower, server AC)"
    )
    assert "bounds x0.5 to x2" in device.note
    assert device.idle_w == pytest.approx(4 * IDLE_W)
    assert device.idle_low_w == pytest.approx(2 * IDLE_W)
    assert device.idle_high_w == pytest.approx(8 * IDLE_W)
    assert device.idle_origin == "model"


def test_a_container_of_4_of_64_threads_is_charged_for_4(tmp_path: Path) -> None:
    tree = MachineTree(tmp_path)
    tree.cpu(ICE_LAKE_SP, 64)
    tree.busy([50.0] * 64)  # neighbours
    tree.cgroup_v2(cpu__max="400000 100000\n", cpu__stat="usage_usec 7000000\n")
    collector = cpu_model_collector(tree.host)
    (device,) = collector.probe().devices
    assert device.name == "CPU model, 4 of 64 hardware threads"
    assert "CPU quota of 4" in device.note
    tree.clock.forward(10.0)
    tree.busy([60.0] * 64)
    tree.cgroup_v2(cpu__max="400000 100000\n", cpu__stat="usage_usec 27000000\n")
    truth_j = 4 * IDLE_W * 10 + (FULL_W - IDLE_W) * 20.0
    assert one_reading(collector).energy_uj == pytest.approx(truth_j * 1e6)
    assert collector.idle_power_w().value == pytest.approx(4 * IDLE_W)


def test_a_cpuset_of_2_of_4_threads_is_charged_for_its_own_cpus(tree: MachineTree) -> None:
    tree.allowed("2-3")
    collector = cpu_model_collector(tree.host)
    (device,) = collector.probe().devices
    assert "covers CPUs 2-3 only" in device.note
    tree.clock.forward(10.0)
    tree.busy([10.0, 10.0, 5.0, 0.0])
    truth_j = 2 * IDLE_W * 10 + (FULL_W - IDLE_W) * 5.0
    assert one_reading(collector).energy_uj == pytest.approx(truth_j * 1e6)


def test_a_contradicting_hypervisor_is_named_in_the_note(tree: MachineTree) -> None:
    tree.cpu(MASKED_SAPPHIRE_RAPIDS, 2)
    (device,) = cpu_model_collector(tree.host).probe().devices
    assert "Sapphire Rapids or newer" in device.source
    assert "the hypervisor hides the real model" in device.note


def test_a_desktop_without_a_record_gets_the_general_band(tree: MachineTree) -> None:
    tree.cpu(ROCKET_LAKE, 16)
    collector = cpu_model_collector(tree.host)
    (device,) = collector.probe().devices
    assert "Rocket Lake is a desktop or laptop part" in device.note
    band = collector.idle_power_w()
    assert band.low < band.value / 2
    assert band.high > band.value * 2


def test_a_failed_look_is_a_gap_that_the_next_one_makes_good(tree: MachineTree) -> None:
    collector = cpu_model_collector(tree.host)
    collector.probe()
    (tree.root / "proc" / "stat").unlink()
    tree.clock.forward(5.0)
    (gap,) = collector.read()
    assert isinstance(gap, Gap)
    assert (gap.cause, gap.recoverable) == ("vanished", True)
    assert gap.t_mono_ns - gap.since_mono_ns == 5_000_000_000
    tree.clock.forward(5.0)
    tree.busy([10.0, 0.0, 0.0, 0.0])
    truth_j = 4 * IDLE_W * 10 + (FULL_W - IDLE_W) * 10.0
    assert one_reading(collector).energy_uj == pytest.approx(truth_j * 1e6)


def test_without_cpu_time_the_probe_says_why(tmp_path: Path) -> None:
    probe = cpu_model_collector(MachineTree(tmp_path).host).probe()
    assert not probe.ok
    assert "CPU time cannot be read" in probe.reason
    assert "FRUGALWATCH_PROCFS" in probe.remedy


def test_a_second_probe_does_not_move_the_zero(tree: MachineTree) -> None:
    collector = cpu_model_collector(tree.host)
    collector.probe()
    tree.clock.forward(10.0)
    collector.probe()
    assert one_reading(collector).energy_uj == pytest.approx(4 * IDLE_W * 10e6)


def test_cpu_time_that_goes_back_adds_nothing(tree: MachineTree) -> None:
    tree.busy([100.0] * 4)
    collector = cpu_model_collector(tree.host)
    collector.probe()
    tree.clock.forward(1.0)
    tree.busy([0.0] * 4)
    assert one_reading(collector).energy_uj == pytest.approx(4 * IDLE_W * 1e6)


def test_a_successor_goes_on_and_the_time_between_counts(tree: MachineTree) -> None:
    first = cpu_model_collector(tree.host)
    first.probe()
    tree.clock.forward(10.0)
    tree.busy([10.0, 0.0, 0.0, 0.0])
    first.read()
    state = first.state()
    tree.clock.forward(5.0)  # nobody looks
    tree.busy([15.0, 0.0, 0.0, 0.0])
    second = cpu_model_collector(tree.host)
    second.probe()
    second.resume(state)
    truth_j = 4 * IDLE_W * 15 + (FULL_W - IDLE_W) * 15.0
    assert one_reading(second).energy_uj == pytest.approx(truth_j * 1e6)


def test_it_is_a_collector_that_can_be_resumed(tree: MachineTree) -> None:
    collector = cpu_model_collector(tree.host)
    assert isinstance(collector, Collector)
    assert isinstance(collector, Resumable)
    assert collector.read() == ()  # nothing before probe
    collector.close()
    collector.close()


def test_what_a_person_told_replaces_the_table(tree: MachineTree) -> None:
    told = Calibration(told=ToldPower(idle_w=38.0, full_w=145.0))
    collector = cpu_model_collector(tree.host, calibration=told)
    (device,) = collector.probe().devices
    assert device.source == "model: told 38 W idle, 145 W under full load (wall meter)"
    tree.clock.forward(10.0)
    tree.busy([10.0, 10.0, 0.0, 0.0])
    assert one_reading(collector).energy_uj == pytest.approx((38.0 + 107.0 / 2) * 10e6)


class ScriptedBusy:
    """Busy time that a test sets."""

    scope = "machine"

    def __init__(self) -> None:
        self.now_us = 12_345

    def busy_us(self) -> int:
        return self.now_us


@st.composite
def models(draw: st.DrawFn) -> CpuPowerModel:
    watts = st.floats(0.05, 20.0)
    idle = draw(watts)
    full = idle + draw(watts)
    low = draw(st.floats(0.2, 1.0))
    high = draw(st.floats(1.0, 4.0))
    return CpuPowerModel(
        idle_w=Band(idle, idle * low, idle * high),
        full_w=Band(full, full * low, full * high),
        threads=draw(st.floats(0.5, 256.0)),
        visible_threads=256,
        boundary="server_ac",
        encloses=("cpu", "ram"),
        source="",
    )


@settings(max_examples=80)
@given(
    models(),
    st.lists(st.tuples(st.floats(0.001, 100.0), st.floats(0.0, 1.5)), min_size=1, max_size=30),
)
def test_energy_never_falls_and_bounds_contain_it(
    model: CpuPowerModel, steps: list[tuple[float, float]]
) -> None:
    clock, busy = Clock(), ScriptedBusy()
    collector = CpuModelCollector(Host(clock_ns=clock), model, busy)
    collector.probe()
    before = Reading(KEY, 0, 0, 0, 0)
    wall_s = 0.0
    for seconds, load in steps:
        clock.forward(seconds)
        wall_s += seconds
        busy.now_us += round(seconds * load * model.threads * 1e6)
        now = one_reading(collector)
        assert now.low_uj is not None
        assert now.high_uj is not None
        assert before.energy_uj <= now.energy_uj
        assert (before.low_uj or 0) <= now.low_uj <= now.energy_uj <= now.high_uj
        # Never more than every covered thread at full power, whatever the clocks say.
        assert now.energy_uj <= model.full_w.value * wall_s * 1e6 + 2
        before = now


@settings(max_examples=50)
@given(models(), st.floats(1.0, 1000.0), st.floats(0.0, 1.0), st.integers(1, 20))
def test_looking_more_often_does_not_change_the_energy(
    model: CpuPowerModel, seconds: float, load: float, looks: int
) -> None:
    figures = []
    for count in (1, looks):
        clock, busy = Clock(), ScriptedBusy()
        collector = CpuModelCollector(Host(clock_ns=clock), model, busy)
        collector.probe()
        for _ in range(count):
            clock.forward(seconds / count)
            busy.now_us += int(seconds / count * load * model.threads * 1e6)
            reading = one_reading(collector)
        figures.append(reading.energy_uj)
    # Whole micro-seconds of each step are what may differ.
    assert figures[0] == pytest.approx(figures[1], rel=1e-6, abs=1000 * looks)
