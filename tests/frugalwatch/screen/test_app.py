"""The screen as a person uses it, judged by what stands on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from frugalwatch.screen.app import Screen
from frugalwatch.screen.help import help_text
from frugalwatch.screen.live_view import LiveView
from tests.frugalwatch.ledger.kit import SECOND
from tests.frugalwatch.screen.kit import (
    CPU,
    GPU,
    LARGE,
    MODEL,
    SMALL,
    LiveRun,
    World,
    device,
    drive,
    line_with,
    look_at,
    many_runs,
    press,
    settled,
    shown,
    watch,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "frugalwatch.db"


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_live_view_shows_power_energy_carbon_cost_and_their_ground(
    ledger: Path, size: tuple[int, int]
) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU))
    run.go(300, {GPU.key: 230.0, CPU.key: 70.0})
    lines = look_at(ledger, world, size)
    assert len(lines) == size[1]
    line_with(lines, "FrugalWatch", "run 1", "running", "5 min 00 s", "python train.py")
    line_with(lines, "300 W now", "25.0 Wh", "8.2 g CO2e", "0.0085 EUR")
    line_with(lines, "330 g/kWh, DE 2025 average", "100 % covered")
    line_with(lines, "Power in W, last 5 min", "G gpu", "C cpu")
    line_with(lines, "G RTX 4090", "230 W", "51 %", "19.2 Wh", "measured")
    line_with(lines, "C package-0", "70.0 W", "5.83 Wh", "measured")
    line_with(lines, "   1", "running", "25.0 Wh", "8.2 g", "python train.py")
    assert "q Quit" in lines[-1]
    assert "⣿" in line_with(lines, "    0 ")


@pytest.mark.parametrize("size", [SMALL, LARGE, (100, 30), (64, 20)])
def test_no_line_is_cut(ledger: Path, size: tuple[int, int]) -> None:
    """A word at the right edge is whole: every table and line of keys ends before it."""
    world = World()
    many_runs(ledger, 3)
    world.second = 1000
    run = LiveRun(
        ledger, world, (GPU, CPU, MODEL), run_key="9", command=("python", "train.py", "x" * 200)
    )
    run.go(30, {GPU.key: 230.0, CPU.key: 70.0, MODEL.key: 33.0})
    for keys in ((), ("2",), ("question_mark",)):
        lines = look_at(ledger, world, size, *keys)
        assert {len(line) for line in lines} == {size[0]}
        if "question_mark" not in keys:
            assert "q Quit" in lines[-1]
            assert line_with(lines, "Run", "State", "CO2e").rstrip().endswith("Command")
            for number in (1, 2, 3):
                row = line_with(lines, f"   {number}  done")
                assert f"train.py {number - 1}" in row


def test_a_wide_screen_says_more(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, MODEL))
    run.go(60, {GPU.key: 230.0, MODEL.key: 33.0})
    lines = look_at(ledger, world, LARGE)
    line_with(lines, "Energy so far")
    line_with(lines, "Germany, 2025")
    line_with(lines, "~0.55 Wh  modelled")
    line_with(lines, "0.28 to 1.1 Wh")
    line_with(lines, "Started", "Cover", "Command")


def test_a_model_is_marked_wherever_it_has_a_part(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (MODEL,))
    run.go(60, {MODEL.key: 33.0})
    lines = look_at(ledger, world)
    line_with(lines, "~33 W now", "~0.55 Wh (0.28 to 1.1 Wh)", "~0.18 g CO2e", "~")
    line_with(lines, "~ modelled, not measured")
    line_with(lines, "C CPU model", "~33 W", "~0.55 Wh", "modelled ~")
    line_with(lines, "   1  running", "~0.55 Wh", "~0.18 g")


def test_measured_and_modelled_energy_are_never_one_figure(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, MODEL))
    run.go(60, {GPU.key: 230.0, MODEL.key: 33.0})
    lines = look_at(ledger, world)
    line_with(lines, "230 W + ~33 W now", "3.83 Wh", "~0.55 Wh")
    assert not any("4.38" in line or "263 W" in line for line in lines)
    line_with(lines, "   1  running", "3.83 Wh+")


def test_numbers_move_while_the_run_goes_on(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(30, {CPU.key: 60.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(shown(app), "60.0 W now", "0.500 Wh")
        run.go(30, {CPU.key: 120.0})
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "120 W now", "1.50 Wh")

    drive(watch(ledger, world), SMALL, use)


def test_space_freezes_the_figures_and_says_so(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(30, {CPU.key: 60.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        await press(app, pilot, "space")
        run.go(30, {CPU.key: 120.0})
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "PAUSED")
        line_with(shown(app), "60.0 W now")
        lines = await press(app, pilot, "space")
        assert not any("PAUSED" in line for line in lines)
        line_with(lines, "120 W now")

    drive(watch(ledger, world), SMALL, use)


def test_u_goes_through_the_units(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(60, {CPU.key: 60.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(shown(app), "60.0 W now   1.00 Wh")
        line_with(await press(app, pilot, "u"), "60.0 W now   3.60 kJ")
        line_with(await press(app, pilot, "u"), "60.0 W now   0.001 kWh")
        line_with(shown(app), "   1  running", "0.001 kWh")
        line_with(await press(app, pilot, "u"), "60.0 W now   1.00 Wh")

    drive(watch(ledger, world), SMALL, use)


@pytest.mark.parametrize("down", ["j", "down"])
def test_moving_in_the_list_shows_that_run_and_escape_follows_again(
    ledger: Path, down: str
) -> None:
    many_runs(ledger, 3)
    world = World(1000)
    run = LiveRun(ledger, world, run_key="9", command=("sleep", "99"))
    run.go(10, {CPU.key: 60.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(shown(app), "run 4", "running")
        line_with(await press(app, pilot, down), "run 3", "done")
        line_with(await press(app, pilot, down), "run 2", "done")
        line_with(await press(app, pilot, "k" if down == "j" else "up"), "run 3", "done")
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "run 3", "done")
        line_with(await press(app, pilot, "escape"), "run 4", "running")

    drive(watch(ledger, world), SMALL, use)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_it_can_be_left(ledger: Path, key: str) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert not app.is_running or app._exit

    drive(watch(ledger, World()), SMALL, use)


def test_help_says_what_the_marks_mean(ledger: Path) -> None:
    top = look_at(ledger, World(), SMALL, "question_mark")
    line_with(top, "Esc", "Follow the newest run again")
    line_with(top, "/", "Filter the list of all runs")
    line_with(top, "Esc Back")
    end = look_at(ledger, World(), SMALL, "question_mark", "G")
    line_with(end, "~", "not measured")
    line_with(end, "?", "gave no figure")
    # None of its lines was wrapped.
    text = help_text(LiveView, Screen)
    for line in (*top[:-1], *end[:-1]):
        assert line[:-2].rstrip() in text


def test_without_a_ledger_it_names_the_next_command(ledger: Path) -> None:
    world = World()

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(shown(app), "No run has been recorded yet.")
        line_with(shown(app), "frugalwatch run -- python train.py")
        LiveRun(ledger, world).go(5, {CPU.key: 60.0})
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "run 1", "running")

    drive(watch(ledger, world), SMALL, use)


def test_a_machine_without_any_sensor_is_said(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, ())
    run.go(5, {})
    lines = look_at(ledger, world)
    line_with(lines, "- now   energy unknown   CO2e unknown")
    line_with(lines, "no sensor here, and no model: frugalwatch doctor says why")


def test_a_gpu_that_was_lost_leaves_a_hole_and_a_notice(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU))
    run.go(30, {GPU.key: 230.0, CPU.key: 70.0})
    run.journal.event(
        "gap", "lost", t_mono_ns=world.mono_ns() + SECOND, since_mono_ns=world.mono_ns(),
        handle=run.handles[GPU.key], energy_missing=True,
    )  # fmt: skip
    run.go(20, {CPU.key: 70.0})
    lines = look_at(ledger, world)
    line_with(lines, "70.0 W now")
    line_with(lines, "G RTX 4090", " - ", "lost for 20.0 s")
    line_with(lines, "! nvidia:GPU-0: lost for 20.0 s")
    assert line_with(lines, "-60 s", "now").count("?") > 15
    line_with(lines, "60.0 % covered")


def test_trouble_with_the_ledger_keeps_what_was_read_last(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(30, {CPU.key: 60.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        kept = ledger.read_bytes()
        for path in ledger.parent.glob("frugalwatch.db*"):
            path.unlink()
        ledger.write_bytes(b"nonsense" * 1000)
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "! the ledger", "trying again")
        line_with(shown(app), "60.0 W now")
        ledger.unlink()
        ledger.write_bytes(kept)
        app._tick()
        await settled(app, pilot)
        assert not any("trying again" in line for line in shown(app))

    drive(watch(ledger, world), (200, 24), use)


def test_a_corrupt_ledger_from_the_start_is_said(ledger: Path) -> None:
    ledger.write_bytes(b"nonsense" * 1000)
    lines = look_at(ledger, World(), LARGE)
    line_with(lines, "damaged")
    line_with(lines, "then try: sqlite3")
    line_with(lines, "Trying again every second.")


def test_eight_gpus_fit_and_the_rest_is_counted(ledger: Path) -> None:
    gpus = [device(f"nvidia:GPU-{i}", domain="gpu", name=f"H100 {i}") for i in range(8)]
    world = World()
    run = LiveRun(ledger, world, (*gpus, CPU))
    run.go(10, {g.key: 400.0 for g in gpus} | {CPU.key: 100.0})
    lines = look_at(ledger, world)
    line_with(lines, "3300 W now")
    line_with(lines, "and 4 more: press Enter")
    tall = look_at(ledger, world, LARGE)
    for index in range(8):
        line_with(tall, f"H100 {index}", "400 W")
    line_with(tall, "package-0", "100 W")


def test_a_resize_in_between_keeps_every_line_whole(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU))
    run.go(60, {GPU.key: 230.0, CPU.key: 70.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        for size in (LARGE, SMALL, (200, 60), SMALL):
            await pilot.resize_terminal(*size)
            app._tick()
            await settled(app, pilot)
            lines = shown(app)
            assert len(lines) == size[1]
            assert "q Quit" in lines[-1]
            line_with(lines, "300 W now")
            line_with(lines, "Run", "State", "Command")
            assert any("Germany, 2025" in line for line in lines) == (size[0] >= 110)
            assert line_with(lines, "-60 s").rstrip().endswith("now") or size[0] >= 110

    drive(watch(ledger, world), SMALL, use)


def test_ascii_symbols_keep_the_screen_ascii(ledger: Path) -> None:
    world = World()
    many_runs(ledger, 12)
    world.second = 2000
    run = LiveRun(ledger, world, (GPU, CPU), run_key="9")
    run.go(60, {GPU.key: 230.0, CPU.key: 70.0})
    lines: list[str] = []

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines.extend(await press(app, pilot))

    drive(watch(ledger, world), SMALL, use, symbols="ascii")
    assert all(line.isascii() for line in lines), lines
    line_with(lines, "GGGGGGGG")
    line_with(lines, "CCCCCCCC")


def test_a_chosen_run_is_shown_from_the_start(ledger: Path) -> None:
    many_runs(ledger, 3)
    lines: list[str] = []

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines.extend(shown(app))

    drive(watch(ledger, World(1000)), SMALL, use, number=2)
    line_with(lines, "run 2", "done")
