"""Reads a collector that can hang in a process of its own, with a deadline, without ever blocking.

A vendor's driver call may not come back for seconds, or at all, and a thread inside it cannot be
ended. So the call happens in a reader process (`isolated_worker`); here is the event loop's end of
it. A caller's loop, with the descriptor in its poll set:

    worker = IsolatedCollector(lambda: NvidiaCollector(host), "nvidia")
    worker.start()                       # the reader probes and reads at once
    every tick:       take(worker.tend(now_ns)); worker.request()
    when readable:    while (message := worker.receive()) is not None: take(message)
    at the end:       worker.request(); poll up to a second; worker.close(wait_s=0.5)

`fileno()` may change in `tend()` and is -1 while there is no reader.
"""

from __future__ import annotations

import os
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from collectors.base import Collector, Gap, GapCause, Observation, Probe
from collectors.disagreement import Disagreement
from collectors.isolated_continuity import Continuity
from collectors.isolated_wire import Crashed, Found, Looked, Message, take_messages
from collectors.isolated_worker import Worker, start_worker

_NS: Final = 1_000_000_000
_FIRST_RESTART_S: Final = 1.0
_LAST_RESTART_S: Final = 60.0
_CHUNK_BYTES: Final = 65536


class IsolatedCollector:
    """One collector in a reader process: ask, receive, notice that it is late, replace it, close.

    deadline_s: an answer later than this is announced as a gap (which the late answer makes good).
    replace_after_s: a reader that is stuck for this long is given up and one new reader started;
        while the old one has not ended there is no second replacement.
    start_allowance_s: the same for a reader that has not answered yet, since loading a driver
        without persistence mode takes seconds a card.

    After a restart the energy goes on: a collector with `state()` and `resume()` continues from its
    raw counters, for any other the figure continues from where it stood and a gap says what is
    missing. Must be started while the caller has one thread.
    """

    def __init__(
        self,
        factory: Callable[[], Collector],
        name: str,
        *,
        deadline_s: float = 2.0,
        replace_after_s: float = 10.0,
        start_allowance_s: float = 30.0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = name
        self.probe: Probe | None = None
        self.last_error = ""
        self._factory = factory
        self._deadline_ns = int(deadline_s * _NS)
        self._replace_after_ns = int(replace_after_s * _NS)
        self._start_allowance_ns = int(start_allowance_s * _NS)
        self._clock_ns = clock_ns
        self._worker: Worker | None = None
        self._abandoned: list[Worker] = []
        self._inbox: deque[Probe | list[Observation]] = deque()
        self._disagreements: list[Disagreement] = []
        self._announced = False
        self._closed = False
        self._restart_at_ns = 0
        self._restart_wait_s = _FIRST_RESTART_S
        self._state: object = None
        self._continuity = Continuity()

    # -- what survives this process ---------------------------------------------------------------

    def state(self) -> dict[str, tuple[int, ...]] | None:
        """The collector's own state as of its last answer; None if it keeps none."""
        return self._state if isinstance(self._state, dict) else None

    def resume(self, state: dict[str, tuple[int, ...]]) -> None:
        """Have the reader continue from another one's `state()`. Call it before `start()`."""
        self._state = state

    # -- the event loop's interface --------------------------------------------------------------

    def start(self) -> None:
        """Fork the reader; it probes and reads once on its own. Raises OSError if fork fails."""
        if self._worker is None and not self._closed:
            self._worker = start_worker(self._factory, self.name, self._state, self._clock_ns)
            self._announced = False

    def fileno(self) -> int:
        """The descriptor to poll for reading, or -1 while there is no reader."""
        return self._worker.reply_fd if self._worker is not None else -1

    @property
    def pid(self) -> int | None:
        """The reader's process id, or None while there is none."""
        return self._worker.pid if self._worker is not None else None

    def request(self) -> bool:
        """Ask for a look, unless one is outstanding. True if this call asked."""
        worker = self._worker
        if worker is None or worker.asked_ns is not None:
            return False
        return worker.ask(self._clock_ns())

    @property
    def outstanding(self) -> bool:
        """True while an answer is awaited."""
        return self._worker is not None and self._worker.asked_ns is not None

    def overdue(self, now_ns: int) -> bool:
        """True while the outstanding answer is later than the deadline."""
        asked_ns = self._worker.asked_ns if self._worker is not None else None
        return asked_ns is not None and now_ns - asked_ns > self._deadline_ns

    def unanswered(self, now_ns: int) -> list[Gap]:
        """A gap per device if an answer is awaited: for a caller that waits no longer."""
        if not self.outstanding:
            return []
        return self._gaps(now_ns, "timeout", "the driver did not answer before the end")

    def receive(self) -> list[Observation] | Probe | None:
        """The next message, or None when there is none yet. Never blocks; call it until None.

        A `Probe` comes first after each start. A reader that died shows as gaps.
        """
        if not self._inbox:
            self._drain()
        return self._inbox.popleft() if self._inbox else None

    def take_disagreements(self) -> list[Disagreement]:
        """Differences between two ways of measuring one device, found since the last call."""
        found, self._disagreements = self._disagreements, []
        return found

    def tend(self, now_ns: int) -> list[Gap]:
        """Announce a late answer, replace a stuck reader, restart a dead one.

        Call it once a tick. Returns the gaps of a late answer, once per device and lateness.
        """
        self._abandoned = [old for old in self._abandoned if old.reap() is None]
        if self._closed:
            return []
        if self.overdue(now_ns):
            self._drain()  # the answer may lie in the pipe already
        worker = self._worker
        if worker is None:
            if self._restart_at_ns and now_ns >= self._restart_at_ns:
                self._restart(now_ns)
            return []
        gaps: list[Gap] = []
        if self.overdue(now_ns) and not self._announced:
            self._announced = True
            seconds = self._deadline_ns / _NS
            gaps = self._gaps(now_ns, "timeout", f"no answer from the driver within {seconds:g} s")
        allowed_ns = self._replace_after_ns if worker.ready else self._start_allowance_ns
        if worker.asked_ns is not None and now_ns - worker.asked_ns > allowed_ns:
            self._replace(worker, now_ns)
        return gaps

    def close(self, wait_s: float = 0.5) -> None:
        """End the reader, waiting at most `wait_s`. One that is stuck in the driver is left behind.

        It ends by itself once the driver lets it go. It is never killed: that has frozen cards.
        """
        self._closed = True
        worker, self._worker = self._worker, None
        if worker is not None:
            # Hanging up the requests only: the end of the replies then tells that it has ended.
            os.close(worker.request_fd)
            worker.request_fd = -1
            _wait_for_end(worker, wait_s)
            worker.hang_up()
            self._abandoned.append(worker)
        still_there = []
        for old in self._abandoned:
            if old.reap() is None:
                old.nudge()
                still_there.append(old)
        self._abandoned = still_there

    # -- for commands that may wait --------------------------------------------------------------

    def probe_blocking(self, timeout_s: float) -> Probe:
        """What the reader found, waiting up to `timeout_s`, or that nothing came in time."""
        self.start()
        deadline_ns = self._clock_ns() + int(timeout_s * _NS)
        while self.probe is None and self._worker is not None and self._wait(deadline_ns):
            self._drain()
        if self.probe is not None:
            return self.probe
        detail = self.last_error.strip().rsplit("\n", 1)[-1]
        reason = f"its reader failed: {detail}" if detail else "the driver gave no answer in time"
        return Probe(
            self.name, reason=reason, remedy="run the vendor's own tool to see if it hangs"
        )

    def read_blocking(self, timeout_s: float) -> list[Observation]:
        """One look, waiting up to `timeout_s`; gaps with cause "timeout" if it takes longer."""
        self.start()
        self.request()
        deadline_ns = self._clock_ns() + int(timeout_s * _NS)
        while True:
            while (message := self.receive()) is not None:
                if not isinstance(message, Probe):
                    return message
            if self._worker is None:
                return []
            if not self._wait(deadline_ns):
                now_ns = self._clock_ns()
                return [*self._gaps(now_ns, "timeout", f"no answer within {timeout_s:g} s")]

    # -- inside ----------------------------------------------------------------------------------

    def _wait(self, deadline_ns: int) -> bool:
        left_ms = (deadline_ns - self._clock_ns()) / 1e6
        if left_ms <= 0:
            return False
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        return bool(poller.poll(left_ms))

    def _drain(self) -> None:
        worker = self._worker
        if worker is None:
            return
        ended = False
        while True:
            try:
                data = os.read(worker.reply_fd, _CHUNK_BYTES)
            except BlockingIOError:
                break
            if not data:
                ended = True
                break
            worker.buffer += data
        for message in take_messages(worker.buffer):
            self._take(worker, message)
        if ended:
            self._bury(worker)

    def _take(self, worker: Worker, message: Message) -> None:
        if isinstance(message, Found):
            self.probe = message.probe
            self._inbox.append(message.probe)
        elif isinstance(message, Looked):
            worker.asked_ns = None
            worker.ready = True
            self._announced = False
            if self._clock_ns() - worker.started_ns > _LAST_RESTART_S * _NS:
                self._restart_wait_s = _FIRST_RESTART_S
            self._disagreements += message.disagreements
            resumed = message.state is not None
            self._state = message.state
            self._inbox.append(self._continuity.join(message.observations, resumed))
        elif isinstance(message, Crashed):
            self.last_error = message.traceback

    def _bury(self, worker: Worker) -> None:
        """The reader has ended on its own: announce it and plan a restart."""
        now_ns = self._clock_ns()
        worker.hang_up()
        self._worker = None
        self._abandoned.append(worker)  # reaped in tend()
        self._restart_at_ns = now_ns + int(self._restart_wait_s * _NS)
        self._restart_wait_s = min(_LAST_RESTART_S, self._restart_wait_s * 2)
        self._continuity.interrupted()
        gaps = self._gaps(now_ns, "vanished", "its reader process ended")
        if gaps:
            self._inbox.append([*gaps])

    def _replace(self, worker: Worker, now_ns: int) -> None:
        if self._abandoned:
            return  # one process stuck in the driver is enough
        worker.hang_up()
        if worker.reap() is None:
            worker.nudge()
            self._abandoned.append(worker)
        self._worker = None
        self._continuity.interrupted()
        self._restart(now_ns)

    def _restart(self, now_ns: int) -> None:
        try:
            self.start()
        except OSError as error:  # no memory or no process left: try again later
            self.last_error = str(error)
            self._restart_at_ns = now_ns + int(_LAST_RESTART_S * _NS)

    def _gaps(self, now_ns: int, cause: GapCause, detail: str) -> list[Gap]:
        """A recoverable gap per known device: what is really missing is said after the restart."""
        return [
            Gap(device.key, now_ns, since_ns, cause, detail, recoverable=True)
            for device in (self.probe.devices if self.probe is not None else ())
            if (since_ns := self._continuity.last_ns(device.key)) is not None
        ]


def _wait_for_end(worker: Worker, wait_s: float) -> None:
    """Read the replies away until the reader's end closes, and reap it; at most `wait_s`."""
    deadline_s = time.monotonic() + wait_s
    poller = select.poll()
    poller.register(worker.reply_fd, select.POLLIN)
    while (left_s := deadline_s - time.monotonic()) > 0:
        if not poller.poll(left_s * 1e3):
            return
        try:
            if not os.read(worker.reply_fd, _CHUNK_BYTES):
                break
        except BlockingIOError:
            continue
    while worker.reap() is None and time.monotonic() < deadline_s:
        time.sleep(0.001)
