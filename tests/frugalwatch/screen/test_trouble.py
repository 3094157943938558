"""A ledger that cannot be read, in every view: it is said, nothing ends, and it is tried again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from frugalwatch.ledger.connection import open_ledger
from frugalwatch.screen.app import Screen
from frugalwatch.screen.views import VIEWS
from tests.frugalwatch.ledger.advice_kit import add_advice
from tests.frugalwatch.screen.kit import (
    CPU,
    SMALL,
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

KEYS = [str(place) for place, _ in enumerate(VIEWS, start=1)]
# A word that each view shows of what it read last.
READ = {"1": "60.0 W now", "2": "python train.py", "3": "one thread", "4": "Today"}
Breaking = Callable[[Path], Callable[[], None]]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # where an export goes
    return tmp_path / "frugalwatch.db"


def filled(ledger: Path) -> tuple[World, LiveRun]:
    world = World()
    run = LiveRun(ledger, world)
    run.go(30, {CPU.key: 60.0})
    conn = open_ledger(str(ledger), create=False)
    add_advice(conn, "2025-a")
    conn.close()
    return world, run


def missing(ledger: Path) -> Callable[[], None]:
    """Moved away, with what SQLite keeps beside it."""
    away = ledger.parent / "away"
    away.mkdir()
    files = list(ledger.parent.glob("frugalwatch.db*"))
    for file in files:
        file.rename(away / file.name)

    def back() -> None:
        for file in files:
            (away / file.name).rename(file)

    return back


def corrupt(ledger: Path) -> Callable[[], None]:
    """Overwritten by something else."""
    back = missing(ledger)
    ledger.write_bytes(b"nonsense" * 1000)

    def restore() -> None:
        ledger.unlink()
        back()

    return restore


def cut_short(ledger: Path) -> Callable[[], None]:
    """A copy that broke off in the middle."""
    whole = sqlite3.connect(ledger)
    content = whole.serialize()
    whole.close()
    back = missing(ledger)
    ledger.write_bytes(content[: len(content) // 2])

    def restore() -> None:
        ledger.unlink()
        back()

    return restore


def newer(ledger: Path) -> Callable[[], None]:
    """Written by a version that does not exist yet."""
    back = missing(ledger)
    conn = open_ledger(str(ledger), create=True)
    conn.execute("PRAGMA user_version = 9999")
    conn.execute("PRAGMA journal_mode = DELETE")
    conn.close()

    def restore() -> None:
        for file in ledger.parent.glob("frugalwatch.db*"):
            file.unlink()
        back()

    return restore


def foreign(ledger: Path) -> Callable[[], None]:
    """Another program's database."""
    back = missing(ledger)
    conn = sqlite3.connect(ledger)
    conn.execute("CREATE TABLE recipes (cake TEXT)")
    conn.close()

    def restore() -> None:
        ledger.unlink()
        back()

    return restore


def locked(ledger: Path) -> Callable[[], None]:
    """Held by a program that wants it for itself alone."""
    back = missing(ledger)
    conn = sqlite3.connect(ledger, isolation_level=None)
    conn.execute("PRAGMA locking_mode = EXCLUSIVE")
    conn.execute("CREATE TABLE x (y)")
    conn.execute("BEGIN EXCLUSIVE")

    def restore() -> None:
        conn.execute("ROLLBACK")
        conn.close()
        ledger.unlink()
        back()

    return restore


SAID = {
    missing: "does not exist",
    corrupt: "damaged",
    cut_short: "damaged",
    newer: "newer",
    foreign: "another program",
    locked: "locked",
}


@pytest.mark.parametrize("breaking", SAID, ids=lambda one: one.__name__)
def test_trouble_while_it_is_open_is_said_in_every_view_and_passes(
    ledger: Path, breaking: Breaking
) -> None:
    world, run = filled(ledger)

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        for key in KEYS:
            line_with(await press(app, pilot, key), READ[key])
        restore = breaking(ledger)
        for key in KEYS:
            await press(app, pilot, key)
            app._tick()
            await settled(app, pilot)
            said = "".join(shown(app)).replace("\n", " ")
            assert SAID[breaking] in said, said
            assert "trying again" in said
            line_with(shown(app), READ[key])  # what was read last stays
        restore()
        for key in KEYS:
            await press(app, pilot, key)
            app._tick()
            await settled(app, pilot)
            line_with(shown(app), READ[key])
            assert not any("trying again" in line for line in shown(app))

    drive(watch(ledger, world), (200, 30), use)
    run.end()


@pytest.mark.parametrize("breaking", SAID, ids=lambda one: one.__name__)
def test_trouble_from_the_start_is_said_in_every_view_and_passes(
    ledger: Path, breaking: Breaking
) -> None:
    world, run = filled(ledger)
    restore = breaking(ledger)

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        for key in KEYS:
            lines = await press(app, pilot, key)
            line_with(lines, "q Quit")
            if breaking is missing:
                assert any("frugalwatch" in line and "-- python" in line for line in lines)
            else:
                line_with(lines, SAID[breaking])
                line_with(lines, "Trying again every second.")
        restore()
        for key in KEYS:
            await press(app, pilot, key)
            app._tick()
            await settled(app, pilot)
            line_with(shown(app), READ[key])

    drive(watch(ledger, world), (200, 30), use)
    run.end()


@pytest.mark.parametrize("key", [*KEYS, "help", "run"])
def test_every_key_can_be_pressed_in_trouble(ledger: Path, key: str) -> None:
    ledger.write_bytes(b"nonsense" * 1000)
    pressed = {"help": ["question_mark"], "run": ["2", "enter"]}.get(key, [key])
    every = ["j", "k", "g", "G", "h", "l", "u", "p", "p", "t", "b", "enter", "e", "s", "escape"]
    lines = look_at(ledger, World(), SMALL, *pressed, *every)
    assert lines


def test_a_ledger_that_grows_keeps_being_read(ledger: Path) -> None:
    world, run = filled(ledger)

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        for count, key in enumerate(KEYS * 2):
            run.go(10, {CPU.key: 60.0})
            LiveRun(ledger, world, run_key=f"new-{count}").end()
            await press(app, pilot, key)
            app._tick()
            await settled(app, pilot)
            line_with(shown(app), READ[key] if key != "1" else "python train.py")
            assert not any("trying again" in line for line in shown(app))

    drive(watch(ledger, world), SMALL, use)
    run.end()
