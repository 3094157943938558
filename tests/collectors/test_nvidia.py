"""NVIDIA cards through the real pynvml on the stand-in driver, in a reader process as in a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from collectors.base import Condition, Gap, Observation, ProcessUtilization, Reading
from collectors.host import Host
from collectors.isolated import IsolatedCollector
from collectors.nvidia import NvidiaCollector, might_be_present
from collectors.nvidia_processes import ProcessWatch
from tests.support.nvml_stub import (
    AMPERE,
    FOREVER_S,
    HOPPER,
    PASCAL,
    TURING,
    Constant,
    Fault,
    Hang,
    NvmlStub,
    Process,
    Ramp,
    Square,
    StubGpu,
    library_folder,
)

SQUARE = Square(100.0, 300.0, 0.7)


@contextmanager
def reader(stub: NvmlStub, **options: float) -> Iterator[IsolatedCollector]:
    worker = IsolatedCollector(stub.factory(), "nvidia", **options)  # type: ignore[arg-type]
    worker.start()
    try:
        yield worker
    finally:
        worker.close(1.0)


def key(index: int) -> str:
    return f"nvidia:GPU-00000000-0000-0000-0000-{index:012d}"


def readings(found: list[Observation]) -> dict[str, Reading]:
    return {one.device: one for one in found if isinstance(one, Reading)}


def gaps(found: list[Observation]) -> list[Gap]:
    return [one for one in found if isinstance(one, Gap)]


def watch(
    worker: IsolatedCollector, seconds: float, tick_s: float = 0.5
) -> list[list[Observation]]:
    """One answer a tick, the first at once."""
    answers = [worker.read_blocking(5.0)]
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        time.sleep(tick_s)
        answers.append(worker.read_blocking(5.0))
    return answers


def assert_true(stub: NvmlStub, index: int, first: Reading, last: Reading, within: float) -> None:
    truth_uj = stub.truth_j(index, first.t_mono_ns, last.t_mono_ns) * 1e6
    assert last.energy_uj - first.energy_uj == pytest.approx(truth_uj, rel=within)
    assert last.low_uj is not None
    assert last.high_uj is not None
    assert last.low_uj - 1000 <= truth_uj + first.energy_uj <= last.high_uj + 1000


def test_counter_agrees_with_the_truth(tmp_path: Path) -> None:
    traces = (Constant(200.0), SQUARE, Ramp(50.0, 300.0, 3.0))
    stub = NvmlStub(tmp_path, [StubGpu(trace=trace) for trace in traces])
    with reader(stub) as worker:
        probe = worker.probe_blocking(5.0)
        answers = watch(worker, 4.0)
    assert [(d.key, d.origin, d.boundary) for d in probe.devices] == [
        (key(index), "measured", "board") for index in range(3)
    ]
    assert [(d.gain_low, d.gain_high, d.power_limit_w) for d in probe.devices] == [
        (0.94, 1.06, 400.0)
    ] * 3
    assert probe.verified is False
    # The phase of the counter's steps is known to a few milliseconds; a step of power inside the
    # last tick is not. Both shrink with the length of a run: here it is four seconds.
    for index, within in enumerate((0.004, 0.02, 0.004)):
        first, last = readings(answers[0])[key(index)], readings(answers[-1])[key(index)]
        assert_true(stub, index, first, last, within)
        told = [readings(answer)[key(index)].energy_uj for answer in answers]
        assert told == sorted(told)


@pytest.mark.slow
def test_power_alone_agrees_with_the_truth_within_one_percent(tmp_path: Path) -> None:
    cards = [
        StubGpu(
            energy=False,
            architecture=PASCAL,
            power_update_s=0.02,
            power_window_s=0.02,
        ),
        StubGpu(energy=False, architecture=TURING, power_window_s=0.1),
        StubGpu(energy=False, architecture=AMPERE, device_id=0x2204, power_window_s=1.0),
        StubGpu(energy=False, architecture=TURING, power_window_s=0.1),
    ]
    # What the sensor has not shown yet when a run ends is in doubt: up to a fifth of a second of
    # the swing. It is chosen so that this stays below 1 % of ten seconds.
    swing = Square(160.0, 240.0, 0.7)
    traces = (swing, swing, swing, Ramp(50.0, 300.0, 8.0))
    gpus = [
        StubGpu(**{**card.__dict__, "trace": trace})
        for card, trace in zip(cards, traces, strict=True)
    ]
    stub = NvmlStub(tmp_path, gpus, driver="535.104.05")
    with reader(stub) as worker:
        probe = worker.probe_blocking(5.0)
        answers = watch(worker, 10.0, tick_s=1.0)
    assert [(d.origin, d.source) for d in probe.devices] == [
        ("derived", "NVML power, instantaneous"),
        ("derived", "NVML power, instantaneous"),
        ("derived", "NVML power, 1 s average"),
        ("derived", "NVML power, instantaneous"),
    ]
    for index in range(4):
        first, last = readings(answers[0])[key(index)], readings(answers[-1])[key(index)]
        truth_uj = stub.truth_j(index, first.t_mono_ns, last.t_mono_ns) * 1e6
        assert last.energy_uj == pytest.approx(truth_uj, rel=0.01)
        assert last.low_uj is not None
        assert last.high_uj is not None
        assert last.low_uj * 0.999 <= truth_uj <= last.high_uj * 1.001


@pytest.mark.parametrize(
    ("card", "driver", "source", "tick_s"),
    [
        (StubGpu(architecture=PASCAL), "570.1", "NVML power, instantaneous", 0.02),
        (StubGpu(architecture=TURING), "570.1", "NVML power, instantaneous", 0.1),
        (StubGpu(architecture=AMPERE), "570.1", "NVML power, instantaneous", 0.1),  # GA100
        (StubGpu(device_id=0x2204), "525.1", "NVML power, instantaneous", 0.1),
        (StubGpu(device_id=0x2204), "530.1", "NVML power, 1 s average", 0.1),
        (StubGpu(architecture=HOPPER, device_id=0x2330), "525.1", "NVML power, 1 s average", 0.1),
        (
            StubGpu(architecture=HOPPER, device_id=0x2330, instant_window_s=0.025),
            "535.1",
            "NVML power, instantaneous",
            0.1,
        ),
    ],
)
def test_instantaneous_and_averaged_power_are_told_apart(
    tmp_path: Path, card: StubGpu, driver: str, source: str, tick_s: float
) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(**{**card.__dict__, "energy": False})], driver=driver)
    with reader(stub) as worker:
        device = worker.probe_blocking(5.0).devices[0]
    assert (device.source, device.tick_s, device.origin) == (source, tick_s, "derived")


def test_a_lost_gpu_keeps_its_energy_until_then_and_the_others_go_on(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(100.0)), StubGpu(trace=Constant(50.0))])
    with reader(stub) as worker:
        before = watch(worker, 1.0)
        stub.change(0, lost_at_s=stub.now_s(), back_at_s=FOREVER_S)
        after = watch(worker, 1.0)
    last_good = readings(before[-1])[key(0)]
    assert_true(stub, 0, readings(before[0])[key(0)], last_good, 0.04)
    lost = gaps(after[0])
    assert [(gap.device, gap.cause, gap.recoverable) for gap in lost] == [(key(0), "lost", False)]
    assert lost[0].since_mono_ns == last_good.t_mono_ns
    assert all(key(0) not in readings(answer) for answer in after)
    assert [gap for answer in after[1:] for gap in gaps(answer)] == []  # asked again more rarely
    assert_true(stub, 1, readings(before[0])[key(1)], readings(after[-1])[key(1)], 0.04)


@pytest.mark.slow
def test_a_gpu_that_comes_back_brings_what_its_counter_kept(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(100.0))])
    with reader(stub) as worker:
        first = readings(worker.read_blocking(5.0))[key(0)]
        stub.change(0, lost_at_s=stub.now_s(), back_at_s=stub.now_s() + 1.0)
        answers = watch(worker, 5.5)
    assert gaps(answers[0])[0].cause == "lost"
    assert_true(stub, 0, first, readings(answers[-1])[key(0)], 0.03)


def test_passing_errors_are_gaps_that_the_next_look_makes_good(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(100.0))])
    with reader(stub) as worker:
        first = readings(worker.read_blocking(5.0))[key(0)]
        fault = Fault("nvmlDeviceGetTotalEnergyConsumption", 999, to_s=stub.now_s() + 0.6)
        stub.change(0, faults=(fault,))
        answers = watch(worker, 1.2, tick_s=0.3)
    found = [gap for answer in answers for gap in gaps(answer)]
    assert {(gap.cause, gap.recoverable) for gap in found} == {("invalid", True)}
    (since_ns,) = {gap.since_mono_ns for gap in found}  # the last good look, or a poll after it
    assert first.t_mono_ns <= since_ns < found[0].t_mono_ns
    assert_true(stub, 0, first, readings(answers[-1])[key(0)], 0.15)


def test_errors_beside_the_counter_cost_no_energy(tmp_path: Path) -> None:
    names = (
        "PowerUsage",
        "Temperature",
        "ClockInfo",
        "UtilizationRates",
        "ProcessUtilization",
        "MigMode",
    )
    faults = tuple(Fault(f"nvmlDeviceGet{name}", 999) for name in names)
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(100.0), faults=faults)])
    with reader(stub) as worker:
        answers = watch(worker, 1.0)
    assert [gap for answer in answers for gap in gaps(answer)] == []
    last = readings(answers[-1])[key(0)]
    assert_true(stub, 0, readings(answers[0])[key(0)], last, 0.2)
    assert last.power_w is None
    assert conditions(answers) == []


def test_conditions_come_every_few_seconds_and_never_with_the_first_look(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(fan_percent=30, busy_percent=87), StubGpu()])
    with reader(stub) as worker:
        answers = watch(worker, 1.0)
    assert [one for one in answers[0] if isinstance(one, Condition)] == []
    seen = conditions(answers)
    assert [one.device for one in seen] == [key(0), key(1)]
    assert [tuple(one[2:]) for one in seen] == [
        (45.0, 1.41e9, 0.3, 0.87),
        (45.0, 1.41e9, None, 0.0),
    ]


def test_a_counter_that_goes_back_is_a_reset_and_never_a_wrap(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(100.0))])
    with reader(stub) as worker:
        before = watch(worker, 1.0)
        last_good = readings(before[-1])[key(0)]
        stub.change(0, energy_reset_s=stub.now_s())
        gap = gaps(worker.read_blocking(5.0))[0]
        after = watch(worker, 1.0)
    assert (gap.cause, gap.recoverable) == ("reset", False)
    assert gap.since_mono_ns == last_good.t_mono_ns
    grown_uj = readings(after[-1])[key(0)].energy_uj - last_good.energy_uj
    assert grown_uj == pytest.approx(100e6 * (after_s(gap, after)), abs=22e6)  # two ticks in doubt


def after_s(gap: Gap, answers: list[list[Observation]]) -> float:
    return (readings(answers[-1])[gap.device].t_mono_ns - gap.t_mono_ns) / 1e9


def test_mig_mode_does_not_hide_the_cards_energy(tmp_path: Path) -> None:
    card = StubGpu(
        trace=Constant(100.0),
        mig=True,
        samples=False,
        faults=(
            Fault("nvmlDeviceGetComputeRunningProcesses_v3", 3),
            Fault("nvmlDeviceGetUtilizationRates", 3),
        ),
    )
    stub = NvmlStub(tmp_path, [card])
    with reader(stub) as worker:
        device = worker.probe_blocking(5.0).devices[0]
        answers = watch(worker, 1.2)
    assert "MIG is on" in device.note
    assert device.origin == "measured"
    assert_true(stub, 0, readings(answers[0])[key(0)], readings(answers[-1])[key(0)], 0.02)
    assert gaps([one for answer in answers for one in answer]) == []


def test_a_card_that_tells_nothing_is_named_and_the_other_is_read(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(name="GRID", energy=False, power=False), StubGpu()])
    with reader(stub) as worker:
        probe = worker.probe_blocking(5.0)
    assert [device.key for device in probe.devices] == [key(1)]
    assert probe.reason == "GRID has neither an energy counter nor a power reading"


def test_two_equal_cards_are_two_devices(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(uuid="GPU-a"), StubGpu(uuid="GPU-b")])
    with reader(stub) as worker:
        assert [d.key for d in worker.probe_blocking(5.0).devices] == [
            "nvidia:GPU-a",
            "nvidia:GPU-b",
        ]


@pytest.mark.parametrize(
    ("code", "reason", "remedy"),
    [
        (4, "no permission", "sudo usermod"),
        (9, "kernel driver is not loaded", "sudo modprobe nvidia"),
        (18, "different versions", "reboot"),
        (999, "NVML says", "nvidia-smi"),
    ],
)
def test_a_driver_that_does_not_start_says_why(
    tmp_path: Path, code: int, reason: str, remedy: str
) -> None:
    with reader(NvmlStub(tmp_path, init_error=code)) as worker:
        probe = worker.probe_blocking(5.0)
        assert worker.read_blocking(5.0) == []
    assert not probe.ok
    assert reason in probe.reason
    assert remedy in probe.remedy


def test_no_gpu_at_all_says_so(tmp_path: Path) -> None:
    with reader(NvmlStub(tmp_path, [])) as worker:
        assert worker.probe_blocking(5.0).reason == "the NVIDIA driver sees no GPU"


# -- a driver that hangs, a reader that dies -----------------------------------------------------


def test_a_hang_of_five_seconds_delays_nothing_and_inflates_nothing(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(100.0))])
    with reader(stub, deadline_s=0.5) as worker:
        first = readings(worker.read_blocking(5.0))[key(0)]
        at_s = stub.now_s()
        stub.hangs.append(Hang("nvmlDeviceGetTotalEnergyConsumption", at_s, 5.0))
        stub.write()
        slowest_s = 0.0
        announced: list[Gap] = []
        late: list[Observation] = []
        while stub.now_s() < at_s + 5.6:
            before_s = time.monotonic()
            announced += worker.tend(time.monotonic_ns())
            worker.request()
            while (message := worker.receive()) is not None:
                assert isinstance(message, list)
                late += message
            slowest_s = max(slowest_s, time.monotonic() - before_s)
            time.sleep(0.1)
    assert slowest_s < 0.2
    assert [(gap.cause, gap.recoverable) for gap in announced] == [("timeout", True)]
    for reading in readings(late).values():
        truth_uj = stub.truth_j(0, first.t_mono_ns, reading.t_mono_ns) * 1e6
        assert reading.low_uj is not None
        assert reading.high_uj is not None
        assert reading.low_uj <= truth_uj <= reading.high_uj
    assert readings(late)[key(0)].energy_uj < 100e6 * (stub.now_s() + 0.2)


@pytest.mark.parametrize("hard", [True, False])
def test_closing_during_a_hang_takes_no_longer_than_asked(tmp_path: Path, hard: bool) -> None:
    stub = NvmlStub(tmp_path, [StubGpu()])
    worker = IsolatedCollector(stub.factory(), "nvidia")
    worker.start()
    worker.read_blocking(5.0)
    pid = worker.pid
    stub.hangs.append(Hang("nvmlDeviceGetTotalEnergyConsumption", stub.now_s(), 3.0, hard))
    stub.write()
    worker.request()
    time.sleep(0.1)
    before_s = time.monotonic()
    worker.close(0.5)
    assert time.monotonic() - before_s < 0.8
    # It leaves in good order: a call that can be interrupted at once, the other when it returns.
    time.sleep(0.5)
    assert (f"shutdown {pid}" in stub.log.read_text()) is not hard
    while stub.now_s() < 5.0 and f"shutdown {pid}" not in stub.log.read_text():
        time.sleep(0.05)
    assert f"shutdown {pid}" in stub.log.read_text()
    time.sleep(0.2)
    worker.close(0.1)


def test_a_killed_reader_costs_no_energy_of_a_counter(tmp_path: Path) -> None:
    gpus = [StubGpu(trace=Constant(100.0)), StubGpu(trace=Constant(100.0), energy=False)]
    stub = NvmlStub(tmp_path, gpus)
    with reader(stub) as worker:
        before = watch(worker, 1.0)
        pid = worker.pid
        assert pid is not None
        os.kill(pid, 9)
        found: list[Observation] = []
        end_s = time.monotonic() + 5
        while key(1) not in readings(found):
            worker.tend(time.monotonic_ns())
            while (message := worker.receive()) is not None:
                found += message if isinstance(message, list) else []
            assert time.monotonic() < end_s
            time.sleep(0.01)
        after = watch(worker, 0.5)
    assert {gap.device for gap in gaps(found) if gap.recoverable} == {key(0), key(1)}
    # The card with a counter misses nothing; the other says exactly what it misses.
    assert_true(stub, 0, readings(before[0])[key(0)], readings(after[-1])[key(0)], 0.05)
    (missing,) = [gap for gap in gaps(found) if not gap.recoverable]
    assert missing.device == key(1)
    total_s = (readings(after[-1])[key(1)].t_mono_ns - readings(before[0])[key(1)].t_mono_ns) / 1e9
    missing_s = (missing.t_mono_ns - missing.since_mono_ns) / 1e9
    assert missing_s > 0.9
    assert readings(after[-1])[key(1)].energy_uj == pytest.approx(
        100e6 * (total_s - missing_s), rel=0.01
    )


def test_the_driver_is_let_go_in_good_order(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path)
    with reader(stub) as worker:
        worker.read_blocking(5.0)
        pid = worker.pid
    assert stub.log.read_text() == f"init {pid}\nshutdown {pid}\n"


# -- who used it ---------------------------------------------------------------------------------


def conditions(answers: list[list[Observation]]) -> list[Condition]:
    return [one for answer in answers for one in answer if isinstance(one, Condition)]


def shares(answers: list[list[Observation]]) -> list[ProcessUtilization]:
    return [one for answer in answers for one in answer if isinstance(one, ProcessUtilization)]


def test_processes_get_their_share_of_the_time_between_two_looks(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path)
    with reader(stub) as worker:
        worker.read_blocking(5.0)
        now_s = stub.now_s()
        running = (
            Process(100, 60),
            Process(200, 20, to_s=now_s + 0.5),  # half of the window only
            Process(300, 90, to_s=now_s - 1.0),  # before it
            Process(400, 20, from_s=now_s, to_s=now_s + 0.5),
        )
        stub.change(0, processes=running)
        time.sleep(1.05)
        found = shares([worker.read_blocking(5.0)])
    assert len(found) == 1
    assert found[0].t_mono_ns - found[0].since_mono_ns == pytest.approx(1.05e9, rel=0.2)
    assert set(found[0].share_by_pid) == {100, 200, 400}
    assert found[0].share_by_pid[100] == pytest.approx(0.6)
    assert found[0].share_by_pid[200] == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (StubGpu(), [{}]),
        (StubGpu(samples=False, compute_pids=(7,)), [{7: 1.0}]),
        (StubGpu(samples=False, compute_pids=()), [{}]),
        (StubGpu(samples=False, compute_pids=(7, 8)), []),  # nobody can tell
    ],
)
def test_without_samples_only_a_lone_process_is_certain(
    tmp_path: Path, card: StubGpu, expected: list[dict[int, float]]
) -> None:
    with reader(NvmlStub(tmp_path, [card])) as worker:
        found = shares(watch(worker, 1.0, tick_s=1.0))
    assert [one.share_by_pid for one in found] == expected


def test_leftover_and_absurd_samples_are_not_counted() -> None:
    """Seen with older drivers: samples from before the asked time, and figures above 100."""
    stamp_us = 1_000_000_000
    samples = [
        SimpleNamespace(pid=1, timeStamp=stamp_us - 1, smUtil=90),
        SimpleNamespace(pid=2, timeStamp=stamp_us + 1, smUtil=4_000_000_000),
        SimpleNamespace(pid=3, timeStamp=stamp_us + 1, smUtil=40),
    ]
    nvml = SimpleNamespace(
        NVMLError=RuntimeError, nvmlDeviceGetProcessUtilization=lambda handle, since_us: samples
    )
    processes = ProcessWatch(nvml, None, "gpu", clock_s=lambda: stamp_us / 1e6)
    assert processes.look(0) is None
    found = processes.look(1_000_000_000)
    assert found is not None
    assert found.share_by_pid == {3: 0.4}


# -- is there a driver at all --------------------------------------------------------------------


def fake_host(tmp_path: Path) -> Host:
    return Host(sysfs=str(tmp_path / "sys"), procfs=str(tmp_path / "proc"))


def test_absence_is_decided_without_importing_the_binding(tmp_path: Path) -> None:
    program = (
        "import sys, json\n"
        "from collectors.host import Host\n"
        "from collectors.nvidia import NvidiaCollector\n"
        f"root = {str(tmp_path)!r}\n"
        "collector = NvidiaCollector(Host(root + '/sys', root + '/proc'))\n"
        "probe = collector.probe()\n"
        "loaded = [m for m in ('pynvml', 'ctypes') if m in sys.modules]\n"
        "print(json.dumps([probe.ok, probe.reason, list(collector.read()), loaded]))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [False, "no NVIDIA card or driver found", [], []]


def test_presence_is_a_matter_of_micro_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/lib:/nowhere")
    host = fake_host(tmp_path)
    fastest_s = 1.0
    for _ in range(20):
        before_s = time.perf_counter()
        assert not might_be_present(host)
        fastest_s = min(fastest_s, time.perf_counter() - before_s)
    assert fastest_s < 0.0005


def test_signs_of_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    host = fake_host(tmp_path)
    assert not might_be_present(host)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{library_folder()}")
    assert might_be_present(host)
    monkeypatch.delenv("LD_LIBRARY_PATH")
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    assert might_be_present(host)


def test_a_card_without_a_driver_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    slot = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    slot.mkdir(parents=True)
    (slot / "vendor").write_text("0x10de\n")
    (slot / "class").write_text("0x030200\n")
    probe = NvidiaCollector(fake_host(tmp_path)).probe()
    assert probe.reason == "an NVIDIA card is here but its kernel driver is not loaded"
    assert "modprobe nvidia" in probe.remedy


def test_the_loader_finds_the_library_by_its_search_path(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(100.0))])
    program = (
        "import json, time\n"
        "from collectors.host import Host\n"
        "from collectors.nvidia import NvidiaCollector\n"
        "c = NvidiaCollector(Host()); p = c.probe(); a = c.read()[0]\n"
        "time.sleep(0.5); b = c.read()[0]; c.close(); c.close()\n"
        "print(json.dumps([p.devices[0].key, b.energy_uj, b.t_mono_ns - a.t_mono_ns]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **stub.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    device, energy_uj, dt_ns = json.loads(done.stdout)
    assert device == key(0)
    assert energy_uj == pytest.approx(dt_ns / 10, abs=11e6)
