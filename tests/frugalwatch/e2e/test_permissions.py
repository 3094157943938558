"""Other users of a machine can read nothing that is stored of a job, while it runs and after it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import Frugalwatch, until
from tests.support.fake_sysfs import Constant, PowercapTree, Zone
from tests.support.unprivileged import as_nobody

JOB = """
import time, frugalwatch
frugalwatch.metric("x", 1.0)
time.sleep(1.5)
"""


@pytest.fixture
def program() -> Iterator[Frugalwatch]:
    """Below a folder that everybody may enter: pytest's own is closed, and would hide a mistake."""
    folder = Path(tempfile.mkdtemp(prefix="fw-open-"))
    try:
        folder.chmod(0o755)
        found = Frugalwatch(folder)
        for path in folder.iterdir():
            path.chmod(0o755)
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def open_to_others(*folders: Path) -> list[str]:
    """What has a right for others in its mode, these folders included."""
    found = []
    for folder in folders:
        for parent, names, files in os.walk(folder):
            if os.lstat(parent).st_mode & 0o077:
                found.append(parent)
            found += [
                path
                for name in (*files, *names)
                if os.lstat(path := os.path.join(parent, name)).st_mode & 0o077
            ]
    return found


def read_by_another_user(*folders: str) -> list[str]:
    """What another user, without any capability, could list or open: for `as_nobody`."""
    got: list[str] = []
    waiting = list(folders)
    while waiting:
        path = waiting.pop()
        try:
            entries = list(os.scandir(path))
        except OSError:
            continue
        got.append(path)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
                continue
            for flags in (os.O_RDONLY, os.O_WRONLY):
                try:
                    os.close(os.open(entry.path, flags | os.O_NONBLOCK))
                except OSError:
                    continue
                got.append(entry.path)
    return got


def own_folders(program: Frugalwatch) -> list[Path]:
    places = ("state", "runtime", "cache", "config")
    return [path for name in places if (path := program.folder / name / "frugalwatch").exists()]


def check(program: Frugalwatch) -> list[Path]:
    folders = own_folders(program)
    assert open_to_others(*folders) == []
    if os.getuid() == 0:  # else we are that user ourselves
        assert as_nobody(lambda: read_by_another_user(*map(str, folders))) == []
    return folders


def test_nothing_of_a_run_is_readable_by_others_under_any_umask(program: Frugalwatch) -> None:
    before = os.umask(0)
    try:
        process = program.start(
            *("run", "--interval", "0.1", "--profile", "--capture", "--budget", "0.001J"),
            *("--", sys.executable, "-c", JOB),
        )
    finally:
        os.umask(before)
    with until(
        30, "a ledger"
    ) as again:  # which a look by SQLite would make, with a mode of its own
        while again() and not program.ledger.exists():
            pass
    program.wait_for_state("running")
    folders = check(program)
    assert {path.parent.name for path in folders} >= {"state", "runtime"}
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (state, *_) = [path for path in check(program) if path.parent.name == "state"]
    assert {path.name for path in state.iterdir()} >= {"captures", "profiles", "frugalwatch.db"}


def test_the_jobs_own_files_keep_the_umask_that_it_was_given(program: Frugalwatch) -> None:
    out = program.folder / "out"
    before = os.umask(0o002)
    try:
        assert program("run", "-q", "--", "touch", str(out)).returncode == 0
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o777 == 0o664


def test_a_daemons_files_are_readable_by_nobody_else_under_any_umask() -> None:
    folder = Path(tempfile.mkdtemp(prefix="fw-open-"))
    folder.chmod(0o755)
    before = os.umask(0)
    try:
        with PowercapTree(folder, [Zone("package-0", Constant(50.0))]) as tree:
            kit = DaemonKit(folder, tree)
            try:
                kit.start("--no-socket")
                places = [kit.ledger.parent]
                assert open_to_others(*places) == []
                if os.getuid() == 0:
                    found = as_nobody(lambda: read_by_another_user(str(kit.ledger.parent)))
                    assert found == []
                kit.end()
                assert open_to_others(*places) == []
            finally:
                kit.close()
    finally:
        os.umask(before)
        shutil.rmtree(folder, ignore_errors=True)
