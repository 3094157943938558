"""What travels between a reader process and the sampler: length-prefixed marshal of plain tuples.

marshal costs microseconds and no import, and makes no objects but built-in ones. Both ends are the
same program (the reader is a fork), so its lack of a stable format does not matter.
"""

from __future__ import annotations

import marshal
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from collectors.base import Condition, Device, Gap, Observation, Probe, ProcessUtilization, Reading
from collectors.disagreement import Disagreement

_LENGTH = struct.Struct("!I")
_OBSERVATIONS = (Reading, Gap, ProcessUtilization, Condition)
_Row: TypeAlias = tuple[Any, ...]  # the fields of a record in order, or a kind and its fields


class Found(NamedTuple):
    """What the reader's first look found."""

    probe: Probe


class Looked(NamedTuple):
    """The answer to one request. `state` is for `resume()`; None if the collector keeps none."""

    observations: list[Observation]
    state: object
    disagreements: list[Disagreement]


class Crashed(NamedTuple):
    """The collector raised, which it never should. The reader ends after this message."""

    traceback: str


Message: TypeAlias = Found | Looked | Crashed


def _fields(record: Any) -> _Row:
    names = getattr(record, "_fields", None) or record.__slots__  # a named tuple, or slotted
    return tuple(getattr(record, name) for name in names)


def encode_found(probe: Probe) -> bytes:
    """The bytes of a `Found`."""
    devices = tuple(_fields(device) for device in probe.devices)
    return _frame(("found", probe.name, devices, probe.reason, probe.remedy, probe.verified))


def encode_looked(
    observations: Sequence[Observation], state: object, disagreements: Sequence[Disagreement]
) -> bytes:
    """The bytes of a `Looked`. Raises ValueError if `state` is not made of built-in types."""
    rows = [(_OBSERVATIONS.index(type(one)), *_fields(one)) for one in observations]
    return _frame(("looked", rows, state, [_fields(one) for one in disagreements]))


def encode_crashed(traceback: str) -> bytes:
    """The bytes of a `Crashed`."""
    return _frame(("crashed", traceback))


def _frame(body: _Row) -> bytes:
    data = marshal.dumps(body)
    return _LENGTH.pack(len(data)) + data


def take_messages(buffer: bytearray) -> list[Message]:
    """The whole messages at the head of `buffer`, which keeps what is left of a cut one."""
    messages: list[Message] = []
    while len(buffer) >= _LENGTH.size:
        end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
        if len(buffer) < end:
            break
        messages.append(_decode(marshal.loads(bytes(buffer[_LENGTH.size : end]))))
        del buffer[:end]
    return messages


def _decode(body: _Row) -> Message:
    kind = body[0]
    if kind == "found":
        _, name, devices, reason, remedy, verified = body
        return Found(Probe(name, tuple(Device(*row) for row in devices), reason, remedy, verified))
    if kind == "looked":
        _, rows, state, disagreements = body
        return Looked(
            [_OBSERVATIONS[row[0]](*row[1:]) for row in rows],
            state,
            [Disagreement(*row) for row in disagreements],
        )
    return Crashed(body[1])
