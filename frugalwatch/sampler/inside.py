"""Turns what the hook inside the job tells into rows of the journal, at most so many of them.

Everything told is cumulative, so of several tellings between two looks the last one holds all.
The longer a run, the further its rows lie apart: a day has ten times the rows of a minute.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from frugalwatch.ledger.inside import InsideRows
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.queue import clean
from frugalwatch.sampler.inside_messages import (
    CountSaid,
    HelloSaid,
    InsideMessage,
    NoteSaid,
    ProblemSaid,
    RankSaid,
    SpentSaid,
    TimesSaid,
)
from frugalwatch.sampler.messages import StepsSaid

# Rows of one series lie at least this part of the run's time so far apart: 0.9 s after an hour.
_SPACING = 4096
# A histogram is a few kilobytes, and its last state is the only one that counts.
_TIMES_SPACING_NS = 10_000_000_000
_TIMES_SPACING = 256
# Different problems or notes of one run that are worth a person's time.
_MOST_REMARKS = 50
_MOST_SERIES = 20_000

_Key: TypeAlias = tuple[str, int, str]  # kind, pid, unit
_Cumulative: TypeAlias = CountSaid | SpentSaid | TimesSaid | StepsSaid


class InsideRecorder:
    """Keeps the last telling of each series and writes it when it is due."""

    def __init__(self, journal: Journal, mask: Sequence[str] = ()) -> None:
        self._journal = journal
        self._mask = mask
        self._rows: InsideRows = journal.recording.inside
        self._began_ns = journal.recording.start.started_mono_ns
        self._waiting: dict[_Key, _Cumulative] = {}
        self._written_ns: dict[_Key, int] = {}
        self._spent: dict[int, tuple[tuple[str, int], ...]] = {}  # as last written
        self._times: dict[tuple[int, str], dict[int, int]] = {}
        self._remarks: set[tuple[str, str]] = set()
        self._unlisted = 0
        self.heard = False

    def take(self, message: InsideMessage) -> None:
        """One message; counts, times and activities wait for `look`."""
        pid, t = message.pid, message.t_mono_ns
        if isinstance(message, CountSaid):
            self._waiting["count", pid, message.unit] = message
        elif isinstance(message, SpentSaid):
            if self._spent.get(pid) != message.spent:
                self._waiting["spent", pid, ""] = message
        elif isinstance(message, TimesSaid):
            merged = self._times.setdefault((pid, message.unit), {})
            merged.update(message.buckets)
            self._waiting["times", pid, message.unit] = message
        elif isinstance(message, HelloSaid):
            self._hello(message)
        elif isinstance(message, RankSaid):
            self._rows.rank((pid, t, message.rank, message.local_rank, message.world_size))
        elif isinstance(message, ProblemSaid):
            self._remark("hook_problem", message.where, message.text, t)
        elif isinstance(message, NoteSaid):
            self._remark("hook_note", "", message.text, t)

    def steps(self, message: StepsSaid) -> None:
        """Steps that the job itself reported, which wait for `look` as well."""
        self._waiting["steps", message.pid, ""] = message

    def settle_steps(self, pid: int) -> None:
        """A phase of `pid` begins or ends: the steps until then are its own."""
        key = ("steps", pid, "")
        if key in self._waiting:
            self._write(key)

    def look(self, now_ns: int) -> None:
        """Write what is due."""
        elapsed_ns = max(0, now_ns - self._began_ns)
        usual_ns = elapsed_ns // _SPACING
        times_ns = max(_TIMES_SPACING_NS, elapsed_ns // _TIMES_SPACING)
        for key, message in list(self._waiting.items()):
            before_ns = self._written_ns.get(key)
            spacing_ns = times_ns if key[0] == "times" else usual_ns
            if before_ns is None or message.t_mono_ns - before_ns >= spacing_ns:
                self._write(key)

        if len(self._written_ns) > _MOST_SERIES:  # of thousands of processes, most are long over
            for key in list(self._written_ns):
                self._forget(key)

    def close(self, now_ns: int) -> None:
        """The job is over: write everything."""
        for key in list(self._waiting):
            self._write(key)
        if self._unlisted:
            self._journal.event(
                "processes_not_listed",
                t_mono_ns=now_ns,
                detail=f"{self._unlisted} further Python processes told of their work",
            )

    def _hello(self, message: HelloSaid) -> None:
        """A new process: what its pid told before was another one's."""
        self.heard = True
        for key in [key for key in self._waiting if key[1] == message.pid]:
            self._write(key)
        for key in [key for key in self._written_ns if key[1] == message.pid]:
            self._forget(key)
        row = (
            message.pid,
            message.t_mono_ns,
            clean(message.python),
            clean(self._masked(message.program)),
            message.rank,
            message.local_rank,
            message.world_size,
            json.dumps(message.features),
        )
        if not self._rows.process(row):
            self._unlisted += 1

    def _masked(self, program: str) -> str:
        if not self._mask:
            return program
        from frugalwatch.privacy import mask_matches

        return mask_matches(["", program], self._mask)[1]

    def _forget(self, key: _Key) -> None:
        del self._written_ns[key]
        if key[0] == "times":
            self._times.pop(key[1:], None)
        elif key[0] == "spent":
            self._spent.pop(key[1], None)

    def _remark(self, kind: str, where: str, text: str, t_mono_ns: int) -> None:
        if len(self._remarks) < _MOST_REMARKS and (where, text) not in self._remarks:
            self._remarks.add((where, text))
            self._journal.event(kind, where, t_mono_ns=t_mono_ns, detail=text)

    def _write(self, key: _Key) -> None:
        message = self._waiting.pop(key)
        pid, t = message.pid, message.t_mono_ns
        self._written_ns[key] = t
        if isinstance(message, CountSaid):
            self._rows.count((pid, message.unit, t, message.done, message.samples))
        elif isinstance(message, SpentSaid):
            # All of them, so that one without a row did not go on in between.
            for name, spent_ns in message.spent:
                self._rows.activity((pid, name, t, spent_ns))
            self._spent[pid] = message.spent
        elif isinstance(message, TimesSaid):
            buckets = sorted(self._times[pid, message.unit].items())
            self._rows.times((pid, message.unit, t, json.dumps(buckets)))
        else:
            self._journal.step(pid, t, message.steps)
