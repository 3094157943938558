"""What counters do to a run: wraps, resets, leaps, sensors that go away, rights that are taken."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, RunObject, device, events, sampler_of
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

WITHIN = 0.02  # of the truth, for runs of a few seconds


@pytest.fixture
def machine(frugalwatch: Frugalwatch) -> Frugalwatch:
    frugalwatch.environment["FRUGALWATCH_SYSFS"] = str(frugalwatch.folder / "sys")
    return frugalwatch


def close_to(value: float, truth: float, within: float = WITHIN) -> bool:
    return abs(value - truth) <= within * truth


def encloses(run: RunObject, truth: float) -> bool:
    """Whether the truth is inside the bounds, give or take the simulation's own 3 ms tick."""
    return bool(run["energy_low_j"] * 0.995 <= truth <= run["energy_high_j"] * 1.005)


def run_meanwhile(
    machine: Frugalwatch,
    tree: PowercapTree,
    seconds: float,
    after_s: float,
    what: Callable[[], None],
) -> RunObject:
    """Measure a `sleep`, and `what()` happens a while after the counters were first looked at."""
    target = machine.folder / "out.json"
    process = machine.start(
        *("run", "--interval", "0.5", "--json", str(target), "--", "sleep", str(seconds))
    )
    machine.wait_for_look()
    time.sleep(after_s)
    what()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    run: RunObject = json.loads(target.read_text())
    return run


def test_a_counter_that_wraps_once_loses_nothing(machine: Frugalwatch) -> None:
    zone = Zone("package-0", Constant(50.0), range_j=1000, start_j=920)
    with PowercapTree(machine.folder, [zone]) as tree:
        tree.start()
        run, _ = machine.measure("--", "sleep", "3")
        assert close_to(run["energy_j"], tree.true_energy_j("package-0", *machine.window()))
    assert run["coverage"] == pytest.approx(1.0, abs=0.01)
    assert events(run, "gap") == []


def test_a_counter_that_wraps_between_every_two_looks_is_looked_at_more_often(
    machine: Frugalwatch,
) -> None:
    """At 100 W and a range of 60 J a wrap comes every 0.6 s, with one look a second asked for."""
    zone = Zone("package-0", Constant(100.0), range_j=60, max_power_w=40.0)
    with PowercapTree(machine.folder, [zone]) as tree:
        tree.start()
        run, _ = machine.measure("--", "sleep", "4")
        assert close_to(run["energy_j"], tree.true_energy_j("package-0", *machine.window()))


def test_wraps_that_nobody_saw_are_inside_the_bounds_and_said(machine: Frugalwatch) -> None:
    """The sampler is stopped for longer than a wrap takes: how many there were cannot be known."""
    zone = Zone("package-0", Constant(100.0), range_j=100, max_power_w=40.0)
    with PowercapTree(machine.folder, [zone]) as tree:
        tree.start()
        target = machine.folder / "out.json"
        process = machine.start("run", "--json", str(target), "--", "sleep", "6")
        sampler = sampler_of(process.pid)
        time.sleep(1.5)
        os.kill(sampler, signal.SIGSTOP)
        time.sleep(2.5)
        os.kill(sampler, signal.SIGCONT)
        process.communicate(timeout=20)
        truth = tree.true_energy_j("package-0", *machine.window())
    run = json.loads(target.read_text())
    assert run["energy_j"] < 0.95 * truth, "two ranges of 100 J went by unseen"
    assert encloses(run, truth)
    assert [e["cause"] for e in events(run, "gap")] == ["ambiguous"]


def test_a_counter_that_starts_again_at_zero_is_a_gap_and_no_wrap(machine: Frugalwatch) -> None:
    zone = Zone("package-0", Constant(50.0), start_j=5000.0)
    with PowercapTree(machine.folder, [zone]) as tree:
        tree.start()
        run = run_meanwhile(machine, tree, 4, 1, lambda: tree.reset("package-0"))
        truth = tree.true_energy_j("package-0", *machine.window())
    (gap,) = events(run, "gap")
    assert gap["cause"] == "reset"
    assert gap["energy_missing"]
    assert run["energy_j"] <= truth * 1.005, "the wrap that it was not would be 262 kJ"
    assert run["energy_j"] > 0.7 * truth
    assert encloses(run, truth)
    assert run["coverage"] < 0.99


