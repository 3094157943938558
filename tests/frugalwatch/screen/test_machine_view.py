"""View 4 as a person sees it: sums that count nothing twice, idle GPUs, the grid over time."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from frugalwatch.ledger.connection import open_ledger
from frugalwatch.screen.app import Screen
from tests.frugalwatch.ledger.kit import SECOND
from tests.frugalwatch.screen.kit import (
    CPU,
    GPU,
    LARGE,
    MODEL,
    SETTINGS,
    SMALL,
    START_S,
    LiveRun,
    World,
    drive,
    line_with,
    look_at,
    press,
    settled,
    shown,
    watch,
)
from tests.frugalwatch.screen.snapshots import assert_accepted

DAY_S = 86_400


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "frugalwatch.db"


def job(
    ledger: Path,
    begin_s: float,
    seconds: int,
    power: dict[str, float],
    *,
    key: str,
    end: bool = True,
    gpu_busy_us: int | None = None,
    **start: Any,
) -> World:
    """A run on the shared clock: `begin_s` seconds after 2025-01-01T00:00Z."""
    world = World(START_S + begin_s)
    devices = [device for device in (GPU, CPU, MODEL) if device.key in power]
    run = LiveRun(ledger, world, devices, run_key=key, **start)
    if gpu_busy_us is not None:
        run.journal.gpu_usage(run.handles[GPU.key], world.mono_ns(), 0, 0)
    run.go(seconds, power)
    if gpu_busy_us is not None:
        run.journal.gpu_usage(run.handles[GPU.key], world.mono_ns(), 0, gpu_busy_us)
        assert run.journal.commit()
    if end:
        run.end()
    return world


def set_idle(ledger: Path, watts: float) -> None:
    """GPUs draw so much with no work on them, by calibration."""
    conn = open_ledger(str(ledger), create=False)
    conn.execute(
        "UPDATE stream SET idle_w = ?, idle_low_w = ?, idle_high_w = ?, idle_origin = 'calibration'"
        " WHERE device_id IN (SELECT id FROM device WHERE domain = 'gpu')",
        (watts, 0.9 * watts, 1.1 * watts),
    )
    conn.close()


def add_grid(ledger: Path, now_utc_ns: int, hours: int) -> None:
    """Hourly live values that go up and down."""
    conn = open_ledger(str(ledger), create=True)
    for hour in range(hours):
        valid = now_utc_ns - (hours - hour) * 3600 * SECOND
        grams = 300 + 100 * math.sin(hour / 4)
        conn.execute(
            "INSERT INTO carbon_intensity VALUES ('DE', ?, ?, 'average-lifecycle',"
            " 'electricity-maps', ?, ?)",
            (valid, grams, int(hour == hours - 1), valid),
        )
    conn.close()


def a_busy_week(ledger: Path) -> World:
    """Wednesday 2025-01-01 is the first day; it is Friday noon, and a job runs."""
    power = {GPU.key: 230.0, CPU.key: 70.0}
    job(ledger, 9 * 3600, 300, power, key="a", command=("python", "train.py"))
    job(ledger, 9 * 3600 + 200, 300, power, key="b", command=("python", "eval.py"))
    idle = {GPU.key: 25.0, CPU.key: 90.0}
    job(ledger, DAY_S, 600, idle, key="c", gpu_busy_us=0, command=("make", "data"))
    modelled = {MODEL.key: 33.0}
    job(ledger, DAY_S + 9000, 120, modelled, key="d", command=("sh", "-c", "sleep 120"))
    begin = 2 * DAY_S + 12 * 3600
    last = job(ledger, begin, 60, power, key="e", end=False, command=("python", "train.py"))
    set_idle(ledger, 20.0)
    add_grid(ledger, last.utc_ns(), 40)
    return last


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_it_reads_as_accepted(ledger: Path, size: tuple[int, int]) -> None:
    world = a_busy_week(ledger)
    lines = look_at(ledger, world, size, "4")
    assert_accepted(f"machine_week_{size[0]}x{size[1]}", lines)
    assert {len(line) for line in lines} == {size[0]}


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_without_gpu_and_live_grid_it_says_so(ledger: Path, size: tuple[int, int]) -> None:
    world = job(ledger, 3600, 60, {CPU.key: 60.0}, key="a")
    lines = look_at(ledger, world, size, "4")
    assert_accepted(f"machine_plain_{size[0]}x{size[1]}", lines)
    line_with(lines, "No GPU was seen by a run, this week.")
    line_with(lines, "no live values were recorded")
    line_with(lines, "330 g CO2e/kWh: Germany 2025, average, lifecycle")


def test_an_empty_ledger_names_the_next_command(ledger: Path) -> None:
    line_with(look_at(ledger, World(), SMALL, "4"), "frugalwatch run -- python train.py")


def test_overlapping_runs_count_once_in_the_sum_and_each_in_its_line(ledger: Path) -> None:
    """Two runs of 100 s at 36 W, of which 50 s are the same: 150 s, 1.5 Wh."""
    job(ledger, 3600, 100, {CPU.key: 36.0}, key="a", command=("one",))
    world = job(ledger, 3650, 100, {CPU.key: 36.0}, key="b", command=("two",))
    lines = look_at(ledger, world, LARGE, "4")
    line_with(lines, "Today", "1.50 Wh")
    line_with(lines, "2 runs overlapped, counted once")
    line_with(lines, "*one", "1.00 Wh")
    line_with(lines, "*two", "1.00 Wh")
    # Carbon follows the energy that was counted: 1.5 Wh at 330 g/kWh.
    line_with(lines, "Today", "0.49 g")


def test_runs_of_other_boots_at_the_same_time_are_another_machines(ledger: Path) -> None:
    job(ledger, 3600, 100, {CPU.key: 36.0}, key="a", boot_key="one")
    world = job(ledger, 3600, 100, {CPU.key: 36.0}, key="b", boot_key="two")
    lines = look_at(ledger, world, SMALL, "4")
    line_with(lines, "Today", "2.00 Wh")
    assert not any("overlapped" in line for line in lines)


def test_a_run_across_midnight_is_parted_and_keeps_its_total(ledger: Path) -> None:
    """40 s before midnight and 60 s after it, at 36 W: 0.4 and 0.6 Wh."""
    world = job(ledger, DAY_S - 40, 100, {CPU.key: 36.0}, key="a")
    lines = look_at(ledger, world, SMALL, "4")
    line_with(lines, "Today", "0.600 Wh")
    line_with(lines, "Yesterday", "0.400 Wh")
    line_with(lines, "This week", "1.00 Wh")


def test_the_sums_are_those_of_the_runs_where_nothing_overlaps(ledger: Path) -> None:
    """With a gap whose energy is modelled by bounds, too: the stored totals count."""
    world = World(START_S + 3600)
    run = LiveRun(ledger, world, (CPU,), run_key="a")
    run.go(30, {CPU.key: 50.0})
    run.journal.event(
        "gap", "lost", t_mono_ns=world.mono_ns() + 20 * SECOND, since_mono_ns=world.mono_ns(),
        handle=run.handles[CPU.key], energy_missing=True,
    )  # fmt: skip
    run.go(20, {})
    run.go(30, {CPU.key: 50.0})
    run.end()
    stored = sqlite3.connect(ledger).execute("SELECT energy_uj FROM run").fetchone()[0]
    lines = look_at(ledger, world, SMALL, "4")
    line_with(lines, "Today", f"{stored / 3.6e9:.2f} Wh")


def test_a_run_that_goes_on_counts_and_moves(ledger: Path) -> None:
    job(ledger, 3600, 100, {CPU.key: 36.0}, key="a")
    world = World(START_S + 7200)
    run = LiveRun(ledger, world, (CPU,), run_key="b")
    run.go(100, {CPU.key: 36.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(await press(app, pilot, "4"), "Today", "2.00 Wh")
        run.go(100, {CPU.key: 36.0})
        run.end()
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "Today", "3.00 Wh")
        job(ledger, 9000, 100, {CPU.key: 36.0}, key="c")
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "Today", "4.00 Wh")

    drive(watch(ledger, world), SMALL, use)


def test_a_new_run_that_overlaps_what_was_added_up_is_sorted_in(ledger: Path) -> None:
    world = job(ledger, 3600, 100, {CPU.key: 36.0}, key="a")

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(await press(app, pilot, "4"), "Today", "1.00 Wh")
        job(ledger, 3650, 100, {CPU.key: 36.0}, key="b")  # merged from elsewhere
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "Today", "1.50 Wh")

    drive(watch(ledger, world), SMALL, use)


def test_t_goes_through_the_periods(ledger: Path) -> None:
    world = a_busy_week(ledger)

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(await press(app, pilot, "4"), "By command, this week")
        line_with(shown(app), "make data")
        line_with(await press(app, pilot, "t"), "By command, 30 days")
        line_with(await press(app, pilot, "t"), "By command, today")
        assert not any("make data" in line for line in shown(app))

    drive(watch(ledger, world), LARGE, use)


def test_idle_gpus_are_measured_in_runs_that_left_them_alone(ledger: Path) -> None:
    """600 s at 30 W with nobody on the GPU: 5 Wh. A run that used it does not count."""
    power = {GPU.key: 30.0, CPU.key: 60.0}
    job(ledger, 3600, 600, power, key="a", gpu_busy_us=0)
    busy = 300 * 1_000_000
    world = job(ledger, 4200, 600, power, key="b", gpu_busy_us=busy)
    line_with(
        look_at(ledger, world, LARGE, "4"),
        *("G RTX 4090", "5.00 Wh measured", "10 min 00 s unused in runs"),
    )


def test_a_gpu_of_which_nobody_said_whether_it_was_used_is_not_called_idle(ledger: Path) -> None:
    world = job(ledger, 3600, 600, {GPU.key: 30.0}, key="a")
    line_with(look_at(ledger, world, SMALL, "4"), "G RTX 4090", "no time without a job is known")


def test_time_between_runs_is_an_estimate_by_idle_watts(ledger: Path) -> None:
    """An hour between two runs at 20 W (18 to 22): ~20 Wh."""
    power = {GPU.key: 200.0}
    job(ledger, 3600, 100, power, key="a", gpu_busy_us=100_000_000)
    world = job(ledger, 7300, 100, power, key="b", gpu_busy_us=100_000_000)
    lines = look_at(ledger, world, SMALL, "4")
    line_with(lines, "1 h 00 min between runs: energy unknown, no idle watts")
    set_idle(ledger, 20.0)
    line_with(
        look_at(ledger, world, SMALL, "4"),
        *("G RTX 4090", "~20 Wh: 1 h 00 min between runs", "~20 W, calibration"),
    )


def test_a_new_boot_between_two_runs_is_no_idle_time(ledger: Path) -> None:
    power = {GPU.key: 200.0}
    job(ledger, 3600, 100, power, key="a", boot_key="one")
    world = job(ledger, 7200, 100, power, key="b", boot_key="two")
    line_with(look_at(ledger, world, SMALL, "4"), "no time without a job is known")


def test_users_show_only_where_that_is_switched_on(ledger: Path) -> None:
    job(ledger, 3600, 100, {CPU.key: 36.0}, key="a", environment={"USER": "ada"})
    world = job(ledger, 7200, 200, {CPU.key: 36.0}, key="b", environment={"USER": None})

    async def off(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "4", "b")
        line_with(lines, "users are not recorded: by_user in the configuration")
        line_with(lines, "By command")
        assert not any("ada" in line for line in lines)

    async def on(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "4", "b")
        line_with(lines, "By user, this week")
        line_with(lines, "ada", "1.00 Wh")
        line_with(lines, "not recorded", "2.00 Wh")

    drive(watch(ledger, world), SMALL, off)
    drive(watch(ledger, world, SETTINGS._replace(by_user=True)), SMALL, on)


def test_history_is_read_in_short_looks_until_it_is_all_there(ledger: Path) -> None:
    for number in range(90):
        job(ledger, 60 * number, 2, {CPU.key: 36.0}, key=f"{number:03}", command=("x",))
    world = World(START_S + 60 * 95)
    lines = look_at(ledger, world, SMALL, "4")
    line_with(lines, "Today", "1.80 Wh", "90")
    assert not any("reading history" in line for line in lines)


@pytest.mark.parametrize("symbols", ["block", "ascii"])
def test_the_grid_is_drawn_with_any_symbols(ledger: Path, symbols: str) -> None:
    world = a_busy_week(ledger)
    lines = look_at(ledger, world, LARGE, "4", symbols=symbols)
    line_with(lines, "Grid, g CO2e/kWh, last 48 h", "DE ~", "average-lifecycle, electricity-maps")
    assert symbols != "ascii" or all(line.isascii() for line in lines)


def test_what_is_on_the_screen_can_be_exported(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    world = a_busy_week(ledger)
    line_with(look_at(ledger, world, SMALL, "4", "e", "j"), "frugalwatch-machine.json")
    found = json.loads((tmp_path / "frugalwatch-machine.json").read_text())
    assert found["schema"] == "frugalwatch.screen.machine/1"
    kinds = [row["kind"] for row in found["rows"]]
    assert [kinds.count(kind) for kind in ("sum", "day", "command", "idle GPU")] == [4, 30, 4, 1]
    (gpu,) = (row for row in found["rows"] if row["kind"] == "idle GPU")
    assert gpu["measured_j"] == pytest.approx(25 * 600, rel=1e-6)
    assert gpu["estimated_j"] == pytest.approx(20 * gpu["between_runs_s"], rel=1e-6)
