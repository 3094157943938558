"""Sending until told to stop, and sending once: what is done about a server that takes nothing."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from frugalwatch.ledger.connection import trouble
from frugalwatch.ledger.quarantine import identity
from frugalwatch.remote.backoff import Backoff
from frugalwatch.remote.cursor import Loss
from frugalwatch.remote.deliver import UnavailableError
from frugalwatch.remote.sender import Passed, Sender

# A wrong address or token is for a person to mend: no need to ask every second.
_OURS_S = 60.0
_SAY_AGAIN_S = 3600.0
_LEDGER_BUSY_S = 5.0
_READ_BACK_S = 2.5

Say = Callable[[str], None]


class Sum(NamedTuple):
    """What some passes did together."""

    points: int
    requests: int
    bytes_sent: int
    lost: tuple[Loss, ...]


def send_once(
    sender: Sender, *, within_s: float, wait: Callable[[float], object] = time.sleep
) -> Sum:
    """Send all that there is, and see that totals of runs arrived.

    A server that takes nothing is tried again for `within_s`. Raises UnavailableError and
    sqlite3.Error.
    """
    deadline = time.monotonic() + within_s
    backoff = Backoff()
    done = Sum(0, 0, 0, ())
    asked = False
    while True:
        try:
            passed = sender.send(everything=True)
        except UnavailableError as error:
            pause = backoff.failed(error.retry_after_s)
            if error.ours or time.monotonic() + pause > deadline:
                raise
            wait(pause)
            continue
        backoff.worked()
        done = _plus(done, passed)
        if passed.more:
            continue
        if asked or not sender.waiting_totals():
            return done
        asked = True  # once: what is not there yet is for the next time
        wait(_READ_BACK_S)


class Follower:
    """Sends as the ledger grows, until `stop()`. Says what is wrong once, and that it is over."""

    def __init__(
        self,
        sender: Sender,
        *,
        every_s: float,
        say: Say,
        ledger: str,
        backoff: Backoff | None = None,
    ) -> None:
        self._sender = sender
        self._ledger = ledger
        self._file = identity(ledger)
        self._every_s = every_s
        self._say = say
        self._stopped = threading.Event()
        self._backoff = backoff or Backoff()
        self._trouble_since: float | None = None
        self._said_at = -_SAY_AGAIN_S

    def stop(self) -> None:
        """Let `follow` return after the request that it is in."""
        self._stopped.set()

    def stop_on_signals(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def follow(self) -> None:
        """Send until stopped, or until another file takes the ledger's place."""
        while not self._stopped.is_set():
            self._stopped.wait(self._pass())
            if identity(self._ledger) != self._file:
                self._say(f"{self._ledger} is another file now")
                return

    def _pass(self) -> float:
        """Seconds until the next pass."""
        try:
            passed = self._sender.send()
        except UnavailableError as error:
            pause = self._backoff.failed(error.retry_after_s)
            self._in_trouble(str(error))
            return max(pause, _OURS_S) if error.ours else pause
        except sqlite3.Error as error:
            self._in_trouble(f"the ledger: {error}")
            return _LEDGER_BUSY_S if trouble(error) == "locked" else _OURS_S
        self._backoff.worked()
        self._out_of_trouble()
        for loss in passed.lost:
            self._say(said_of(loss))
        return 0.0 if passed.more else min(self._every_s, 15.0)

    def _in_trouble(self, words: str) -> None:
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
        if now - self._said_at >= _SAY_AGAIN_S:
            self._said_at = now
            self._say(f"nothing is sent now: {words}; the ledger keeps all of it, trying again")

    def _out_of_trouble(self) -> None:
        if self._trouble_since is not None:
            lasted = time.monotonic() - self._trouble_since
            self._say(f"sending again after {lasted:.0f} s")
            self._trouble_since, self._said_at = None, -_SAY_AGAIN_S


def stop_at_end_of_input(follower: Follower) -> None:
    """Stop when standard input ends: when the process that started this one does."""

    def watch() -> None:
        while True:
            try:
                if not os.read(0, 64):
                    break
            except BlockingIOError:
                select.select([0], [], [])
            except OSError:
                break
        follower.stop()

    threading.Thread(target=watch, daemon=True).start()


def said_of(loss: Loss) -> str:
    """The sentence about detail that the server would not take."""
    begin, end = (time.strftime("%F %T", time.gmtime(ms / 1e3)) for ms in loss[:2])
    values = f"{loss.points} value{'s' * (loss.points != 1)}"
    return (
        f"detail was lost on the server: {values} from {begin} to {end} UTC were refused"
        f" ({loss.cause}); their energy is in the newest total"
    )


def _plus(done: Sum, passed: Passed) -> Sum:
    return Sum(
        done.points + passed.points,
        done.requests + passed.requests,
        done.bytes_sent + passed.bytes_sent,
        (*done.lost, *passed.lost),
    )
