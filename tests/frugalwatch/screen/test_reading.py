from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from frugalwatch.carbon.grid import resolve_or_world
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.migrate import newest_version
from frugalwatch.report.run_object import build
from frugalwatch.screen.reading import LedgerWatch
from tests.frugalwatch.ledger.kit import REPOSITORY, SECOND
from tests.frugalwatch.ledger.runs import fill
from tests.frugalwatch.screen.kit import CPU, GPU, MODEL, SETTINGS, LiveRun, World, many_runs, watch


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "frugalwatch.db"


def test_a_run_that_goes_on_shows_power_and_energy_of_this_moment(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU))
    run.go(10, {GPU.key: 200.0, CPU.key: 50.0})
    run.go(1, {GPU.key: 300.0, CPU.key: 40.0})
    reader = watch(ledger, world)
    now = reader.look().run
    assert now is not None
    assert {d.key: round(d.power_w or 0, 6) for d in now.devices} == {GPU.key: 300, CPU.key: 40}
    assert now.measured is not None
    assert now.measured.value == pytest.approx(10 * 250 + 340)
    assert now.power_w(modelled=False) == pytest.approx(340)
    assert now.row.energy_j == now.measured.value
    run.go(1, {GPU.key: 100.0, CPU.key: 40.0})
    later = reader.look().run
    assert later is not None
    assert later.power_w(modelled=False) == pytest.approx(140)
    assert later.measured is not None
    assert later.measured.value == pytest.approx(now.measured.value + 140)


def test_figures_are_those_that_the_run_object_holds(ledger: Path) -> None:
    """One computation: with a gap, a model beside counters, and a GPU that came late."""
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU, MODEL))
    run.go(20, {GPU.key: 200.0, CPU.key: 50.0, MODEL.key: 30.0})
    run.journal.event(
        "gap", "lost", t_mono_ns=world.mono_ns(), since_mono_ns=world.mono_ns() - SECOND,
        handle=run.handles[GPU.key], energy_missing=True,
    )  # fmt: skip
    run.go(10, {CPU.key: 50.0, MODEL.key: 30.0})
    now = watch(ledger, world).look().run
    assert now is not None
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        factor, _ = resolve_or_world(SETTINGS)
        whole = build(connection, run.start.run_key, factor, SETTINGS)
    document = whole.document
    assert now.measured == whole.measured
    assert now.estimated == whole.estimated
    assert now.coverage == document["coverage"]
    assert {k: document[k] for k in now.carbon} == now.carbon
    assert [(d.key, d.energy, d.counted) for d in now.devices] == [
        (d.row.key, d.energy, d.counted) for d in whole.devices
    ]


def test_a_device_that_was_lost_is_said_and_draws_nothing_known(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU))
    run.go(20, {GPU.key: 200.0, CPU.key: 50.0})
    run.journal.event(
        "gap", "lost", t_mono_ns=world.mono_ns() + SECOND, since_mono_ns=world.mono_ns(),
        handle=run.handles[GPU.key], energy_missing=True,
    )  # fmt: skip
    run.go(5, {CPU.key: 50.0})
    now = watch(ledger, world).look().run
    assert now is not None
    gpu = now.devices[0]
    assert gpu.power_w is None
    assert gpu.silent == "lost for 5.0 s"
    assert now.notices == ("nvidia:GPU-0: lost for 5.0 s",)
    assert now.power_w(modelled=False) == pytest.approx(50)
    assert gpu.trace.gaps[0].length == 5 * SECOND


def test_a_device_that_falls_silent_without_a_word_is_said_too(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU))
    run.go(20, {GPU.key: 200.0, CPU.key: 50.0})
    run.go(5, {CPU.key: 50.0})
    now = watch(ledger, world).look().run
    assert now is not None
    assert now.devices[0].silent == "no answer for 5.0 s"


