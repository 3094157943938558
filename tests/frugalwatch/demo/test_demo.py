"""The demo: scripted data, labelled everywhere, in a ledger that nobody finds afterwards."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot

from frugalwatch.commands.demo import LABEL
from frugalwatch.demo.player import SETTINGS, RunWriter, Stage, play_history
from frugalwatch.demo.recording import SOURCE, read_recording
from frugalwatch.screen.app import Screen
from frugalwatch.screen.reading import LedgerWatch
from frugalwatch.screen.views import VIEWS
from tests.frugalwatch.e2e.kit import REPOSITORY
from tests.frugalwatch.screen.kit import drive, press, settled, shown

NOW_UTC_NS = 1_772_461_800 * 10**9


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demo's ledger as it is when a person opens it."""
    path = str(tmp_path_factory.mktemp("demo") / "demo.db")
    stage = Stage(path, read_recording(), NOW_UTC_NS)
    play_history(stage)
    begun = NOW_UTC_NS - 570 * 10**9
    RunWriter(stage, stage.recording.playing, begun, "100").play(570)
    return path


def test_what_is_played_is_what_was_recorded(ledger: str) -> None:
    recording = read_recording()
    conn = sqlite3.connect(ledger)
    for number, run in enumerate(recording.history, start=1):
        told = conn.execute(
            "SELECT v.key, d.energy_uj / 1e6 FROM run_device d JOIN device v ON v.id = d.device_id"
            " WHERE d.run_id = ?", (number,),
        ).fetchall()  # fmt: skip
        for key, energy_j in told:
            powers = run.power_w[key.removeprefix("demo:")]
            recorded_j = sum(watts or 0.0 for watts in powers) * run.interval_s
            assert energy_j == pytest.approx(recorded_j, rel=1e-6), (number, key)
    states = conn.execute("SELECT state, exit_code FROM run ORDER BY id").fetchall()
    assert states[4] == ("done", 1)
    assert states[9] == ("killed", 137)
    assert states[-1] == ("running", None)
    conn.close()


def test_every_view_carries_the_label_and_every_source_says_scripted(ledger: str) -> None:
    watch = LedgerWatch(ledger, SETTINGS, utc_ns=lambda: NOW_UTC_NS)
    look = watch.look()
    assert look.run is not None
    assert {device.source for device in look.run.devices} == {SOURCE}
    assert look.run.projection is not None
    watch.close()

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        for key in [*(str(place) for place, _ in enumerate(VIEWS, start=1)), "1", "enter", "q"]:
            lines = await press(app, pilot, key)
            await settled(app, pilot)
            assert LABEL in shown(app)[0], (key, lines)

    drive(watch, (80, 24), use, label=LABEL)


def start(*arguments: str, folder: Path, **options: object) -> subprocess.Popen[str]:
    environment = os.environ | {"TMPDIR": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    return subprocess.Popen(
        [sys.executable, "-m", "frugalwatch", "demo", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_one_line_is_labelled_and_nothing_stays_behind(tmp_path: Path) -> None:
    demo = start("--once", folder=tmp_path)
    said, complaint = demo.communicate(timeout=60)
    assert (demo.returncode, complaint) == (0, "")
    assert said.startswith(f"{LABEL}: ")
    assert "epoch 4 of 8" in said
    assert list(tmp_path.iterdir()) == []  # no ledger, neither the user's nor the demo's


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_demo_that_is_killed_takes_its_ledger_along(
    tmp_path: Path, number: signal.Signals
) -> None:
    demo = start("--plain", folder=tmp_path)
    assert demo.stdout is not None
    first = demo.stdout.readline()
    assert first.startswith(LABEL)
    assert len(list(tmp_path.iterdir())) == 1
    demo.send_signal(number)
    demo.wait(timeout=30)
    deadline = time.monotonic() + 30
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []
    demo.communicate()


def test_no_place_for_a_ledger_is_said_in_words(tmp_path: Path) -> None:
    demo = start("--once", folder=tmp_path / "missing")
    said, complaint = demo.communicate(timeout=60)
    # Python's own choice of a folder falls back to /tmp; where that is so, the demo just runs.
    assert (demo.returncode == 0 and said.startswith(LABEL)) or "hint:" in complaint
    assert "Traceback" not in complaint
