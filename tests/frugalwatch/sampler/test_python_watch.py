"""Why nothing was seen inside a program, found out from outside."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from frugalwatch.sampler.python_watch import PythonWatch
from tests.frugalwatch.ledger.kit import SECOND, started_journal


def process(procfs: Path, pid: int, exe: str, *words: str, maps: str = "") -> None:
    folder = procfs / str(pid)
    folder.mkdir()
    (folder / "exe").symlink_to(exe)
    (folder / "cmdline").write_bytes(b"\0".join([exe.encode(), *map(os.fsencode, words)]) + b"\0")
    (folder / "maps").write_text(maps)


def told(
    watch: PythonWatch,
    path: Path,
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    journal = started_journal(path)
    watch.tell(journal, argv, environment or {}, 105 * SECOND)
    journal.commit()
    conn = sqlite3.connect(path)
    return conn.execute("SELECT cause, detail FROM event WHERE kind = 'no_hook'").fetchall()


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["-I", "train.py"], "-I"),
        (["-Es", "train.py"], "-E"),
        (["-S", "-m", "train"], "-S"),
        (["-X", "dev", "-W", "ignore", "-uI", "train.py"], "-I"),
        (["-c", "import this", "-I"], "silent"),
        (["train.py", "-S"], "silent"),
        (["-u", "-", "-E"], "silent"),
        ([], "silent"),
    ],
)
def test_the_interpreters_own_options_are_told_from_the_programs(
    words: list[str], cause: str, tmp_path: Path
) -> None:
    process(tmp_path, 7, "/usr/bin/python3.12", *words)
    watch = PythonWatch(hook=True, procfs=str(tmp_path))
    watch.look({7}, 0)
    assert [found for found, _ in told(watch, tmp_path / "l.db", ["./run.sh"])] == [cause]


def test_a_program_with_python_inside_is_named(tmp_path: Path) -> None:
    process(tmp_path, 7, "/opt/app/train", maps="7f00 r-xp /tmp/_MEI1/libpython3.11.so.1.0\n")
    process(tmp_path, 8, "/usr/bin/bash", maps="7f00 r-xp /usr/lib/libc.so.6\n")
    watch = PythonWatch(hook=True, procfs=str(tmp_path))
    watch.look({7, 8}, 0)
    watch.look({7, 8}, 2 * SECOND)
    ((cause, detail),) = told(watch, tmp_path / "l.db", ["/opt/app/train"])
    assert cause == "frozen"
    assert detail.startswith("train has its Python inside")


def test_a_job_without_python_has_nothing_to_say(tmp_path: Path) -> None:
    process(tmp_path, 8, "/usr/bin/sleep", "30")
    watch = PythonWatch(hook=True, procfs=str(tmp_path))
    for second in range(4):
        watch.look({8, 9}, second * SECOND)
    assert told(watch, tmp_path / "l.db", ["sleep", "30"], {"PATH": "/usr/bin:/bin"}) == []


def test_a_job_that_was_over_before_any_look_is_judged_by_its_command(tmp_path: Path) -> None:
    script = tmp_path / "train"
    script.write_text("#!/usr/bin/env -S python3 -E\nprint()\n")
    watch = PythonWatch(hook=True)
    found = told(watch, tmp_path / "a.db", ["train"], {"PATH": f"/nowhere:{tmp_path}"})
    assert [cause for cause, _ in found] == ["-E"]
    found = told(watch, tmp_path / "b.db", ["/usr/bin/python3", "-S", "x.py"])
    assert [cause for cause, _ in found] == ["-S"]


def test_a_hook_that_was_switched_off_is_the_reason(tmp_path: Path) -> None:
    found = told(PythonWatch(hook=False), tmp_path / "l.db", ["python", "-I", "train.py"])
    assert [cause for cause, _ in found] == ["off"]


def test_a_process_that_becomes_python_later_is_seen(tmp_path: Path) -> None:
    """A shell script that ends in `exec python`."""
    process(tmp_path, 7, "/usr/bin/bash", "run.sh")
    watch = PythonWatch(hook=True, procfs=str(tmp_path))
    watch.look({7}, 0)
    (tmp_path / "7" / "exe").unlink()
    (tmp_path / "7" / "exe").symlink_to("/usr/bin/python3")
    watch.look({7}, SECOND // 2)
    watch.look({7}, SECOND)
    assert [cause for cause, _ in told(watch, tmp_path / "l.db", ["run.sh"])] == ["silent"]