def test_a_run_of_which_nothing_is_heard_shows_no_power(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(10, {CPU.key: 50.0})
    reader = watch(ledger, world)
    now = reader.look().run
    assert now is not None
    assert not now.is_silent
    world.second += 8
    now = reader.look().run
    assert now is not None
    assert now.is_silent
    assert now.age_s == pytest.approx(8)
    assert now.devices[0].power_w is None
    # Who opens the screen only now knows it as well, by the calendar.
    fresh = watch(ledger, world).look().run
    assert fresh is not None
    assert fresh.age_s == pytest.approx(8)


def test_a_clock_that_was_set_back_makes_no_run_silent(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(10, {CPU.key: 50.0})
    reader = LedgerWatch(str(ledger), SETTINGS, clock_ns=world.mono_ns, utc_ns=lambda: 10**18)
    now = reader.look().run
    assert now is not None
    assert now.age_s == 0


def test_the_end_of_a_run_brings_its_final_figures(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(10, {CPU.key: 50.0})
    reader = watch(ledger, world, Settings())
    before = reader.look().run
    assert before is not None
    assert before.carbon["carbon"]["assumed"] is True
    run.end()
    after = reader.look().run
    assert after is not None
    assert (after.row.state, after.settled, after.age_s) == ("done", True, None)
    assert after.devices[0].power_w is None
    # The zone that the run itself was started with, not the reader's.
    assert after.carbon["carbon"]["zone"] == "DE"
    assert after.measured is not None
    assert after.measured.value == pytest.approx(500)
    assert len(after.devices[0].trace.points) == 11


def test_the_newest_running_run_is_shown_unless_another_is_chosen(ledger: Path) -> None:
    world = World()
    first = LiveRun(ledger, world, run_key="a-first")
    first.go(5, {CPU.key: 10.0})
    second = LiveRun(ledger, world, run_key="b-second")
    second.go(5, {CPU.key: 20.0})
    reader = watch(ledger, world)
    look = reader.look()
    assert look.run is not None
    assert look.run.row.number == 2
    # A run beside it has its energy in the list all the same.
    assert [run.energy_j for run in look.runs] == [pytest.approx(100), pytest.approx(50)]
    chosen = reader.look(1).run
    assert chosen is not None
    assert chosen.row.number == 1
    second.end()
    follower = reader.look().run
    assert follower is not None
    assert follower.row.number == 1


def test_a_run_that_goes_on_is_listed_however_old_it_is(ledger: Path) -> None:
    world = World()
    old = LiveRun(ledger, world)
    old.go(2, {CPU.key: 10.0})
    many_runs(ledger, 4)
    look = watch(ledger, World(1000)).look(limit=2)
    assert [run.number for run in look.runs] == [1, 5, 4]
    assert look.run is not None
    assert look.run.row.number == 1


def test_a_filter_finds_words_of_the_command(ledger: Path) -> None:
    many_runs(ledger, 10)
    reader = watch(ledger, World())
    assert [run.number for run in reader.look(text="eval").runs] == [10, 5]
    assert reader.look(text="100%").runs == ()


def test_runs_of_any_kind_can_be_shown(ledger: Path) -> None:
    """Measured, mixed, modelled, killed, cut off, with objects that hold less than ours do."""
    fill(ledger)
    reader = watch(ledger, World())
    for number in range(1, 7):
        now = reader.look(number).run
        assert now is not None, reader.look(number).trouble
        assert now.row.number == number


def test_each_sample_is_read_once(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world, (GPU, CPU))
    run.go(700, {GPU.key: 200.0, CPU.key: 50.0})
    reader = watch(ledger, world)
    statements: list[str] = []
    reader._open().set_trace_callback(statements.append)
    reader.look()
    from_the_start = "(SELECT max(t_mono_ns) FROM sample"
    assert sum(from_the_start in s for s in statements) == 2
    statements.clear()
    run.go(1, {GPU.key: 200.0, CPU.key: 50.0})
    now = reader.look().run
    assert not any(from_the_start in s for s in statements)
    assert now is not None
    times = [point.t_mono_ns for point in now.devices[0].trace.points]
    assert times == [(201 + second) * SECOND for second in range(601)][-len(times) :]
    assert len(times) == 601


# -- what befalls a ledger -------------------------------------------------------------------------


def test_a_missing_ledger_is_waited_for(ledger: Path) -> None:
    world = World()
    reader = watch(ledger, world)
    trouble = reader.look().trouble
    assert trouble is not None
    assert (trouble.kind, trouble.hint) == ("missing", "frugalwatch run -- COMMAND makes it")
    assert not ledger.exists()
    LiveRun(ledger, world).go(2, {CPU.key: 50.0})
    assert reader.look().run is not None


def test_a_locked_ledger_is_said_and_tried_again(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(2, {CPU.key: 50.0})
    run.end()
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        reader = watch(ledger, world)
        trouble = reader.look().trouble
        assert trouble is not None
        assert trouble.kind == "locked"
        assert "another program holds it locked" in trouble.message
        holder.execute("ROLLBACK")
        assert reader.look().run is not None
        holder.execute("BEGIN EXCLUSIVE")
        again = reader.look().trouble
        assert again is not None
        assert again.kind == "locked"
        holder.execute("ROLLBACK")
    assert reader.look().run is not None


def test_a_corrupt_ledger_is_said_and_its_successor_read(ledger: Path) -> None:
    world = World()
    LiveRun(ledger, world).go(2, {CPU.key: 50.0})
    reader = watch(ledger, world)
    assert reader.look().run is not None
    good = ledger.read_bytes()
    for suffix in ("-wal", "-shm"):
        Path(f"{ledger}{suffix}").unlink(missing_ok=True)
    ledger.unlink()
    ledger.write_bytes(b"this is no database at all" * 1000)
    trouble = reader.look().trouble
    assert trouble is not None
    assert trouble.kind == "corrupt"
    ledger.unlink()
    ledger.write_bytes(good)
    assert reader.look().trouble is None


def test_damage_inside_a_row_is_no_traceback(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(2, {CPU.key: 50.0})
    run.end()
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute("UPDATE run SET command = 'no json'")
        connection.commit()
    trouble = watch(ledger, world).look().trouble
    assert trouble is not None
    assert "cannot be read" in trouble.message


def test_a_newer_ledger_is_refused_with_a_reason(ledger: Path) -> None:
    world = World()
    LiveRun(ledger, world).go(2, {CPU.key: 50.0})
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        connection.execute(f"PRAGMA user_version = {newest_version() + 1}")
    trouble = watch(ledger, world).look().trouble
    assert trouble is not None
    assert trouble.kind == "newer"


def test_a_ledger_that_was_replaced_is_opened_anew(ledger: Path, tmp_path: Path) -> None:
    world = World()
    LiveRun(ledger, world).go(2, {CPU.key: 50.0})
    reader = watch(ledger, world)
    assert reader.look().run is not None
    other = tmp_path / "other.db"
    many_runs(other, 3)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{ledger}{suffix}").unlink(missing_ok=True)
    shutil.copy(other, ledger)
    assert [run.number for run in reader.look(1).runs] == [3, 2, 1]


def test_a_copy_of_a_ledger_can_be_looked_at_where_nothing_may_be_written(
    ledger: Path, tmp_path: Path
) -> None:
    many_runs(ledger, 2)
    folder = tmp_path / "archive"
    folder.mkdir()
    shutil.copy(ledger, folder / "copy.db")
    (folder / "copy.db").chmod(0o400)
    look = watch(folder / "copy.db", World()).look()
    assert look.trouble is None
    assert [run.number for run in look.runs] == [2, 1]


def test_looking_does_not_hold_up_a_writer(ledger: Path) -> None:
    world = World()
    run = LiveRun(ledger, world)
    run.go(2, {CPU.key: 50.0})
    reader = watch(ledger, world)
    for _ in range(5):
        assert reader.look().trouble is None
        assert reader._connection is not None
        assert not reader._connection.in_transaction
        run.go(1, {CPU.key: 50.0})


def test_the_reader_loads_neither_textual_nor_sqlite_utils() -> None:
    code = (
        "import sys, frugalwatch.screen.reading, frugalwatch.screen.plain\n"
        "import frugalwatch.commands.top\n"
        "print([m for m in ('textual', 'rich', 'sqlite_utils', 'numpy', 'asyncio')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
