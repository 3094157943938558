"""The supervisor's end of its sampler: fork one, replace one that died, hear its result."""

from __future__ import annotations

import gc
import json
import os
import select
import time
from collections.abc import Callable
from typing import NamedTuple

from frugalwatch.sampler.context import JobStart, Plan
from frugalwatch.sampler.process import become_sampler
from frugalwatch.supervisor.signals import FORWARDED

# A sampler that dies at once every time is given up after this many; one that lived for a while
# (the kernel took memory back, somebody killed it) is replaced without end.
_QUICK_DEATHS = 8
_QUICK_S = 0.5
_BACKOFF_S = (0.0, 0.1, 0.5, 2.0)
_NO_SUPERVISOR = 70  # EX_SOFTWARE


class JobEnd(NamedTuple):
    """How the job ended, as its supervisor saw it."""

    ended_mono_ns: int
    exit_code: int
    exit_signal: int | None
    cpu_us: int
    cpu_method: str  # cgroup, tree, tree-lower-bound
    processes_left: int
    left_names: tuple[str, ...] = ()
    machine_busy_us: int | None = None  # since boot, looked at when the job had ended
    job_own_us: int | None = None  # CPU time of the process that was started, without its children


class SamplerLink:
    """One sampler process at a time, and the two pipes that lead to it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._job: JobStart | None = None
        self._control = -1
        self._result = -1
        self._deaths = 0
        self._quick_deaths = 0
        self._started_at = 0.0
        self._restart_at = 0.0
        self.pid: int | None = None

    def prepare(self, inherited: tuple[int, ...]) -> None:
        """Fork a sampler that loads what it needs while the job is prepared, on another CPU.

        It lets go of the `inherited` descriptors, which are the job's. With one CPU it would hold
        up the job, so there `begin` forks it.
        """
        if len(os.sched_getaffinity(0)) > 1:
            self._fork(inherited)

    def abandon(self) -> None:
        """There will be no job: a sampler that waits for its start ends."""
        if self.pid is not None:
            os.close(self._control)
            os.close(self._result)
            os.waitpid(self.pid, 0)
            self.pid = None

    def begin(self, job: JobStart, inherited: tuple[int, ...]) -> None:
        """The job has started: tell the sampler that waits for it, or fork one."""
        self._job = job
        if self.pid is None:
            self._deaths = self._quick_deaths = 0
            self._fork(inherited)
            return
        data = job.packed()
        try:
            os.write(self._control, len(data).to_bytes(4, "little") + data)
        except OSError:  # it died; the next wait will say so
            return

    def start(self) -> None:
        """Fork a sampler. On failure (no memory, process limit) it is tried again later."""
        self._fork(())

    def _fork(self, inherited: tuple[int, ...]) -> None:
        self._started_at = time.monotonic()
        try:
            control_read, self._control = os.pipe()
        except OSError:
            self._plan_restart()
            return
        try:
            self._result, result_write = os.pipe()
        except OSError:
            self._give_up(control_read, self._control)
            return
        gc.freeze()  # keeps the collector from touching, and so copying, pages that are shared
        try:
            pid = os.fork()
        except OSError:
            self._give_up(control_read, self._control, self._result, result_write)
            return
        if pid == 0:
            try:
                os.close(self._control)
                os.close(self._result)
                become_sampler(
                    self._plan,
                    self._job,
                    control=control_read,
                    result=result_write,
                    replaces=self._deaths,
                    inherited=inherited,
                )
            finally:
                os._exit(
                    _NO_SUPERVISOR
                )  # whatever happened: a second one would start the job again
        os.close(control_read)
        os.close(result_write)
        self.pid = pid

    def died(self) -> None:
        """The sampler was reaped: plan a replacement, with a pause that grows."""
        self._give_up(self._control, self._result)

    def _give_up(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        self._plan_restart()

    def _plan_restart(self) -> None:
        self.pid = None
        self._deaths += 1
        now = time.monotonic()
        self._quick_deaths = self._quick_deaths + 1 if now - self._started_at < _QUICK_S else 1
        pause = _BACKOFF_S[min(self._quick_deaths - 1, len(_BACKOFF_S) - 1)]
        self._restart_at = now + pause

    @property
    def restart_in_s(self) -> float | None:
        """Seconds until a replacement is due; None if none is."""
        if self.pid is not None or self._quick_deaths > _QUICK_DEATHS:
            return None
        return max(0.0, self._restart_at - time.monotonic())

    @property
    def given_up(self) -> bool:
        """Whether samplers died so quickly that no further one is started while the job runs."""
        return self.pid is None and self._quick_deaths > _QUICK_DEATHS

    def drain_signals(self) -> None:
        """Ask the sampler to forget the signals that it has pending."""
        self._send({"forget": sorted(FORWARDED)})

    def finish(
        self, end: JobEnd, *, patience_s: float, interrupted: Callable[[], bool]
    ) -> dict[str, object] | None:
        """Tell the sampler that the job is over and wait for its result.

        Returns what the sampler answered, or None if it did not answer in time, died twice, or
        the person at the terminal did not want to wait.
        """
        deadline = time.monotonic() + patience_s
        for _ in range(2):
            if self.pid is None:
                self.start()
            if self.pid is None:
                continue
            self._send(
                {
                    "end": {
                        "ended_mono_ns": end.ended_mono_ns,
                        "exit_code": end.exit_code,
                        "exit_signal": end.exit_signal,
                        "cpu_us": end.cpu_us,
                        "cpu_method": end.cpu_method,
                        "processes_left": end.processes_left,
                        "left_names": list(end.left_names),
                        "machine_busy_us": end.machine_busy_us,
                        "job_own_us": end.job_own_us,
                    }
                }
            )
            data = self._receive(deadline, interrupted)
            if data:
                answer: dict[str, object] = json.loads(data)
                return answer
            if data is None:  # too late, or not wanted
                return None
            os.waitpid(self.pid, 0)
            self.died()
        return None

    def _receive(self, deadline: float, interrupted: Callable[[], bool]) -> bytes | None:
        """One line of the sampler's; empty if it died first, None if it took too long."""
        data = b""
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or interrupted():
                return None
            ready, _, _ = select.select([self._result], [], [], min(left, 0.1))
            if not ready:
                continue
            chunk = os.read(self._result, 1 << 16)
            if not chunk:
                return b""
            data += chunk
            if data.endswith(b"\n"):  # whole; closing the ledger needs nobody's patience
                return data

    def _send(self, message: dict[str, object]) -> None:
        if self.pid is None:
            return
        try:
            os.write(self._control, json.dumps(message).encode() + b"\n")
        except OSError:  # it died; the next wait will say so
            return


def see_off(pid: int | None, *, patience_s: float = 0.2) -> None:
    """Wait a moment for a sampler that has answered and is closing the ledger.

    Its CPU time then counts as ours in whatever measures us (`time`, a batch system). One that
    takes longer ends by itself.
    """
    if pid is None:
        return
    try:
        descriptor = os.pidfd_open(pid)
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll(patience_s * 1e3)
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        return
