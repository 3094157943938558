"""The page of one run: every kind of run and every section, as accepted, and its keys."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from frugalwatch.screen.app import Screen
from frugalwatch.screen.one_run.sections import NAMES
from tests.frugalwatch.screen.kit import (
    CPU,
    GPU,
    LiveRun,
    World,
    drive,
    many_runs,
    press,
    settled,
    shown,
    watch,
)
from tests.frugalwatch.screen.snapshots import assert_accepted
from tests.frugalwatch.screen.stories import every_kind

SMALL, LARGE = (80, 24), (120, 40)
SIZES = (SMALL, LARGE)
# What `every_kind` writes, by the number that it gets.
KINDS = {
    1: "trained_with_an_older_commit", 2: "failed", 3: "killed", 4: "interrupted", 5: "recovered",
    6: "without_sensors", 7: "modelled", 8: "ten_hours", 9: "eight_gpus_one_lost", 10: "imported",
    11: "trained", 12: "running",
}  # fmt: skip
Shots = dict[tuple[str, tuple[int, int]], list[str]]


@pytest.fixture(scope="module", autouse=True)
def utc() -> Iterator[None]:
    """The list of runs shows local time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    path = tmp_path_factory.mktemp("kinds") / "frugalwatch.db"
    return path, every_kind(path)


@pytest.fixture(scope="module")
def shots(kinds: tuple[Path, World]) -> Shots:
    """Every kind of run as its page opens, and the sections of one, in one visit a size."""
    found: Shots = {}

    def visit(size: tuple[int, int]) -> None:
        async def use(app: Screen, pilot: Pilot[None]) -> None:
            lines = await press(app, pilot, "2", "G", "enter")
            for number, kind in KINDS.items():
                assert any(f"run {number}" in line for line in lines)
                found[kind, size] = lines
                if kind == "trained":
                    for section in NAMES[1:]:
                        found[section, size] = await press(app, pilot, "tab")
                    await press(app, pilot, "home")
                lines = await press(app, pilot, "right_square_bracket")

        drive(watch(*kinds), size, use)

    for size in SIZES:
        visit(size)
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS.values())
def test_every_kind_of_run_reads_as_accepted(
    shots: Shots, kind: str, size: tuple[int, int]
) -> None:
    assert_accepted(f"run_{kind}_{size[0]}x{size[1]}", shots[kind, size])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("section", NAMES[1:])
def test_every_section_reads_as_accepted(shots: Shots, section: str, size: tuple[int, int]) -> None:
    assert_accepted(f"run_section_{section.lower()}_{size[0]}x{size[1]}", shots[section, size])


def test_no_line_is_cut(shots: Shots) -> None:
    for (_, size), lines in shots.items():
        assert len(lines) == size[1]
        assert {len(line) for line in lines} == {size[0]}
        assert "Esc Back" in lines[-1]
        # What has no room ends in `..`, which says so; an ellipsis would be ours to prevent.
        assert not any("…" in line for line in lines), lines


def look(
    place: tuple[Path, World], size: tuple[int, int], *keys: str, **options: object
) -> list[str]:
    lines: list[str] = []

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines.extend(await press(app, pilot, *keys))

    drive(watch(*place), size, use, **options)
    return lines


def line_with(lines: list[str], *words: str) -> str:
    found = [line for line in lines if all(word in line for word in words)]
    assert found, f"no line with {words} in:\n" + "\n".join(lines)
    return found[0]


def test_phases_stand_below_the_time_that_they_took(kinds: tuple[Path, World]) -> None:
    lines = look(kinds, SMALL, "2", "j", "enter")
    lane = line_with(lines, "load", "train", "evaluate")
    chart = line_with(lines, "    0 ")
    # load took the first tenth of ten minutes, evaluate the last 90 s.
    width = len(chart.rstrip()) - 6
    assert abs((lane.index("├", 7) - 6) / width - 0.1) < 0.03
    assert abs((lane.rindex("├") - 6) / width - 0.85) < 0.03
    assert line_with(lines, "epoch 0").index("├") == lane.index("├", 7)


