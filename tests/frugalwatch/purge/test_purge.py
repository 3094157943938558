"""`frugalwatch purge`: what it says, what goes, what stays, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.errors import UsageError
from frugalwatch.ledger.connection import open_ledger
from frugalwatch.profile.folder import purge_expired
from frugalwatch.purge.choice import Choice, parse_age_s
from tests.frugalwatch.e2e.kit import Frugalwatch

JOB = """
import sys, time, frugalwatch
with frugalwatch.phase("hush-phase"):
    frugalwatch.metric("hush-metric", 1.0)
    frugalwatch.step()
    time.sleep(0.3)
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The state folder of three runs, made once: the first is profiled and captured."""
    program = Frugalwatch(tmp_path_factory.mktemp("stored"))
    said = (sys.executable, "-c", JOB, "hush-word")
    assert program("run", "-q", "--profile", "--capture", "--", *said).returncode == 0
    assert program("run", "-q", "--", "echo", "run-two").returncode == 0
    assert program("run", "-q", "--", "echo", "run-three").returncode == 0
    program.wait_for_state("done")
    connection = open_ledger(str(program.ledger), create=False)
    with connection:
        add_advice(connection)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    state = program.folder / "state"
    kept = state / "frugalwatch" / "advice" / "A1"
    kept.mkdir(parents=True)
    (kept / "advice.json").write_text('{"key": "advice-1"}')
    (kept / "model.onnx").write_bytes(b"hush-model")
    found = (path for path in state.rglob("*") if path.is_file() and ".db-" not in path.name)
    return {str(path.relative_to(state)): path.read_bytes() for path in found}


def add_advice(connection: sqlite3.Connection) -> None:
    connection.execute(
        "INSERT INTO advice (id, advice_key, machine_id, state, command, command_hash, cwd, run_id,"
        " seed, started_utc_ns, ended_utc_ns) VALUES (1, 'advice-1', 1, 'done',"
        " '[\"python\",\"hush-advice\"]', 'x', '/', 1, 1, 1, 2)"
    )
    connection.execute(
        "INSERT INTO verification (id, advice_id, recommendation, machine_id, started_utc_ns)"
        " VALUES (1, 1, 1, 1, 1)"
    )


@pytest.fixture
def program(tmp_path: Path, stored: dict[str, bytes]) -> Frugalwatch:
    """A program with that state."""
    found = Frugalwatch(tmp_path)
    for name, content in stored.items():
        path = tmp_path / "state" / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
    return found


def everything(program: Frugalwatch) -> bytes:
    """All that is stored, but for SQLite's shared memory, which any reader changes."""
    state = program.folder / "state"
    files = (path for path in state.rglob("*") if path.is_file() and path.suffix != ".db-shm")
    return b"".join(path.read_bytes() for path in sorted(files))


def purge(program: Frugalwatch, *arguments: str) -> dict[str, Any]:
    result = program("purge", "--json", *arguments)
    assert result.returncode == 0, result.said
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def kinds(document: dict[str, Any]) -> list[str]:
    return [files["kind"] for files in document["files"]]


def test_without_yes_it_says_what_would_go_and_touches_nothing(program: Frugalwatch) -> None:
    before = everything(program)
    result = program("purge", "--all")
    assert "would be deleted:" in result.stdout.decode()
    assert "3 runs" in result.stdout.decode()
    assert "Nothing was deleted" in result.said
    assert everything(program) == before


def test_all_leaves_no_word_of_any_job(program: Frugalwatch) -> None:
    for word in (b"hush-word", b"hush-phase", b"hush-advice", b"hush-model", b"run-two"):
        assert word in everything(program)
    document = purge(program, "--all", "--yes")
    assert len(document["runs"]) == 3
    assert document["problems"] == []
    assert sorted(kinds(document)) == ["advice folder", "capture", "profile"]
    left = everything(program)
    for word in (b"hush", b"run-two", b"run-three", str(program.folder).encode()):
        assert word not in left
    assert program.intact()
    for table in ("run", "stream", "sample", "event", "advice", "verification", "run_device"):
        assert program.one(f"SELECT count(*) FROM {table}") == 0
    assert program("runs").returncode == 0
    assert program("run", "-q", "--", "true").returncode == 0, "the ledger goes on"


def test_a_run_takes_its_profile_and_capture_with_it(program: Frugalwatch) -> None:
    document = purge(program, "1", "--yes")
    assert [run["number"] for run in document["runs"]] == [1]
    assert sorted(kinds(document)) == ["capture", "profile"]
    assert [row[0] for row in program.rows("SELECT id FROM run")] == [2, 3]
    assert program.one("SELECT run_id FROM advice") is None, "advice made on it stays"
    assert (program.folder / "state/frugalwatch/advice/A1/model.onnx").exists()


