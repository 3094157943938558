"""Reads what the job's processes say: by `frugalwatch.phase`, `metric` and `step`, and the hook."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from frugalwatch.sampler.inside_messages import InsideMessage

_INSIDE = ("hello", "rank", "problem", "note", "count", "spent", "times")
_CHUNK = 1 << 16
_AT_ONCE = 1 << 20  # so that a chatty job cannot keep the sampler from its readings
_LONGEST = 1 << 16
_NAME_LENGTH = 200
# Lines of which the last one holds all: by process, or by process and unit. As they begin in JSON.
_BY_PROCESS, _BY_UNIT = 2, 3
_SERIES = {b'["step"': _BY_PROCESS, b'["spent"': _BY_PROCESS, b'["count"': _BY_UNIT}
_TIMES = b'["times"'


class PhaseBegan(NamedTuple):
    """A phase began in process `pid`; `token` names it until it ends."""

    pid: int
    t_mono_ns: int
    token: int
    name: str
    number: int | None


class PhaseEnded(NamedTuple):
    """The phase that `pid` called `token` is over."""

    pid: int
    t_mono_ns: int
    token: int


class MetricSaid(NamedTuple):
    """The job reached a number."""

    pid: int
    t_mono_ns: int
    name: str
    value: float


class GoalSaid(NamedTuple):
    """`pid` will do so many steps in all, or so many phases of this name."""

    pid: int
    t_mono_ns: int
    name: str
    total: int


class StepsSaid(NamedTuple):
    """`pid` has finished this many steps since it began."""

    pid: int
    t_mono_ns: int
    steps: int


Said: TypeAlias = PhaseBegan | PhaseEnded | MetricSaid | GoalSaid | StepsSaid
Message: TypeAlias = "Said | InsideMessage"


class Listener:
    """Reads a job's pipe, which is non-blocking. `bad` counts lines that made no sense."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self.bad = 0

    def receive(self) -> list[Message]:
        """What was said since the last call, up to as much as the pipe holds."""
        said: list[bytes] = []
        for _ in range(_AT_ONCE // _CHUNK):
            try:
                data = os.read(self._descriptor, _CHUNK)
            except OSError:  # EAGAIN: that was all
                break
            *lines, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > _LONGEST:  # no message of ours is: somebody else writes here
                self._rest = b""
                self.bad += 1
            said += lines
            if len(data) < _CHUNK:
                break
        messages: list[Message] = []
        for line in latest(said):
            self._take(line, messages)
        return messages

    def _take(self, line: bytes, messages: list[Message]) -> None:
        try:
            message = parse(line)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            self.bad += 1
            return
        if message is not None:
            messages.append(message)


def latest(lines: list[bytes]) -> list[bytes]:
    """The lines without those that a later one makes good: what is counted is told cumulatively.

    Four processes tell a hundred such lines a second, and reading one takes 15 us. Any other line
    (a phase begins, a process says hello) ends a stretch in which only the last one counts.
    """
    kept: list[bytes] = []
    place: dict[tuple[bytes, ...], int] = {}
    for line in lines:
        kind, *rest = line.split(b",", 4)
        if kind in _SERIES and len(rest) > _SERIES[kind]:
            key = (kind, rest[0], rest[2] if _SERIES[kind] == _BY_UNIT else b"")
            if key in place:
                kept[place[key]] = line
                continue
            place[key] = len(kept)
        elif kind != _TIMES:
            place.clear()
        kept.append(line)
    return kept


def parse(data: bytes) -> Message | None:
    """One line; None for a kind that a newer job's side may know. Raises ValueError & co."""
    kind, pid, t_mono_ns, *rest = json.loads(data)
    pid, t_mono_ns = _integer(pid), _integer(t_mono_ns)
    if kind == "begin":
        token, name, number = rest
        return PhaseBegan(
            pid,
            t_mono_ns,
            _integer(token),
            str(name)[:_NAME_LENGTH],
            None if number is None else _integer(number),
        )
    if kind == "end":
        return PhaseEnded(pid, t_mono_ns, _integer(rest[0]))
    if kind == "metric":
        return MetricSaid(pid, t_mono_ns, str(rest[0])[:_NAME_LENGTH], float(rest[1]))
    if kind == "goal":
        return GoalSaid(pid, t_mono_ns, str(rest[0])[:_NAME_LENGTH], _integer(rest[1]))
    if kind == "step":
        return StepsSaid(pid, when(t_mono_ns, rest, 1), _integer(rest[0]))
    if kind in _INSIDE:
        from frugalwatch.sampler.inside_messages import parse_inside

        return parse_inside(kind, pid, t_mono_ns, rest)
    return None


def when(told_mono_ns: int, rest: list[object], place: int) -> int:
    """When the last of what was counted was done, where the message says so: not after it is told.

    A count at the end of a process may be of work that was over long before.
    """
    if len(rest) <= place:
        return told_mono_ns
    return min(told_mono_ns, _integer(rest[place]))


def _integer(value: object) -> int:
    """A whole number that fits SQLite's 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise ValueError("not a 64-bit integer")
    return value