def test_zooming_shows_less_of_the_time_and_zero_all_of_it(kinds: tuple[Path, World]) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2", "j", "enter", "plus", "plus")
        line_with(lines, "3 min 45 s", "5 min 00 s", "6 min 15 s")
        line_with(lines, "2 min 30 s of 10 min 00 s")
        lines = await press(app, pilot, "right")
        line_with(lines, "4 min 22 s", "6 min 52 s")
        lines = await press(app, pilot, "minus")
        line_with(lines, "3 min 08 s", "8 min 08 s")
        lines = await press(app, pilot, "0")
        line_with(lines, "0 s", "10 min 00 s")

    drive(watch(*kinds), SMALL, use)


def test_a_run_that_goes_on_grows_on_its_page(tmp_path: Path) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world, (GPU, CPU))
    run.go(30, {GPU.key: 230.0, CPU.key: 70.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2", "enter")
        line_with(lines, "0 s", "15.0 s", "30.0 s")
        line_with(lines, "300 W now", "2.50 Wh")
        run.go(60, {GPU.key: 230.0, CPU.key: 70.0})
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "0 s", "45.0 s", "1 min 30 s")
        line_with(shown(app), "energy", "7.50 Wh")
        run.end()
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "run 1", "done")

    drive(watch(tmp_path / "l.db", world), SMALL, use)


def test_escape_leads_back_to_the_list(kinds: tuple[Path, World]) -> None:
    lines = look(kinds, SMALL, "2", "j", "j", "enter", "tab", "escape")
    assert "Command" in lines[3]
    assert "run 10" in lines[0]


def test_a_click_on_a_tab_goes_to_its_section(kinds: tuple[Path, World]) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2", "j", "enter")
        tabs = line_with(lines, "Power", "Whose", "About")
        await pilot.click("#tabs", offset=(tabs.index("Events") + 1, 0))
        await settled(app, pilot)
        assert shown(app)[4].startswith(" Events") or any(
            line.startswith(" Events") for line in shown(app)
        )

    drive(watch(*kinds), SMALL, use)


def test_the_last_and_the_first_run_say_that_there_is_none_beyond(tmp_path: Path) -> None:
    many_runs(tmp_path / "l.db", 2)
    keys = ("2", "enter", "right_square_bracket")
    lines = look((tmp_path / "l.db", World(1000)), SMALL, *keys)
    line_with(lines, "there is no further run that way")


def test_an_ascii_terminal_gets_an_ascii_page(kinds: tuple[Path, World]) -> None:
    for keys in ((), ("G",)):
        lines = look(kinds, SMALL, "2", "j", "enter", *keys, symbols="ascii")
        assert all(line.isascii() for line in lines), lines


def test_a_stored_object_that_lacks_parts_is_said_and_not_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    many_runs(path, 1)
    connection = sqlite3.connect(path)
    broken = json.dumps({"schema": "frugalwatch.run/1", "devices": [{"device": "x"}]})
    connection.execute("UPDATE run SET result = ?", (broken,))
    connection.commit()
    connection.close()
    lines = look((path, World(1000)), SMALL, "2", "enter")
    line_with(lines, "what is stored about run 1 is not complete")


def test_a_resize_in_between_keeps_every_line_whole(kinds: tuple[Path, World]) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        await press(app, pilot, "2", "j", "enter")
        for size in (LARGE, SMALL, (200, 60), SMALL):
            await pilot.resize_terminal(*size)
            await settled(app, pilot)
            app._tick()
            await settled(app, pilot)
            lines = shown(app)
            assert {len(line) for line in lines} == {size[0]}
            assert line_with(lines, "10 min 00 s", "5 min 00 s")
            assert len(line_with(lines, "    0 ").rstrip()) == size[0] - 1

    drive(watch(*kinds), SMALL, use)
