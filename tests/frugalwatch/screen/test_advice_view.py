"""View 3 as a person sees it: none, being made, done, applied, verified, broken."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from frugalwatch.ledger.connection import open_ledger
from frugalwatch.machine import boot_key
from frugalwatch.screen.app import Screen
from tests.frugalwatch.ledger.advice_kit import (
    START_UTC_NS,
    add_advice,
    add_trial,
    add_verification,
    document,
    judgement,
    recommendation,
)
from tests.frugalwatch.screen.kit import (
    CPU,
    LARGE,
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
from tests.frugalwatch.screen.snapshots import assert_accepted


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


def opened(ledger: Path) -> sqlite3.Connection:
    return open_ledger(str(ledger), create=True)


def later(minutes: int) -> int:
    return START_UTC_NS + minutes * 60 * 10**9


def with_advice(ledger: Path, *entries: dict[str, Any], **columns: Any) -> int:
    conn = opened(ledger)
    number = add_advice(conn, "2025-a", document(entries or [recommendation()]), **columns)
    conn.close()
    return number


def test_without_advice_it_names_the_command_that_makes_some(ledger: Path) -> None:
    LiveRun(ledger, World()).go(3, {CPU.key: 50.0})
    for size in (SMALL, LARGE):
        lines = look_at(ledger, World(), size, "3")
        line_with(lines, "No advice yet.")
        line_with(lines, "frugalwatch advise -- python infer.py")
        line_with(lines, "1 Live 2 Jobs 3 Advice 4 Machine", "q Quit")


def test_advice_without_any_run_is_shown(ledger: Path) -> None:
    with_advice(ledger)
    lines = look_at(ledger, World(), SMALL, "3")
    line_with(lines, "A1", "one thread", "CPU -48 % (-50..-46)", "open")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_list_says_what_each_came_to(ledger: Path, size: tuple[int, int]) -> None:
    conn = opened(ledger)
    first = add_advice(conn, "2025-a")
    add_verification(conn, first, "not_held")
    second = add_advice(conn, "2025-b", {}, state="running", started_utc_ns=later(1))
    add_trial(conn, second)
    add_advice(conn, "2025-c", document(), started_utc_ns=later(2))
    doubtful = [judgement(verdict="not confirmed")]
    unsure = document(not_recommended=doubtful, unit="energy_j")
    add_advice(conn, "2025-d", unsure, started_utc_ns=later(3))
    add_advice(conn, "2025-e", {}, state="failed", started_utc_ns=later(4))
    conn.close()
    lines = look_at(ledger, World(), size, "3")
    line_with(lines, "A1", "one thread", "-48 %", "NOT held")
    line_with(lines, "A2", "at replay 2")
    line_with(lines, "A3", "nothing worth doing")
    line_with(lines, "A4", "no verdict")
    line_with(lines, "A5", "failed")
    line_with(lines, "5 stored, 1 recommend something")
    assert {len(line) for line in lines} == {size[0]}
    rows = [line.split()[0] for line in lines if line.startswith("A") and line[1].isdigit()]
    assert rows == ["A5", "A4", "A3", "A2", "A1"], "the latest first"


def test_the_detail_has_promise_measurement_runs_and_how_to_apply_it(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, environment={"FRUGALWATCH_ADVICE": "A1.2"})
    run.go(3, {CPU.key: 50.0})
    other = [judgement("bf16", verdict="changes the output", reason="3 of 10 differ")]
    missing = [{"technique": "torch.compile", "reason": "the program uses no torch"}]
    conn = opened(ledger)
    found = document(
        [recommendation(), recommendation(2, "jemalloc", saved_per_run=None)],
        not_recommended=other,
        not_tried=missing,
        notes=["other programs were busy"],
    )
    add_verification(conn, add_advice(conn, "2025-a", found))
    conn.close()
    lines = look_at(ledger, world, LARGE, "3")
    line_with(lines, "1  one thread", "-48 % (-50..-46)", "-3 %", "same", "held")
    line_with(lines, "2  jemalloc", "1 run")
    line_with(lines, "A1.2 was applied to run 1.")
    line_with(lines, "Verified A1.1", "held, measured -45 % (-47..-43)")
    line_with(lines, "x bf16", "changes the output: 3 of 10 differ")
    line_with(lines, "- torch.compile: the program uses no torch")
    line_with(lines, "frugalwatch run --with A1 -- COMMAND")
    line_with(lines, "frugalwatch verify A1")
    line_with(lines, "note: other programs were busy")
    line_with(lines, "no energy counter")
    line_with(lines, "1 applied   1 held when verified")


def being_made(conn: sqlite3.Connection, **told: Any) -> int:
    """An advice at trial 17 of about 60, which has tried one change so far."""
    progress = {
        "trial": 17,
        "of": 60,
        "left_s": 185.0,
        "spent_s": 62.0,
        "spent_cpu_s": 41.2,
        "spent_energy_j": None,
        "doing": "confirming round 3, one thread",
        **told,
    }
    number = add_advice(
        conn, "2025-z", {}, state="running", progress=json.dumps(progress), command='["python"]'
    )
    conn.execute("UPDATE trial SET stage = 'screening', variant = 'one thread'")
    return number


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_one_that_is_being_made_says_how_far_it_is(ledger: Path, size: tuple[int, int]) -> None:
    conn = opened(ledger)
    being_made(conn)
    conn.close()
    lines = look_at(ledger, World(), size, "3")
    line_with(lines, "A1", "trial 17 of 60")
    line_with(lines, "Being made: trial 17 of 60, about 3 min 05 s left, 41.2 CPU-s spent.")
    line_with(lines, "[###########-----------------------------]  27 %")
    line_with(lines, "Now: confirming round 3, one thread.")
    line_with(lines, "one thread", "1", "4.10")
    assert_accepted(f"advice_being_made_{size[0]}x{size[1]}", lines)


def test_joules_of_one_that_is_being_made_come_first(ledger: Path) -> None:
    conn = opened(ledger)
    being_made(conn, spent_energy_j=7200.0, of=None, left_s=None)
    conn.close()
    line_with(look_at(ledger, World(), SMALL, "3"), "Being made: trial 17, 2.00 Wh spent.")


def test_one_whose_process_is_gone_is_cut_short_and_can_go_on(ledger: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    conn = opened(ledger)
    number = being_made(conn, pid=ended.pid, starttime=1, boot=boot_key())
    conn.execute("UPDATE machine SET hostname = ?", (os.uname().nodename,))
    conn.close()
    lines = look_at(ledger, World(), LARGE, "3")
    line_with(lines, f"A{number}", "cut short")
    line_with(lines, "frugalwatch advise --resume A1")
    conn = opened(ledger)
    mine = {"pid": os.getpid(), "starttime": None, "boot": boot_key(), "trial": 3}
    conn.execute("UPDATE advice SET progress = ?", (json.dumps(mine),))
    conn.close()
    line_with(look_at(ledger, World(), LARGE, "3"), f"A{number}", "trial 3")


def test_latency_and_memory_of_a_change_stand_below_it(ledger: Path) -> None:
    latency = {"unit": "call", "durations": 90, "p50_s": 0.004, "p95_s": 0.006, "p99_s": None}
    with_advice(ledger, recommendation(latency=latency, peak_memory_bytes=200 * 2**20))
    lines = look_at(ledger, World(), LARGE, "3")
    line_with(lines, "p50 4.0 ms, p95 6.0 ms per call; 200 MiB")


def test_joules_are_headed_energy(ledger: Path) -> None:
    conn = opened(ledger)
    spent = {"cpu_s": 1.0, "wall_s": 60.0, "energy_j": 7200.0}
    add_advice(conn, "2025-a", document([recommendation()], unit="energy_j", spent=spent))
    conn.close()
    lines = look_at(ledger, World(), SMALL, "3")
    line_with(lines, "A1", "Energy -48 %")
    line_with(lines, "2.00 Wh spent on it")
    assert not any("CPU" in line for line in lines)


def test_the_cursor_chooses_and_enter_shows_all_of_it(ledger: Path) -> None:
    conn = opened(ledger)
    add_advice(conn, "2025-a", document([recommendation(name="the older one")]))
    newer = document([recommendation(name="the newer one")])
    add_advice(conn, "2025-b", newer, started_utc_ns=later(1))
    conn.close()

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines = await press(app, pilot, "3")
        line_with(lines, "1  the newer one")
        line_with(await press(app, pilot, "j"), "1  the older one")
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "1  the older one")
        lines = await press(app, pilot, "enter")
        line_with(lines, "A1  python infer.py", "done")
        line_with(lines, "export OMP_NUM_THREADS=1")
        line_with(lines, "Esc Back")
        line_with(await press(app, pilot, "escape"), "A2", "the newer one")
        line_with(await press(app, pilot, "escape"), "No run has been recorded")

    drive(watch(ledger, World()), SMALL, use)


def test_new_advice_and_its_use_show_up_by_themselves(ledger: Path) -> None:
    world = World()
    LiveRun(ledger, world).go(3, {CPU.key: 50.0})

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        line_with(await press(app, pilot, "3"), "No advice yet.")
        conn = opened(ledger)
        number = add_advice(conn, "2025-a", {}, state="running")
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "at replay 1")
        conn.execute(
            "UPDATE advice SET state = 'done', result = ?, ended_utc_ns = 1 WHERE id = ?",
            (json.dumps(document([recommendation()])), number),
        )
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "A1", "one thread", "open")
        environment = {"FRUGALWATCH_ADVICE": "A1.1"}
        LiveRun(ledger, world, run_key="9", environment=environment).go(1, {CPU.key: 1.0})
        add_verification(conn, number)
        conn.close()
        app._tick()
        await settled(app, pilot)
        line_with(shown(app), "A1", "one thread", "1 run, held")

    drive(watch(ledger, world), SMALL, use)


def test_an_unreadable_document_does_not_hide_the_others(ledger: Path) -> None:
    conn = opened(ledger)
    add_advice(conn, "2025-a")
    add_advice(conn, "2025-b", command="not json", result="{", started_utc_ns=later(1))
    strange = {"recommendations": [{"number": 1}, {"number": 2, "name": "x", "ratio": None}]}
    add_advice(conn, "2025-c", strange, started_utc_ns=later(2))
    conn.close()
    lines = look_at(ledger, World(), LARGE, "3")
    line_with(lines, "A1", "one thread")
    line_with(lines, "A2", "not json")
    line_with(lines, "A3")
    assert not any("trying again" in line for line in lines)


def test_the_recommendations_are_exported(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    conn = opened(ledger)
    add_verification(conn, add_advice(conn, "2025-a"))
    conn.close()
    line_with(look_at(ledger, World(), SMALL, "3", "e", "c"), "frugalwatch-advice.csv")
    with open(tmp_path / "frugalwatch-advice.csv", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["advice"], row["change"], row["promised_ratio"]) == ("A1", "one thread", "0.52")
    assert (row["verdict"], row["verified_ratio"]) == ("held", "0.55")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_it_reads_as_accepted(ledger: Path, size: tuple[int, int]) -> None:
    """One being made, one that failed, one of nothing, and one that was applied and held."""
    world = World()
    run = LiveRun(ledger, world, environment={"FRUGALWATCH_ADVICE": "A1.1"})
    run.go(60, {CPU.key: 50.0})
    conn = opened(ledger)
    found = document(
        [recommendation(), recommendation(2, "one thread + jemalloc", technique="combination")],
        not_recommended=[judgement("bf16", verdict="changes the output", reason="3 of 10 differ")],
        not_tried=[{"technique": "torch.compile", "reason": "the program uses no torch"}],
        notes=["other programs were busy"],
    )
    add_verification(conn, add_advice(conn, "2025-a", found))
    add_advice(conn, "2025-b", document(), started_utc_ns=later(-3))
    add_advice(conn, "2025-c", {}, state="failed", started_utc_ns=later(-2))
    add_advice(conn, "2025-d", {}, state="running", started_utc_ns=later(-1))
    conn.close()
    lines = look_at(ledger, world, size, "3")
    assert_accepted(f"advice_all_kinds_{size[0]}x{size[1]}", lines)
    none = look_at(Path("/nowhere/no.db"), world, size, "3")
    assert_accepted(f"advice_none_{size[0]}x{size[1]}", none)
    page = look_at(ledger, world, size, "3", "enter")
    assert_accepted(f"advice_page_{size[0]}x{size[1]}", page)
