"""Whatever is wrong with the ledger, the job runs as ever and the run is shown or saved."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import REPOSITORY, Frugalwatch, RunObject, events

JOB = ("--", "sh", "-c", "echo out; echo err >&2; sleep 0.3; exit 3")


def unharmed(frugalwatch: Frugalwatch, *options: str, **how: object) -> tuple[RunObject, str]:
    """Run the job; its status and output are its own and it is shown. What was said, too."""
    run, result = frugalwatch.measure(*options, *JOB, **how)
    assert result.returncode == 3
    assert result.stdout == b"out\n"
    assert result.stderr.startswith(b"err\n")
    assert result.wall_s < 6
    assert run["cpu_s"] is not None
    assert run["estimated_j"] > 0
    return run, result.said


def saved_in(said: str) -> Path:
    """Where a run that could not be recorded was saved, as it was said."""
    (line,) = [line for line in said.splitlines() if "saved in" in line]
    return Path(line.partition("saved in ")[2].strip())


def recorded(path: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT state, exit_code FROM run").fetchall()


@pytest.mark.skipif(
    os.getuid() != 0
    or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0,
    reason="mounting takes root; the same with a file size limit runs everywhere",
)
def test_a_full_disk_is_said_and_the_run_saved_elsewhere(frugalwatch: Frugalwatch) -> None:
    state = frugalwatch.folder / "state" / "frugalwatch"
    state.mkdir()
    frugalwatch.program = (
        *("unshare", "-m", "sh", "-c"),
        f"mount -t tmpfs -o size=48k none {state} && dd if=/dev/zero of={state}/fill bs=4k"
        ' count=10 2>/dev/null; exec "$@"',
        *("sh", *frugalwatch.program),
    )
    _, said = unharmed(frugalwatch)
    assert "full" in said or "No space" in said
    assert recorded(saved_in(said)) == [("done", 3)]


def test_a_limit_on_file_sizes_binds_the_job_and_the_ledger_is_said_to_be_full(
    frugalwatch: Frugalwatch,
) -> None:
    """The quota of a home: the job gets SIGXFSZ as without us, SQLite an error."""
    limit = 16384
    result = frugalwatch(
        *("run", "--", "sh", "-c", f"ulimit -c 0; exec head -c {2 * limit} /dev/zero >big"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert result.returncode == 128 + signal.SIGXFSZ
    assert (frugalwatch.folder / "big").stat().st_size == limit
    assert "exit=153" in result.said
    assert "only shown" in result.said


def test_a_folder_that_may_not_be_written_to_sends_the_run_elsewhere(
    as_nobody: Frugalwatch,
) -> None:
    folder = as_nobody.folder / "state"
    folder.chmod(0o555)
    if os.getuid() == 0:
        os.chown(folder, 0, 0)
    _, said = unharmed(as_nobody)
    assert recorded(saved_in(said)) == [("done", 3)]


def test_a_database_that_may_only_be_read_sends_the_run_elsewhere(as_nobody: Frugalwatch) -> None:
    as_nobody("run", "--", "true")
    for path in as_nobody.ledger.parent.glob("frugalwatch.db*"):
        path.chmod(0o444)
    as_nobody.ledger.parent.chmod(0o555)
    if os.getuid() == 0:
        for path in (as_nobody.ledger.parent, *as_nobody.ledger.parent.iterdir()):
            os.chown(path, 0, 0)
    _, said = unharmed(as_nobody)
    assert recorded(saved_in(said)) == [("done", 3)]
    assert recorded(as_nobody.ledger) == [("done", 0)], "what was there is untouched"


def test_a_home_that_cannot_be_used_at_all_changes_nothing_for_the_job(
    as_nobody: Frugalwatch,
) -> None:
    for name in list(as_nobody.environment):
        if name.startswith("XDG_"):
            del as_nobody.environment[name]
    as_nobody.environment["HOME"] = "/proc/nowhere"
    _, said = unharmed(as_nobody)
    assert recorded(saved_in(said)) == [("done", 3)]


def test_a_corrupt_database_is_put_aside_and_the_run_recorded_in_a_new_one(
    frugalwatch: Frugalwatch,
) -> None:
    frugalwatch.ledger.parent.mkdir()
    frugalwatch.ledger.write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)
    _, said = unharmed(frugalwatch)
    assert "damaged" in said
    kept = [p for p in frugalwatch.ledger.parent.iterdir() if b"nonsense" in p.read_bytes()]
    assert len(kept) == 1, "a damaged ledger is never deleted"
    assert str(kept[0]) in said
    assert recorded(frugalwatch.ledger) == [("done", 3)]


def test_a_ledger_of_a_newer_version_is_left_alone(frugalwatch: Frugalwatch) -> None:
    frugalwatch("run", "--", "true")
    with contextlib.closing(sqlite3.connect(frugalwatch.ledger)) as connection:
        connection.execute("PRAGMA user_version = 999")
    before = frugalwatch.ledger.read_bytes()
    _, said = unharmed(frugalwatch)
    assert "newer" in said
    assert recorded(saved_in(said)) == [("done", 3)]
    assert frugalwatch.ledger.read_bytes() == before


def test_somebody_elses_database_is_left_alone(frugalwatch: Frugalwatch) -> None:
    path = frugalwatch.folder / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious (x)")
    before = path.read_bytes()
    _, said = unharmed(frugalwatch, "--ledger", str(path))
    assert recorded(saved_in(said)) == [("done", 3)]
    assert path.read_bytes() == before


def test_a_ledger_that_another_process_holds_does_not_hold_up_the_jobs_end(
    frugalwatch: Frugalwatch,
) -> None:
    frugalwatch("run", "--", "true")
    with contextlib.closing(sqlite3.connect(frugalwatch.ledger)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        result = frugalwatch("run", "--", "sh", "-c", "exit 3")
        took = time.monotonic() - begun
    assert result.returncode == 3
    assert took < 3.5
    assert "exit=3" in result.said
    assert recorded(saved_in(result.said)) == [("done", 3)]


def test_a_ledger_that_is_deleted_during_the_run_is_made_anew(frugalwatch: Frugalwatch) -> None:
    process = frugalwatch.start("run", "--interval", "0.2", "--", "sleep", "1.5")
    frugalwatch.wait_for_state("running")
    for path in frugalwatch.ledger.parent.iterdir():
        path.unlink()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert recorded(frugalwatch.ledger) == [("done", 0)]


def test_two_runs_at_once_share_a_ledger(frugalwatch: Frugalwatch) -> None:
    processes = [
        frugalwatch.start("run", "--interval", "0.1", "--", "sh", "-c", f"sleep 1; exit {n}")
        for n in range(4)
    ]
    said = [p.communicate(timeout=30)[1].decode() for p in processes]
    assert [p.returncode for p in processes] == [0, 1, 2, 3], said
    assert frugalwatch.intact()
    found = frugalwatch.rows("SELECT exit_code, state, result IS NOT NULL FROM run ORDER BY 1")
    assert found == [(n, "done", 1) for n in range(4)]
    ticks = frugalwatch.rows("SELECT run_id, count(*) FROM usage GROUP BY 1")
    assert min(count for _, count in ticks) >= 6


def test_a_run_inside_a_run_names_its_parent(frugalwatch: Frugalwatch) -> None:
    inner = [*frugalwatch.program, "run", "--", "sh", "-c", "exit 5"]
    environment = {**frugalwatch.environment, "PYTHONPATH": str(REPOSITORY)}
    run, result = frugalwatch.measure("--", *inner, environment=environment)
    assert result.returncode == 5
    rows = frugalwatch.rows("SELECT run_key, parent_run_key, group_key, exit_code FROM run")
    (outer_row,) = [r for r in rows if r[1] is None]
    (inner_row,) = [r for r in rows if r[1] is not None]
    assert outer_row[0] == run["run_id"] == inner_row[1]
    assert inner_row[2] == run["run_id"], "what both share"
    assert inner_row[3] == 5
    assert events(run, "processes_left") == [], "the inner sampler is no process of the job"


def test_every_problem_of_a_configuration_is_said_and_the_job_runs(
    frugalwatch: Frugalwatch,
) -> None:
    folder = frugalwatch.folder / "config" / "frugalwatch"
    folder.mkdir()
    (folder / "config.toml").write_text('intervall_s = 2\npue = "much"\nzone = "FR"\n')
    run, said = unharmed(frugalwatch)
    assert "intervall_s" in said
    assert "did you mean interval_s" in said
    assert "pue" in said
    assert run["carbon"]["zone"] == "FR", "what is right is used"


def test_a_configuration_that_is_no_toml_is_said_and_the_job_runs(
    frugalwatch: Frugalwatch,
) -> None:
    (frugalwatch.folder / "frugalwatch.toml").write_bytes(b"[[[\xff")
    _, said = unharmed(frugalwatch)
    assert "frugalwatch.toml" in said


def test_a_users_own_packages_of_our_names_are_never_imported(frugalwatch: Frugalwatch) -> None:
    project = frugalwatch.folder / "project"
    project.mkdir()
    for package in ("collectors", "advisor", "frugalwatch"):
        if package != "frugalwatch":
            (project / package).mkdir()
            (project / package / "__init__.py").write_text("raise SystemExit('user code ran')\n")
    (project / "train.py").write_text(
        "import importlib\n"
        "for name in ('collectors', 'advisor'):\n"
        "    try: importlib.import_module(name)\n"
        "    except SystemExit as error: print(name, error)\n"
    )
    # The program as it is installed: found by its interpreter without any PYTHONPATH.
    installed = Path(sys.executable).parent / "frugalwatch"
    for path in (".", str(project), f"{project}:"):
        environment = {**frugalwatch.environment, "PYTHONPATH": path}
        for command in ([str(installed)], [sys.executable, "-m", "frugalwatch"]):
            result = subprocess.run(
                [*command, "run", "--json", "-", "--", sys.executable, "train.py"],
                cwd=project,
                env=environment,
                capture_output=True,
                timeout=30,
                check=False,
            )
            assert result.returncode == 0, result.stderr
            assert result.stdout.startswith(b"collectors user code ran\nadvisor user code ran\n"), (
                "the job has its own"
            )
            assert json.loads(result.stdout.partition(b"{")[1] + result.stdout.partition(b"{")[2])


def test_a_users_sitecustomize_that_imports_them_does_no_harm(frugalwatch: Frugalwatch) -> None:
    project = frugalwatch.folder / "project"
    (project / "collectors").mkdir(parents=True)
    (project / "collectors" / "__init__.py").write_text("mine = 1\n")
    (project / "sitecustomize.py").write_text("import collectors\n")
    environment = {**frugalwatch.environment, "PYTHONPATH": str(project)}
    result = subprocess.run(
        [str(Path(sys.executable).parent / "frugalwatch"), "run", "--json", "-", "--", "true"],
        cwd=project,
        env=environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["estimated_j"] > 0