def test_the_last_run_can_be_named_as_elsewhere(program: Frugalwatch) -> None:
    assert [run["command"] for run in purge(program, "-1")["runs"]] == [["echo", "run-three"]]
    assert program("purge", "99").returncode == 1


def test_everything_about_a_command_goes_by_its_words(program: Frugalwatch) -> None:
    document = purge(program, "--command", "HUSH", "--yes")
    assert [run["number"] for run in document["runs"]] == [1]
    assert [advice["number"] for advice in document["advice"]] == [1]
    assert sorted(kinds(document)) == ["advice folder", "capture", "profile"]
    assert b"hush" not in everything(program)


def test_by_age_only_what_ended_longer_ago_goes(program: Frugalwatch) -> None:
    assert purge(program, "--older-than", "1d")["runs"] == []
    connection = open_ledger(str(program.ledger), create=False)
    connection.execute("UPDATE run SET started_utc_ns = 1 WHERE id = 2")
    connection.close()
    assert [run["number"] for run in purge(program, "--older-than", "1d")["runs"]] == [2]
    both = purge(program, "--older-than", "1d", "--command", "three")
    assert both["runs"] == [], "both have to hold"


def test_totals_can_be_kept_without_a_word_of_the_job(program: Frugalwatch) -> None:
    before = json.loads(program("show", "1", "--json").stdout)
    purge(program, "--all", "--keep-totals", "--yes")
    after = json.loads(program("show", "1", "--json").stdout)
    for key in ("estimated_j", "co2e_g", "duration_s", "cpu_s", "exit_code", "host", "devices"):
        assert after[key] == before[key]
    assert after["command"] == ["***"]
    assert (after["metrics"], after["phases"], after["units"]) == ([], [], [])
    assert after.keys() == before.keys()
    assert b"hush" not in everything(program)
    assert program.one("SELECT count(*) FROM sample") == 0
    assert program.one("SELECT count(DISTINCT command_hash) FROM run") == 3
    for arguments in (("show", "1"), ("runs",), ("export",), ("compare", "2", "3")):
        assert program(*arguments).returncode == 0, arguments
    again = purge(program, "--all", "--yes")
    assert len(again["runs"]) == 3


def test_a_run_that_goes_on_is_left_alone(program: Frugalwatch) -> None:
    process = program.start("run", "-q", "--capture", "--", "sleep", "30")
    try:
        program.wait_for_state("running")
        result = program("purge", "--all", "--yes")
        assert "left alone, since they go on: 4" in result.said
        assert [row[0] for row in program.rows("SELECT id FROM run")] == [4]
        captures = program.folder / "state/frugalwatch/captures"
        assert [path.name for path in captures.glob("C*")] == ["C2"], "nor is its capture touched"
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert program.wait_for_state("killed") == "killed"


@pytest.mark.parametrize(
    "arguments",
    [(), ("--all", "1"), ("--all", "--older-than", "1d"), ("1", "--command", "x")],
)
def test_what_is_not_clear_is_refused(program: Frugalwatch, arguments: tuple[str, ...]) -> None:
    before = everything(program)
    assert program("purge", "--yes", *arguments).returncode == 2
    assert everything(program) == before


def test_ages_are_read(program: Frugalwatch) -> None:
    assert parse_age_s("12h") == 43_200
    assert parse_age_s("8w") == 8 * 7 * 86_400
    for text in ("", "d", "3", "3 months", "-1d"):
        with pytest.raises(UsageError):
            parse_age_s(text)
    assert Choice(None, None, None, keep_totals=False).is_everything


def test_profiles_expire_as_captures_do(program: Frugalwatch) -> None:
    environ = program.environment
    now = time.time()
    assert purge_expired(environ, 7.0, now) == []
    assert len(purge_expired(environ, 7.0, now + 8 * 86_400)) == 1
    assert os.listdir(program.folder / "state/frugalwatch/profiles") == []


def test_an_expired_profile_goes_with_the_next_run(program: Frugalwatch) -> None:
    profiles = program.folder / "state/frugalwatch/profiles"
    (folder,) = profiles.iterdir()
    for path in (*folder.iterdir(), folder):
        os.utime(path, (1, 1))
    assert program("run", "-q", "--", "true").returncode == 0
    assert list(profiles.iterdir()) == []
