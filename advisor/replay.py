"""One replay: the command, with a change, isolated, captured and measured by `frugalwatch run`."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from advisor import marks, sandbox
from advisor.footprint import Latency, MemoryWatch, latency_in
from advisor.inside import Inside, read_inside
from advisor.left_behind import digest, launch_s, notes_of, number
from advisor.marginal import Marginal, marginal
from advisor.outputs import Output, read_outputs
from advisor.probing import Watcher, children
from advisor.stopping import Stop, stopped_note
from advisor.switches import CACHE_VARIABLE, not_applied, wants_cache
from advisor.techniques.base import AS_WRITTEN, Change
from advisor.work_kind import WorkKind, kind_of_work
from advisor.workload import Workload
from frugalwatch.errors import FrugalWatchError
from frugalwatch.json_files import read_json

State: TypeAlias = Literal["ok", "failed", "timeout", "unmeasured", "not applied"]

_SANDBOX = sandbox.__file__
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PDEATHSIG = 1
_GRACE_S = 3.0
# A replay asks no service for the grid's carbon; the command itself sees the user's own value.
_LIVE_GRID = "FRUGALWATCH_LIVE_GRID"
_TAIL_BYTES = 2000
# Seconds between two looks: often where units are counted, whose stretch is found among the looks.
_OFTEN, _SELDOM = "0.1", "1"


class CannotIsolateError(FrugalWatchError):
    """Replays would touch the user's files or the network, so there are none."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Isolation:
    """What replays may reach. The defaults are nothing; the rest is the user's explicit choice."""

    in_place: bool = False
    network: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """What one replay used and left. CPU and wall seconds are the command's alone.

    `energy_j` is what the counters of the machine gained meanwhile, None without counters.
    `output` names the file with its stdout, which lives as long as the replayer's folder.
    `marginal` is the cost of one unit of its work, where units were counted. In the state "not
    applied" `why` says why a switch of the change did not come to act. `outputs` are what its
    modules computed, where that was asked for. `latency` is how long its requests took, and
    `peak_memory_bytes` what all its processes had resident together; None: nobody could look.
    """

    state: State
    exit_code: int | None
    started_utc_ns: int
    wall_s: float | None
    cpu_s: float | None
    energy_j: float | None
    output: str
    output_sha256: str
    errors: str
    marginal: Marginal | None = None
    why: str = ""
    outputs: tuple[Output, ...] = ()
    latency: Latency | None = None
    peak_memory_bytes: int | None = None

    @property
    def ok(self) -> bool:
        return self.state == "ok"

    def tail(self) -> str:
        """The end of what it wrote to stderr, or else to stdout, for a person."""
        for path in (self.errors, self.output):
            with open(path, "rb") as file:
                file.seek(max(0, os.path.getsize(path) - _TAIL_BYTES))
                text = file.read().decode(errors="replace").strip()
            if text:
                return text
        return ""

    def text(self) -> str:
        """Everything it printed, stdout first."""
        parts = []
        for path in (self.output, self.errors):
            with open(path, encoding="utf-8", errors="replace") as file:
                parts.append(file.read())
        return "\n".join(parts)