def test_a_sensor_that_vanishes_keeps_what_it_said_until_then(machine: Frugalwatch) -> None:
    zones = [Zone("package-0", Constant(50.0)), Zone("dram", Constant(10.0))]
    with PowercapTree(machine.folder, zones) as tree:
        tree.start()
        vanished_ns = []

        def vanish() -> None:
            tree.vanish("dram")
            vanished_ns.append(time.monotonic_ns())

        run = run_meanwhile(machine, tree, 4, 1, vanish)
        begin, end = machine.window()
        truth = tree.true_energy_j("package-0", begin, end)
        until_then = tree.true_energy_j("dram", begin, *vanished_ns)
        everything = tree.true_energy_j("dram", begin, end)
    assert close_to(device(run, "package-0")["energy_j"], truth), "the other goes on"
    gone = device(run, "dram")
    assert until_then - 0.8 * 10.0 < gone["energy_j"] < 1.01 * until_then, "a look each half second"
    assert gone["coverage"] == pytest.approx(gone["energy_j"] / everything, abs=0.05)
    assert gone["low_j"] <= everything <= gone["high_j"] * 1.01
    assert [e["cause"] for e in events(run, "gap")] == ["vanished"]


def test_a_sensor_that_comes_back_has_counted_on(machine: Frugalwatch) -> None:
    with PowercapTree(machine.folder, [Zone("package-0", Constant(50.0))]) as tree:
        tree.start()

        def blink() -> None:
            tree.vanish("package-0")
            time.sleep(1.2)
            tree.restore("package-0")

        run = run_meanwhile(machine, tree, 5, 1, blink)
        truth = tree.true_energy_j("package-0", *machine.window())
    assert [e["cause"] for e in events(run, "gap")] == ["vanished"]
    assert encloses(run, truth)
    assert run["energy_j"] <= truth * 1.005


def test_a_right_that_is_taken_away_mid_run_ends_no_open_counter(as_nobody: Frugalwatch) -> None:
    """What is open stays open; the run is whole. A counter that has to be opened anew is a gap."""
    as_nobody.environment["FRUGALWATCH_SYSFS"] = str(as_nobody.folder / "sys")
    zones = [Zone("package-0", Constant(50.0)), Zone("dram", Constant(10.0))]
    with PowercapTree(as_nobody.folder, zones) as tree:
        tree.start()

        def revoke() -> None:
            tree.make_unreadable("package-0")
            tree.vanish("dram")
            tree.restore("dram")
            tree.make_unreadable("dram")

        run = run_meanwhile(as_nobody, tree, 4, 1, revoke)
        truth = tree.true_energy_j("package-0", *as_nobody.window())
    assert close_to(device(run, "package-0")["energy_j"], truth)
    assert [(e["cause"], e["device"]) for e in events(run, "gap")] == [("permission", "rapl:dram")]
    assert device(run, "dram")["coverage"] < 0.75


def test_a_counter_that_may_not_be_read_is_never_a_zero(as_nobody: Frugalwatch) -> None:
    as_nobody.environment["FRUGALWATCH_SYSFS"] = str(as_nobody.folder / "sys")
    with PowercapTree(
        as_nobody.folder, [Zone("package-0", Constant(50.0))], energy_mode=0o000
    ) as tree:
        assert Path(tree.sysfs).exists()
        run, _ = as_nobody.measure("--", "sleep", "0.2")
    assert run["energy_j"] is None
    assert [d["origin"] for d in run["devices"]] == ["estimated"] * len(run["devices"])


def test_no_source_at_all_is_null_and_said(frugalwatch: Frugalwatch) -> None:
    off = ("--source-off", "cpu_model", "--source-off", "ram_model")
    run, result = frugalwatch.measure(*off, "--summary", "block", "--", "sh", "-c", "exit 3")
    assert result.returncode == 3
    assert run["devices"] == []
    for key in ("energy_j", "estimated_j", "co2e_g", "coverage", "above_idle_j", "job_share_j"):
        assert run[key] is None, key
    assert run["cpu_s"] > 0
    assert "unknown" in result.said


def test_a_run_that_is_over_before_the_first_look_has_its_energy(machine: Frugalwatch) -> None:
    with PowercapTree(machine.folder, [Zone("package-0", Constant(50.0))]) as tree:
        tree.start()
        for _ in range(3):
            run, _ = machine.measure("--", "true")
            truth = tree.true_energy_j("package-0", *machine.window())
            # Its counter moves every 3 ms, which is 0.15 J.
            assert run["energy_j"] == pytest.approx(truth, abs=0.3)
