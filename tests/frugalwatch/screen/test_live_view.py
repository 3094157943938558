"""The live view as a person sees it, on a small and on a large terminal, for every kind of run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from collectors.base import Condition
from frugalwatch.screen.app import Screen
from tests.frugalwatch.ledger.kit import SECOND
from tests.frugalwatch.screen import stories
from tests.frugalwatch.screen.kit import (
    CPU,
    GPU,
    MODEL,
    LiveRun,
    World,
    device,
    drive,
    press,
    settled,
    shown,
    watch,
)
from tests.frugalwatch.screen.snapshots import assert_accepted

SMALL, LARGE = (80, 24), (120, 40)
PID = 77


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def training(ledger: Path, world: World, *, epochs: int = 3, of: int = 8) -> LiveRun:
    """Epochs of 40 s on a GPU and a CPU, of eight that will come; conditions every five seconds."""
    run = LiveRun(ledger, world, (GPU, CPU), command=stories.TRAIN)
    run.journal.goal(PID, world.mono_ns(), "epoch", of)
    for epoch in range(epochs):
        token = run.journal.phase_began(PID, "epoch", world.mono_ns(), number=epoch)
        for second in range(40):
            at_s = world.second
            run.go(1, {GPU.key: stories.wave(second, 180, 300, 40), CPU.key: 70.0 + epoch})
            run.journal.step(PID, world.mono_ns(), round(world.second - 100) * 3)
            if round(at_s) % 5 == 0:
                tell_conditions(run, world, 55.0 + epoch)
        run.journal.phase_ended(token, world.mono_ns())
    run.journal.phase_began(PID, "epoch", world.mono_ns(), number=epochs)
    run.go(3, {GPU.key: 240.0, CPU.key: 73.0})
    return run


def tell_conditions(run: LiveRun, world: World, celsius: float) -> None:
    for key, clock_hz, fan, busy in (
        (GPU.key, 2.52e9, 0.34, 0.97),
        (CPU.key, 3.41e9, None, None),
    ):
        seen = Condition(key, world.mono_ns(), celsius, clock_hz, fan, busy)
        run.journal.condition(run.handles[key], seen)


def long_run(ledger: Path, world: World) -> LiveRun:
    """A run that has been going on for ten hours, a look every half a minute."""
    run = LiveRun(ledger, world, (GPU, CPU), command=("python", "pretrain.py"),
                  interval_ns=30 * SECOND)  # fmt: skip
    for step in range(1200):
        world.second += 29
        power_w = stories.wave(step, 200, 400, 60)
        run.energy_uj[GPU.key] += round(29e6 * power_w)
        run.energy_uj[CPU.key] += round(29e6 * 80)
        run.go(1, {GPU.key: power_w, CPU.key: 80.0})
    return run


def without_sensors(ledger: Path, world: World) -> None:
    run = LiveRun(ledger, world, (), command=("python", "infer.py"))
    run.go(20, {})


def eight_gpus_one_lost(ledger: Path, world: World) -> None:
    """Eight GPUs at work; the sixth fell off the bus a minute ago."""
    gpus = [
        device(
            f"nvidia:GPU-{i}", domain="gpu", name="NVIDIA H100 80GB HBM3", boundary="board",
            source="NVML energy counter", power_limit_w=700.0,
        )
        for i in range(8)
    ]  # fmt: skip
    run = LiveRun(ledger, world, (*gpus, CPU), command=("torchrun", "train.py"))
    everyone = {g.key: 400.0 + 20 * i for i, g in enumerate(gpus)} | {CPU.key: 100.0}
    run.go(120, everyone)
    run.journal.event(
        "gap", "lost", t_mono_ns=world.mono_ns() + SECOND, since_mono_ns=world.mono_ns(),
        handle=run.handles[gpus[5].key], energy_missing=True, detail=f"{gpus[5].key}: Xid 79",
    )  # fmt: skip
    del everyone[gpus[5].key]
    run.go(60, everyone)


def modelled(ledger: Path, world: World) -> None:
    run = LiveRun(ledger, world, (MODEL,), command=("python", "prep.py"))
    run.go(90, {MODEL.key: 33.0})


STORIES: dict[str, Callable[[Path, World], object]] = {
    "training": training,
    "ten_hours_running": long_run,
    "ten_hours_over": stories.ten_hours,
    "failed": stories.failed,
    "killed": stories.killed,
    "without_sensors": without_sensors,
    "eight_gpus_one_lost": eight_gpus_one_lost,
    "modelled": modelled,
    "nothing_yet": lambda ledger, world: None,
}


@pytest.mark.parametrize("story", STORIES)
def test_the_live_view_looks_as_accepted_at_both_sizes(
    tmp_path: Path, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # It stands on the empty screen, where a long one would be wrapped.
    ledger = Path("state/ledger.db")
    world = World()
    STORIES[story](ledger, world)

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        accept(app, story, SMALL)
        await pilot.resize_terminal(*LARGE)
        await settled(app, pilot)
        await look(app, pilot)
        accept(app, story, LARGE)
        await pilot.resize_terminal(*SMALL)
        await settled(app, pilot)
        await look(app, pilot)
        accept(app, story, SMALL)  # as if it had never been larger

    drive(watch(ledger, world), SMALL, use)


async def look(app: Screen, pilot: Pilot[None]) -> None:
    app.look_soon()
    await settled(app, pilot)


def accept(app: Screen, story: str, size: tuple[int, int]) -> None:
    lines = shown(app)
    assert len(lines) == size[1]
    assert_accepted(f"live_{story}_{size[0]}x{size[1]}", lines)


def test_a_terminal_without_unicode_gets_ascii_only(tmp_path: Path) -> None:
    world = World()
    training(tmp_path / "l.db", world)

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        text = "\n".join(shown(app))
        assert text.isascii()
        assert "57 C" in text
        await press(app, pilot)

    drive(watch(tmp_path / "l.db", world), SMALL, use, symbols="ascii")


def test_a_job_that_said_its_length_shows_where_it_is_heading(tmp_path: Path) -> None:
    world = World()
    run = training(tmp_path / "l.db", world, of=8)
    lines: list[str] = []

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines.extend(shown(app))
        run.go(37, {GPU.key: 240.0, CPU.key: 73.0})
        await look(app, pilot)
        lines.extend(shown(app))

    drive(watch(tmp_path / "l.db", world), SMALL, use)
    first, later = (line for line in lines if "epoch" in line)
    # 8 epochs of 40 s at 270 W and 70 to 72 W: 30.3 Wh, and 197 s to go after 123.
    assert "epoch 4 of 8" in first
    assert "~30.3 Wh (30.3 to 30.4) in all" in first
    assert "~3 min 17 s left" in first
    assert "epoch 4 of 8" in later  # nobody said that it ended


def test_a_finished_run_is_drawn_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world)
    run.go(1000, {CPU.key: 20.0})
    run.go(1000, {CPU.key: 80.0})
    run.end()

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = shown(app)
        title = next(line for line in lines if "Power in W" in line)
        assert "the whole run" in title
        (axis,) = [line for line in lines if "16 min 40 s" in line]
        assert axis.split() == ["0", "16", "min", "40", "s", "33", "min", "20", "s"]
        (level,) = [line for line in lines if line.startswith(" 50.0 ")]
        # The second half reaches 50 W, the first does not.
        chart = level[6:]
        half = len(chart) // 2
        assert chart[: half - 1].strip() == ""
        assert chart[half + 1 :].strip("⣿⡇C") == ""

    drive(watch(tmp_path / "l.db", world), SMALL, use)