class Replayer:
    """Replays one workload, one at a time. `folder` is a private one that the caller removes.

    Without `hook` nothing is seen or switched inside the program's processes. With it every replay
    of a program that uses torch counts its calls, also those as written, so that all are alike.
    """

    def __init__(
        self,
        workload: Workload,
        isolation: Isolation,
        folder: str,
        *,
        hook: bool = False,
        stop: Stop | None = None,
    ) -> None:
        self._workload = workload
        self._isolation = isolation
        self._folder = folder
        self._hook = hook
        self._stop = stop
        self._ledger = os.path.join(folder, "trials.db")
        # What the hook writes, and a compiler keeps, outlives a replay; nothing else does.
        self._open_folder = os.path.join(os.path.realpath(folder), "open")
        os.makedirs(self._open_folder, exist_ok=True)
        self._count = 0
        self._peak_memory_bytes: int | None = None  # of the last replay
        self.threads_peak: int | None = None
        self.libraries: frozenset[str] | None = None
        self.inside: Inside | None = None
        self.work_kind: WorkKind = "unknown"
        # What a replay leaves running becomes our child, and ends with it.
        self._libc = ctypes.CDLL(None)
        self._libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    @property
    def workload(self) -> Workload:
        """What is replayed."""
        return self._workload

    def replay(
        self,
        change: Change = AS_WRITTEN,
        *,
        limit_s: float | None = None,
        watch: bool = False,
        look: bool = False,
        stop: Stop | None = None,
        ask: Mapping[str, object] = MappingProxyType({}),
        open_also: Sequence[str] = (),
        meanwhile: Callable[[], None] | None = None,
    ) -> Replay:
        """Run the command once and wait for it; longer than `limit_s` and it is ended.

        With `watch` the peak of threads and the libraries of its processes are looked up meanwhile,
        and how it uses torch; with `look` what its modules compute is kept. Both cost it something.
        `stop` ends it early. `ask` is asked of the hook beside all that; what is written in the
        folders `open_also` stays, and `meanwhile` is called every second. Raises
        CannotIsolateError, and KeyboardInterrupt after the replay was ended.
        """
        self._count += 1
        base = os.path.join(self._folder, f"trial-{self._count}")
        seen = os.path.join(self._open_folder, f"seen-{self._count}")
        os.makedirs(seen, exist_ok=True)
        stop = stop or self._stop
        hook = self._asked_of_hook(change, stop, seen if watch or look else None)
        if self._hook:
            hook.update(ask)
        started_utc_ns = time.time_ns()
        status = self._run(
            change, base, limit_s, watch, hook, open_also=open_also, meanwhile=meanwhile
        )
        if watch and self._hook:
            run = read_json(f"{base}.json")
            self.inside, self.work_kind = read_inside(seen, run), kind_of_work(run)
        result = self._result(change, stop, base, started_utc_ns, status)
        return replace(result, outputs=read_outputs(seen)) if look and self._hook else result

    def new_folder(self, name: str) -> str:
        """An empty folder in which what the program's hook writes outlives the replay."""
        return tempfile.mkdtemp(prefix=f"{name}-", dir=self._open_folder)

    def _asked_of_hook(
        self, change: Change, stop: Stop | None, look_folder: str | None
    ) -> dict[str, object]:
        """What the hook is to do in this replay; nothing at all in a program without torch."""
        asked: dict[str, object] = {}
        if not self._hook:
            return asked
        if look_folder is not None:
            asked["look"] = {"folder": look_folder}
        if (at := marks.asked(self.inside)) is not None:
            asked["marks"] = at  # before the stop, which ends the process
        if stop is not None:
            asked["stop"] = {"after": stop.after, "unit": stop.unit}
        if change.switches:
            asked["switches"] = dict(change.switches)
        if asked or self.inside is not None:
            asked["count"] = ["calls"]
        return asked

    def _run(
        self,
        change: Change,
        base: str,
        limit_s: float | None,
        watch: bool,
        hook: dict[str, object],
        *,
        open_also: Sequence[str],
        meanwhile: Callable[[], None] | None,
    ) -> int | None:
        """The exit status, None if it took too long."""
        workload = self._workload
        before = set(children(os.getpid()))
        with (
            open(workload.stdin_path, "rb") as source,
            open(f"{base}.out", "wb") as output,
            open(f"{base}.err", "wb") as errors,
        ):
            process = subprocess.Popen(
                self._command(change, base, hook, open_also),
                cwd=workload.cwd,
                env={**workload.environment, _LIVE_GRID: "off"},
                stdin=source,
                stdout=output,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for us: we end the replay and report
                preexec_fn=self._end_with_us,  # noqa: PLW1509 - one system call, of no lock
            )
        ours = frozenset({_SANDBOX, "-m\0frugalwatch"})
        memory = MemoryWatch(process.pid, ours)
        memory.start()
        watcher = Watcher(process.pid, ours) if watch else None
        if watcher is not None:
            watcher.start()
        try:
            return _wait(process, limit_s, meanwhile)
        except subprocess.TimeoutExpired:
            return None
        finally:
            memory.stop()
            self._peak_memory_bytes = memory.peak_bytes
            if watcher is not None:
                watcher.stop()
                self.threads_peak = watcher.threads_peak
                libraries = watcher.libraries
                self.libraries = None if libraries is None else frozenset(libraries)
            _end(process, before)

    def _end_with_us(self) -> None:
        """In the new process: be asked to end should we be killed, when nobody reads the result."""
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    def _command(
        self, change: Change, base: str, hook: dict[str, object], open_also: Sequence[str]
    ) -> list[str]:
        isolation = self._isolation
        own = self._workload.environment.get(_LIVE_GRID)
        change = Change({_LIVE_GRID: own} if own else {}, () if own else (_LIVE_GRID,)).with_(
            change
        )
        if wants_cache(change) and CACHE_VARIABLE not in self._workload.environment:
            cache = os.path.join(self._open_folder, "compiled")
            change = change.with_(Change({CACHE_VARIABLE: cache}))
        order = {
            "set": dict(change.set),
            "unset": list(change.unset),
            "open_folders": [self._open_folder, *open_also],
            "report": f"{base}.launch",
            "cover": not isolation.in_place,
            "network": isolation.network,
        }
        # -P and -I keep the user's folders out of these two interpreters; the command's own
        # environment is not touched.
        asked = ["--hook", json.dumps(hook)] if hook else ["--no-hook"]
        interval = _OFTEN if hook else _SELDOM
        return [
            *(sys.executable, "-P", "-m", "frugalwatch", "run", *asked, "--summary", "none"),
            *("--quiet", "--interval", interval, "--json", f"{base}.json"),
            *("--budget", "none", "--alert", "none"),  # the user's are about runs, not replays
            *("--ledger", self._ledger, "--"),
            *(sys.executable, "-I", "-S", "-B", _SANDBOX, json.dumps(order)),
            *self._workload.argv,
        ]

    def _result(
        self,
        change: Change,
        stop: Stop | None,
        base: str,
        started_utc_ns: int,
        status: int | None,
    ) -> Replay:
        launch = read_json(f"{base}.launch")
        if "error" in launch:
            raise CannotIsolateError(
                "this command cannot be replayed without touching your files",
                why=str(launch["error"]),
                hint="if it does no harm when run many times: --replay-in-place --allow-network",
            )
        run = read_json(f"{base}.json")
        cpu_s, wall_s = number(run.get("cpu_s")), number(run.get("wall_s"))
        if cpu_s is not None and wall_s is not None:
            cpu_s = max(0.0, cpu_s - (number(launch.get("cpu_s")) or 0.0))
            wall_s = max(0.0, wall_s - launch_s(self._ledger, run, launch))
        notes = notes_of(run)
        state: State = "ok"
        why = ""
        if status is None:
            state = "timeout"
        elif status != 0 and not stopped_note(notes, stop):
            state = "failed"
        elif why := not_applied(change.switches, notes):
            state = "not applied"
        elif cpu_s is None or wall_s is None:
            state = "unmeasured"
        return Replay(
            state=state,
            exit_code=status,
            started_utc_ns=started_utc_ns,
            wall_s=wall_s,
            cpu_s=cpu_s,
            energy_j=number(run.get("energy_j")),
            output=f"{base}.out",
            output_sha256=digest(f"{base}.out"),
            errors=f"{base}.err",
            marginal=self._marginal(run, notes),
            why=why,
            latency=self._latency(run),
            peak_memory_bytes=self._peak_memory_bytes,
        )

    def _latency(self, run: dict[str, object]) -> Latency | None:
        # A GPU's work goes on after a call has returned, so its durations say nothing.
        inside = self.inside
        return None if inside is None or inside.on_gpu else latency_in(run, inside.unit)

    def _marginal(self, run: dict[str, object], notes: Sequence[str]) -> Marginal | None:
        unit = None if self.inside is None else self.inside.unit
        if unit is None:
            return None
        looked = marginal(self._ledger, str(run.get("run_id")), unit)
        marked = marks.between(notes, unit)
        if marked is None:
            return looked
        return Marginal(
            unit=unit,
            units=marked.units,
            cpu_s=marked.cpu_ns / 1e9 / marked.units,
            wall_s=(marked.end_ns - marked.begin_ns) / 1e9 / marked.units,
            energy_j=None if looked is None else looked.energy_j,
        )


def _wait(
    process: subprocess.Popen[bytes], limit_s: float | None, meanwhile: Callable[[], None] | None
) -> int:
    """Its exit status. Raises subprocess.TimeoutExpired after `limit_s`."""
    if meanwhile is None:
        return process.wait(limit_s)
    ends_s = None if limit_s is None else time.monotonic() + limit_s
    while True:
        left_s = 1.0 if ends_s is None else min(1.0, ends_s - time.monotonic())
        try:
            return process.wait(max(0.0, left_s))
        except subprocess.TimeoutExpired:
            if ends_s is not None and time.monotonic() >= ends_s:
                raise
        meanwhile()


def _end(process: subprocess.Popen[bytes], before: set[int]) -> None:
    """End a replay's whole session if it still runs, and what it left behind.

    `before` are the children that we had before: what else is our child now was handed down to us
    when its parent died.
    """
    if process.poll() is None:
        for number, patience_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, None)):
            try:
                os.killpg(process.pid, number)
                process.wait(patience_s)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
    for pid in set(children(os.getpid())) - before:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue
