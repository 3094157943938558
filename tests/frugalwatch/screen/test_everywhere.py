"""What every view has: keys that are never cut, the mouse, the palette, themes, units, files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from textual.pilot import Pilot

from frugalwatch.screen.app import Screen
from frugalwatch.screen.memory import Memory
from frugalwatch.screen.themes import THEMES
from frugalwatch.screen.views import VIEWS
from tests.frugalwatch.screen.kit import (
    CPU,
    GPU,
    LARGE,
    MODEL,
    SMALL,
    LiveRun,
    World,
    drive,
    line_with,
    look_at,
    many_runs,
    press,
    settled,
    shown,
    watch,
)

KEYS = [str(place) for place, _ in enumerate(VIEWS, start=1)]
# What only this view shows, at any size.
MARKS = {"1": "Power in W", "2": "3 runs", "3": "No advice yet", "4": "By command"}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "frugalwatch.db"


@pytest.fixture
def world(ledger: Path) -> World:
    many_runs(ledger, 2)
    world = World(2000)
    run = LiveRun(ledger, world, (GPU, CPU, MODEL), run_key="9")
    run.go(60, {GPU.key: 230.0, CPU.key: 70.0, MODEL.key: 33.0})
    return world


@pytest.mark.parametrize("size", [(60, 20), SMALL, (100, 30), LARGE, (200, 60)])
def test_the_line_of_keys_is_whole_and_ends_with_help_and_quit(
    ledger: Path, world: World, size: tuple[int, int]
) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        for key in KEYS:
            lines = await press(app, pilot, key)
            assert {len(line) for line in lines} == {size[0]}
            assert lines[-1].rstrip().endswith("? Help  q Quit")
            assert size[0] < 80 or not [line for line in lines if "…" in line]
            for place, view in enumerate(VIEWS, start=1):
                assert f"{place} {view.LABEL}" in lines[-1] or size[0] < 80

    drive(watch(ledger, world), size, use)


def test_arrows_and_letters_lead_to_the_views_beside(ledger: Path, world: World) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        for forward, back in (("l", "h"), ("right", "left")):
            for key in (*KEYS[1:], KEYS[0]):
                line_with(await press(app, pilot, forward), MARKS[key])
            for key in reversed(KEYS):
                line_with(await press(app, pilot, back), MARKS[key])

    drive(watch(ledger, world), SMALL, use)


def test_the_line_of_keys_can_be_clicked(ledger: Path, world: World) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        for key in (*KEYS[1:], KEYS[0]):
            label = f"{key} {VIEWS[int(key) - 1].LABEL}"
            at = shown(app)[-1].index(label) + 3
            await pilot.click(offset=(at, 23))
            await settled(app, pilot)
            line_with(shown(app), MARKS[key])
        at = shown(app)[-1].index("? Help")
        await pilot.click(offset=(at, 23))
        await settled(app, pilot)
        line_with(shown(app), "never touches a job")
        await pilot.click(offset=(shown(app)[-1].index("Esc Back"), 23))
        await settled(app, pilot)
        line_with(shown(app), MARKS["1"])

    drive(watch(ledger, world), SMALL, use)


@pytest.mark.parametrize("key", KEYS)
def test_help_lists_the_keys_of_the_open_view(ledger: Path, world: World, key: str) -> None:
    lines = look_at(ledger, world, (100, 60), key, "question_mark")
    line_with(lines, f" {VIEWS[int(key) - 1].LABEL}")
    line_with(lines, "1 2 3 4", "Live, Jobs, Advice, Machine")
    line_with(lines, "Wh and g, J and g, kWh and kg")
    line_with(lines, "~", "not measured")
    assert not any(line.rstrip().endswith("…") for line in lines)
    if key == "4":
        line_with(lines, "t ", "Today, this week, 30 days")


def test_the_palette_has_our_commands_and_does_them(ledger: Path, world: World) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        await press(app, pilot, "ctrl+p", *"open mach")
        await pilot.pause(0.3)
        line_with(shown(app), "Open Machine")
        await press(app, pilot, "enter", "enter")
        await settled(app, pilot)
        line_with(shown(app), MARKS["4"])
        await press(app, pilot, "ctrl+p", *"theme light")
        await pilot.pause(0.3)
        await press(app, pilot, "enter", "enter")
        assert app.theme == "light"

    drive(watch(ledger, world), SMALL, use)


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
def test_letters_stand_beside_colours_in_every_theme(
    ledger: Path, world: World, theme: str
) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        app.theme = theme
        for key in KEYS:
            lines = await press(app, pilot, key)
            assert lines[-1].rstrip().endswith("q Quit")
        lines = await press(app, pilot, "1")
        line_with(lines, "G gpu", "C cpu")
        line_with(lines, "G RTX 4090")

    drive(watch(ledger, world), SMALL, use)


def test_theme_and_units_are_there_again_the_next_time(ledger: Path, world: World) -> None:
    place = {"XDG_STATE_HOME": str(ledger.parent / "state")}

    async def choose(app: Screen, pilot: Pilot[None]) -> None:
        line_with(await press(app, pilot, "T", "u"), "18.0 kJ")
        assert app.theme == THEMES[1].name

    async def look(app: Screen, pilot: Pilot[None]) -> None:
        line_with(shown(app), "18.0 kJ")
        assert app.theme == THEMES[1].name

    drive(watch(ledger, world), SMALL, choose, memory=Memory(place))
    drive(watch(ledger, world), SMALL, look, memory=Memory(place))
    kept = ledger.parent / "state/frugalwatch/screen.json"
    assert json.loads(kept.read_text()) == {"theme": THEMES[1].name, "unit": "J"}
    for broken in ("{", "[]", '{"theme": "no such", "unit": 7}'):
        kept.write_text(broken)

        async def begin(app: Screen, pilot: Pilot[None]) -> None:
            line_with(shown(app), "5.00 Wh")

        drive(watch(ledger, world), SMALL, begin, memory=Memory(place))


def test_kilowatt_hours_go_with_kilograms(ledger: Path, world: World) -> None:
    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(await press(app, pilot, "4"), "Today", "Wh", " g")
        line_with(await press(app, pilot, "u", "u"), "Today", "kWh", " kg")
        line_with(await press(app, pilot, "1"), "kWh", " kg CO2e")

    drive(watch(ledger, world), SMALL, use)


@pytest.mark.parametrize("key", ["1", "2", "4"])
def test_rows_and_picture_are_written_under_a_name_that_is_shown(
    ledger: Path, world: World, key: str
) -> None:
    lines = look_at(ledger, world, LARGE, key, "e", "c")
    name = line_with(lines, "! written: ").split("written: ")[1].split()[0]
    with open(ledger.parent / name, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    lines = look_at(ledger, world, LARGE, key, "e", "j")
    name = line_with(lines, "! written: ").split("written: ")[1].split()[0]
    found = json.loads((ledger.parent / name).read_text())
    assert found["schema"].startswith("frugalwatch.screen.")
    assert len(found["rows"]) == len(rows)
    lines = look_at(ledger, world, LARGE, key, "e", "s")
    name = line_with(lines, "! written: ").split("written: ")[1].split()[0]
    picture = (ledger.parent / name).read_text()
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "Write what is on the screen" not in picture


def test_a_file_is_never_overwritten(ledger: Path, world: World) -> None:
    (ledger.parent / "frugalwatch-jobs.csv").write_text("mine")
    lines = look_at(ledger, world, LARGE, "2", "e", "c")
    line_with(lines, "written: frugalwatch-jobs-2.csv")
    line_with(look_at(ledger, world, LARGE, "2", "e", "c"), "frugalwatch-jobs-3.csv")
    assert (ledger.parent / "frugalwatch-jobs.csv").read_text() == "mine"
    assert (ledger.parent / "frugalwatch-jobs-2.csv").stat().st_mode & 0o077 == 0


def test_a_folder_that_went_away_is_said(ledger: Path, world: World) -> None:
    gone = ledger.parent / "gone"
    gone.mkdir()

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        import os

        os.chdir(gone)
        gone.rmdir()
        try:
            line_with(await press(app, pilot, "e", "s"), "nothing was written: ")
        finally:
            os.chdir(ledger.parent)

    drive(watch(ledger, world), SMALL, use)


def test_without_rows_only_the_picture_is_offered(ledger: Path, world: World) -> None:
    lines = look_at(ledger, world, SMALL, "3", "e")
    assert "s SVG picture" in lines[-1]
    assert "CSV" not in lines[-1]


def test_ascii_terminals_get_ascii_in_every_view(ledger: Path, world: World) -> None:
    for key in KEYS:
        for size in (SMALL, LARGE):
            lines = look_at(ledger, world, size, key, symbols="ascii")
            assert all(line.isascii() for line in lines), [x for x in lines if not x.isascii()]
