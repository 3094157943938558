"""The demo's player in a process of its own: it ends, and takes its folder along, when we do.

It is forked before the screen is loaded. Whatever becomes of us, the pipe that we hold then closes.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from frugalwatch.demo.player import RunWriter, Stage, play_history
from frugalwatch.demo.recording import Recording, read_recording
from frugalwatch.errors import FrugalWatchError

_S = 1_000_000_000
# Where the run that plays stands when the demo begins, and the pause before it begins again.
BEGINS_AT_S = 570
_PAUSE_S = 8


@contextmanager
def demo_ledger() -> Iterator[str]:
    """The path of a ledger in which a run goes on as long as the context lasts.

    Raises FrugalWatchError if there is no place for it.
    """
    recording = read_recording()
    try:
        folder = tempfile.mkdtemp(prefix="frugalwatch-demo-")
    except OSError as error:
        raise FrugalWatchError(
            "no place for the demo's ledger", why=str(error), hint="TMPDIR=/path frugalwatch demo"
        ) from error
    ledger = os.path.join(folder, "demo.db")
    hear_end, hold = os.pipe()
    hear_ready, say_ready = os.pipe()
    player = os.fork()
    if player == 0:
        os.close(hold)
        os.close(hear_ready)
        _play(recording, folder, ledger, hear_end, say_ready)
    os.close(hear_end)
    os.close(say_ready)
    try:
        ready = os.read(hear_ready, 1)  # empty if the player died
        os.close(hear_ready)
        if not ready:
            raise FrugalWatchError(
                "the demo could not be played",
                why=f"its ledger in {folder} could not be written",
                hint="TMPDIR=/path frugalwatch demo",
            )
        yield ledger
    finally:
        os.close(hold)
        os.waitpid(player, 0)


def _play(
    recording: Recording, folder: str, ledger: str, hear_end: int, say_ready: int
) -> NoReturn:
    """Play until the other end of `hear_end` closes. Never returns into our caller's code."""
    try:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the pipe tells when it is over
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        now_utc_ns = time.time_ns()
        stage = Stage(ledger, recording, now_utc_ns)
        play_history(stage)
        begun_utc_ns = now_utc_ns - BEGINS_AT_S * _S
        writer = RunWriter(stage, recording.playing, begun_utc_ns, "100")
        writer.play(BEGINS_AT_S)
        os.write(say_ready, b"+")
        os.close(say_ready)
        _go_on(stage, writer, hear_end)
    finally:  # the edge of a process that nobody hears
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def _go_on(stage: Stage, writer: RunWriter, hear_end: int) -> None:
    """A second of the run each second; when it is over, after a pause, it begins again."""
    begun = time.monotonic() - BEGINS_AT_S
    number = 100
    while not _closed(hear_end, 1 - time.monotonic() % 1):
        if not writer.is_over():
            writer.play(time.monotonic() - begun)
            if writer.is_over():
                writer.end()
        elif time.monotonic() - begun > stage.recording.playing.lasts_s + _PAUSE_S:
            number += 1
            begun = time.monotonic()
            writer = RunWriter(stage, stage.recording.playing, time.time_ns(), str(number))


def _closed(descriptor: int, seconds: float) -> bool:
    """Whether the other end of a pipe closed while we waited for so long."""
    return bool(select.select([descriptor], [], [], seconds)[0])
