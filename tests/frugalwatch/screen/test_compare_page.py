"""Marked runs side by side, judged by what stands on the terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from frugalwatch.screen.app import Screen
from tests.frugalwatch.screen.kit import CPU, LiveRun, World, drive, press, settled, shown, watch
from tests.frugalwatch.screen.snapshots import assert_accepted
from tests.frugalwatch.screen.stories import every_kind

SMALL, LARGE = (80, 24), (120, 40)


@pytest.fixture(scope="module", autouse=True)
def utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, World]:
    path = tmp_path_factory.mktemp("kinds") / "frugalwatch.db"
    return path, every_kind(path)


def look(place: tuple[Path, World], size: tuple[int, int], *keys: str) -> list[str]:
    lines: list[str] = []

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines.extend(await press(app, pilot, *keys))

    drive(watch(*place), size, use)
    return lines


def line_with(lines: list[str], *words: str) -> str:
    found = [line for line in lines if all(word in line for word in words)]
    assert found, f"no line with {words} in:\n" + "\n".join(lines)
    return found[0]


TWO = ("2", "j", "space", "G", "space", "c")
# The run that goes on, one that failed, one with modelled energy, and the eight GPUs.
FOUR = ("2", "space", *["j"] * 2, "space", "j", "space", *["j"] * 3, "space", "c")


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(("name", "keys"), [("two", TWO), ("four", FOUR)])
def test_the_comparison_reads_as_accepted(
    kinds: tuple[Path, World], name: str, keys: tuple[str, ...], size: tuple[int, int]
) -> None:
    lines = look(kinds, size, *keys)
    assert {len(line) for line in lines} == {size[0]}
    assert_accepted(f"compare_{name}_{size[0]}x{size[1]}", lines)


def test_marks_b_are_held_against_marks_a(kinds: tuple[Path, World]) -> None:
    # The newer run is A here, the older one B.
    lines = look(kinds, SMALL, "2", "j", "space", "G", "space", "k", "j", "space", "c")
    line_with(lines, "B took 1.2 x the energy of A")
    line_with(lines, "A: run 11", "B: run 1")


def test_one_mark_is_compared_with_the_run_of_the_cursor(kinds: tuple[Path, World]) -> None:
    lines = look(kinds, SMALL, "2", "j", "space", "G", "c")
    line_with(lines, "Comparison of 2 runs")
    line_with(lines, "B took 1.2 x the energy of A")


def test_without_marks_it_says_how_to_make_some(kinds: tuple[Path, World]) -> None:
    line_with(look(kinds, SMALL, "2", "c"), "mark two runs or more with Space, then press c")


def test_escape_leads_back_and_the_marks_stay(kinds: tuple[Path, World]) -> None:
    line_with(look(kinds, SMALL, *TWO, "escape"), "marked: 2 A: c compares")


def test_units_hold_in_the_comparison(kinds: tuple[Path, World]) -> None:
    line_with(look(kinds, SMALL, *TWO, "u"), "energy", "200 kJ", "169 kJ")


def test_a_run_that_goes_on_is_shown_as_it_grows(tmp_path: Path) -> None:
    world = World()
    path = tmp_path / "l.db"
    LiveRun(path, world, run_key="1").end()
    run = LiveRun(path, world, run_key="2")
    run.go(60, {CPU.key: 60.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "2", "space", "space", "up", "down", "space", "c")
        line_with(lines, "run 2 goes on: left out of every ratio")
        line_with(lines, "energy", "1.00 Wh")
        run.go(60, {CPU.key: 60.0})
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "energy", "2.00 Wh")

    drive(watch(path, world), SMALL, use)
