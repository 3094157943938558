"""The list of all runs as a person uses it, judged by what stands on the terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from frugalwatch.screen.app import Screen
from frugalwatch.screen.jobs.runs_table import RunsTable
from tests.frugalwatch.screen.kit import (
    CPU,
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


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dates of the list are local time."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    path = tmp_path_factory.mktemp("kinds") / "frugalwatch.db"
    return path, every_kind(path)


def look(
    place: tuple[Path, World], size: tuple[int, int], *keys: str, **options: object
) -> list[str]:
    lines: list[str] = []

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines.extend(await press(app, pilot, *keys))

    drive(watch(*place), size, use, **options)
    return lines


def numbers(lines: list[str]) -> list[int]:
    """The runs of the list, from the top."""
    start = next(i for i, line in enumerate(lines) if "State" in line and "Command" in line)
    found = []
    for line in lines[start + 1 :]:
        word = line[2:7].strip()
        if not word.isdigit():
            break
        found.append(int(word))
    return found


def count_line(lines: list[str]) -> str:
    return next(line for line in lines if re.match(r" \d+ (of \d+ )?runs?\b", line))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_list_reads_as_accepted(kinds: tuple[Path, World], size: tuple[int, int]) -> None:
    keys = ("2", "j", "space", "j", "space")
    assert_accepted(f"jobs_{size[0]}x{size[1]}", look(kinds, size, *keys))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_filter_reads_as_accepted(kinds: tuple[Path, World], size: tuple[int, int]) -> None:
    keys = ("2", "slash", *"train time>5min")
    keys = tuple("space" if k == " " else "greater_than_sign" if k == ">" else k for k in keys)
    assert_accepted(f"jobs_filter_{size[0]}x{size[1]}", look(kinds, size, *keys))


def test_s_sorts_by_the_next_column_and_an_arrow_says_so(kinds: tuple[Path, World]) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2")
        assert numbers(lines) == list(range(12, 0, -1))
        assert "▼Run" in lines[3]
        lines = await press(app, pilot, "S")
        assert numbers(lines) == list(range(1, 13))
        assert "▲Run" in lines[3]
        lines = await press(app, pilot, "s", "s")
        assert "▼Time" in lines[3]
        assert numbers(lines)[0] == 8
        lines = await press(app, pilot, "s")
        assert "▼Energy" in lines[3]
        assert numbers(lines)[:2] == [8, 9]
        assert numbers(lines)[-1] == 6  # what is unknown stands last in either order
        assert numbers(await press(app, pilot, "S"))[-1] == 6
        lines = await press(app, pilot, "less_than_sign")
        assert "▼Time" in lines[3]

    drive(watch(*kinds), SMALL, use)


def test_a_click_on_a_column_sorts_by_it_and_another_turns_the_order(
    kinds: tuple[Path, World],
) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2")
        at = lines[3].index("CO2e")
        await pilot.click(RunsTable, offset=(at, 0))
        await settled(app, pilot)
        assert "▼CO2e" in shown(app)[3]
        assert numbers(shown(app))[:2] == [8, 9]
        await pilot.click(RunsTable, offset=(at, 0))
        await settled(app, pilot)
        assert "▲CO2e" in shown(app)[3]
        assert numbers(shown(app))[0] == 2

    drive(watch(*kinds), SMALL, use)


def test_a_click_takes_the_cursor_and_another_opens_the_run(kinds: tuple[Path, World]) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        await press(app, pilot, "2")
        await pilot.click(RunsTable, offset=(20, 4))
        await settled(app, pilot)
        assert "run 9" in shown(app)[0]
        await pilot.click(RunsTable, offset=(20, 4))
        await settled(app, pilot)
        assert any("Whose" in line and "run 9" in line for line in shown(app))

    drive(watch(*kinds), SMALL, use)


def test_a_click_into_the_margin_marks(kinds: tuple[Path, World]) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        await press(app, pilot, "2")
        await pilot.click(RunsTable, offset=(0, 2))
        await settled(app, pilot)
        assert shown(app)[5].startswith("A ")
        assert "marked: 1 A" in count_line(shown(app))

    drive(watch(*kinds), SMALL, use)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("train.py", [12, 11, 9, 8, 2, 1]),
        ("state:failed", [5, 4, 3, 2]),
        ("failed sweep", [3]),
        ("-state:done -state:running", [5, 4, 3, 2]),
        ("zone:fra", [10]),
        ("host:codecarbon", [10]),
        ("metric:loss", [11, 1]),
        ("metric:loss<0.5 run:1..5", [1]),
        ("time>1h", [8]),
        ("energy>100", [9, 8]),
        ("energy>=0.1kWh", [9, 8]),
        ("commit:1f0c", [11]),
        ('"epochs 3"', [12, 11, 2, 1]),
        ("date:2025-01-01 state:running", [12]),
        ("date:2024", []),
    ],
)
def test_a_filter_keeps_the_runs_that_it_describes(
    kinds: tuple[Path, World], words: str, kept: list[int]
) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        await press(app, pilot, "2", "slash")
        app.query_one("#filter").value = words  # type: ignore[attr-defined]  # an Input
        await settled(app, pilot)
        lines = shown(app)
        assert numbers(lines) == kept
        assert f" {len(kept)} of 12 runs" in count_line(lines)

    drive(watch(*kinds), SMALL, use)


def test_words_that_are_no_filter_are_said_and_hide_nothing(kinds: tuple[Path, World]) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        await press(app, pilot, "2", "slash")
        app.query_one("#filter").value = "date:soon train"  # type: ignore[attr-defined]
        await settled(app, pilot)
        assert numbers(shown(app)) == [12, 11, 10, 9, 8, 2, 1]
        assert "date: today, yesterday, 7d" in count_line(shown(app))

    drive(watch(*kinds), SMALL, use)


def test_enter_keeps_the_filter_and_escape_drops_it_then_the_marks_then_leaves(
    kinds: tuple[Path, World],
) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2", "slash", *"sweep", "enter", "space")
        assert numbers(lines) == [3]
        lines = await press(app, pilot, "escape")
        assert len(numbers(lines)) == 12
        assert "marked: 1 A" in count_line(lines)
        lines = await press(app, pilot, "escape")
        assert "marked" not in count_line(lines)
        lines = await press(app, pilot, "escape")
        assert any("Power" in line for line in lines)

    drive(watch(*kinds), SMALL, use)


def test_a_filter_that_matches_nothing_keeps_the_screen(tmp_path: Path) -> None:
    many_runs(tmp_path / "l.db", 2)
    lines = look((tmp_path / "l.db", World(1000)), SMALL, "2", "slash", "z", "z")
    assert " 0 of 2 runs" in count_line(lines)
    assert not any("No run has been recorded" in line for line in lines)


def test_help_has_the_syntax_of_the_filter(kinds: tuple[Path, World]) -> None:
    lines = look(kinds, (80, 60), "2", "question_mark")
    assert any("state:failed" in line for line in lines)
    assert any("metric:loss<0.5" in line for line in lines)


def test_the_cursor_stays_on_its_run_while_the_list_changes(tmp_path: Path) -> None:
    many_runs(tmp_path / "l.db", 3)
    world = World(1000)

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2", "j")
        assert "run 2" in lines[0]
        LiveRun(tmp_path / "l.db", world, run_key="9-new").go(2, {CPU.key: 10.0})
        app._tick()
        await settled(app, pilot)
        assert numbers(shown(app)) == [4, 3, 2, 1]
        assert "run 2" in shown(app)[0]
        assert "run 1" in (await press(app, pilot, "down"))[0]

    drive(watch(tmp_path / "l.db", world), SMALL, use)


def test_a_run_that_goes_on_gains_energy_in_the_list(tmp_path: Path) -> None:
    world = World()
    run = LiveRun(tmp_path / "l.db", world)
    run.go(60, {CPU.key: 60.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2")
        assert any("running" in line and "1.00 Wh" in line for line in lines[4:])
        run.go(60, {CPU.key: 60.0})
        app._tick()
        await settled(app, pilot)
        assert any("running" in line and "2.00 Wh" in line for line in shown(app)[4:])
        run.end()
        app._tick()
        await settled(app, pilot)
        assert any("done" in line and "2.00 Wh" in line for line in shown(app)[4:])

    drive(watch(tmp_path / "l.db", world), SMALL, use)


def test_every_line_of_the_list_is_whole_at_any_width(kinds: tuple[Path, World]) -> None:
    for size in ((64, 20), SMALL, (100, 30), LARGE, (200, 60)):
        lines = look(kinds, size, "2")
        assert {len(line) for line in lines} == {size[0]}
        assert lines[3].rstrip().endswith("Command")
        assert "q Quit" in lines[-1]


def test_an_ascii_terminal_gets_an_ascii_list(kinds: tuple[Path, World]) -> None:
    lines = look(kinds, SMALL, "2", "s", symbols="ascii")
    assert all(line.isascii() for line in lines), lines


def test_the_end_of_a_long_list_is_reached_and_the_heading_stays(tmp_path: Path) -> None:
    many_runs(tmp_path / "l.db", 40)

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2", "G")
        assert numbers(lines)[-1] == 1
        assert "State" in lines[3]
        lines = await press(app, pilot, "pageup", "pageup", "pageup", "pageup")
        assert numbers(lines)[0] == 40

    drive(watch(tmp_path / "l.db", World(9000)), SMALL, use)
