"""One replay: captured, measured, ended when it hangs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from advisor.replay import Isolation, Replay, Replayer
from advisor.techniques.base import AS_WRITTEN, Change
from advisor.workload import Workload
from tests.advisor.test_sandbox import needs_namespaces

HERE = Isolation(in_place=True, network=True)


def replay(
    folder: Path,
    *argv: str,
    isolation: Isolation = HERE,
    change: Change = AS_WRITTEN,
    limit_s: float | None = None,
    environment: dict[str, str] | None = None,
) -> Replay:
    workload = Workload(argv, str(folder), {**os.environ, **(environment or {})})
    private = folder / "private"
    private.mkdir(exist_ok=True)
    return Replayer(workload, isolation, str(private)).replay(change, limit_s=limit_s)


def test_output_and_status_come_through_and_nothing_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = replay(tmp_path, "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.state, done.exit_code) == ("failed", 5)
    assert Path(done.output).read_text() == "out\n"
    assert done.tail() == "err"
    assert capfd.readouterr() == ("", "")


def test_cpu_and_wall_seconds_are_the_commands_own(tmp_path: Path) -> None:
    code = "import time as t\nend = t.process_time() + 0.4\nwhile t.process_time() < end: pass"
    code += "\nt.sleep(0.3)"
    busy = [replay(tmp_path, sys.executable, "-S", "-c", code) for _ in range(3)]
    idle = [replay(tmp_path, "sleep", "0.2") for _ in range(3)]
    # A busy machine makes the same work dearer: the least of three is the work itself. The
    # launcher, an interpreter of its own, is taken off.
    assert min(done.cpu_s for done in busy if done.cpu_s) == pytest.approx(0.42, abs=0.08)
    assert min(done.cpu_s for done in idle if done.cpu_s is not None) < 0.03
    assert all(done.wall_s is not None and done.wall_s >= 0.69 for done in busy)


def test_a_replay_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    began = time.monotonic()
    done = replay(tmp_path, "sh", "-c", "trap '' TERM; sleep 50 & sleep 50", limit_s=1)
    assert done.state == "timeout"
    assert time.monotonic() - began < 15


def test_the_change_is_seen_by_the_command_and_live_grid_as_the_user_set_it(tmp_path: Path) -> None:
    words = ("sh", "-c", 'echo "$SPEED ${FRUGALWATCH_LIVE_GRID-unset}"')
    changed = replay(tmp_path, *words, change=Change({"SPEED": "2"}))
    assert Path(changed.output).read_text() == "2 unset\n"
    kept = replay(tmp_path, *words, environment={"FRUGALWATCH_LIVE_GRID": "uk-carbon-intensity"})
    assert Path(kept.output).read_text() == " uk-carbon-intensity\n"


@needs_namespaces
def test_replays_do_not_see_what_earlier_ones_wrote(tmp_path: Path) -> None:
    words = ("sh", "-c", "test ! -e marker && touch marker")
    for _ in range(2):
        assert replay(tmp_path, *words, isolation=Isolation()).ok
    assert not (tmp_path / "marker").exists()


def test_a_projects_own_advisor_folder_is_left_alone(tmp_path: Path) -> None:
    for name in ("advisor", "collectors"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"print('the user has {name}')")
    code = "import advisor, collectors"
    paths = {"PYTHONPATH": str(tmp_path)}
    done = replay(tmp_path, sys.executable, "-c", code, environment=paths)
    assert done.ok, done.tail()
    assert Path(done.output).read_text() == "the user has advisor\nthe user has collectors\n"
