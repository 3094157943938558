"""The WriteRequest of Prometheus remote write 1.0, encoded by hand.

    message WriteRequest { repeated TimeSeries timeseries = 1; }
    message TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2; }
    message Label        { string name = 1; string value = 2; }
    message Sample       { double value = 1; int64 timestamp = 2; }

Four messages of two fields each: a generated module would bring a run-time package that checks its
own version against the generator's, for what is forty lines here. Source of the numbers:
prometheus/prompb/remote.proto and types.proto, and the remote write 1.0 specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_BYTES = 2  # wire type of what has a length


class Point(NamedTuple):
    """One value of one series at an instant of Unix time."""

    t_ms: int
    value: float


class Series(NamedTuple):
    """A series' labels, `__name__` among them, with values in order of time."""

    labels: Mapping[str, str]
    points: Sequence[Point]


def write_request(series: Iterable[Series]) -> bytes:
    """The message, not compressed. Labels are put in order of their names, as the protocol asks."""
    return b"".join(_field(1, _one(each)) for each in series)


def _one(series: Series) -> bytes:
    parts = [
        _field(1, _field(1, name.encode()) + _field(2, value.encode()))
        for name, value in sorted(series.labels.items())
        if value  # an empty label is no label
    ]
    for point in series.points:
        sample = b"\x09" + struct.pack("<d", point.value) + b"\x10" + _varint(point.t_ms)
        parts.append(_field(2, sample))
    return b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | _BYTES,)) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Base 128, least first. Negative numbers take ten bytes, as two's complement of 64 bits."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
