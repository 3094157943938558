"""The language of the daemon's socket, and how much it tells (docs/reference/daemon-socket.md).

A frame is four bytes of length, big-endian, and that many bytes of JSON in UTF-8. What is told is
coarse on purpose: unprivileged programs were shut out from energy counters since differences over
micro- to milliseconds give away what other programs compute (PLATYPUS, CVE-2020-8694). So there is
one figure a second, on whole seconds, in whole joules, the same for everybody who asks.
"""

from __future__ import annotations

import json

VERSION = 1
# RAPL renews its counters every millisecond in steps of 61 uJ (2^-14 J).
PERIOD_NS = 1_000_000_000
QUANTUM_UJ = 1_000_000
LONGEST_REQUEST = 4_096
LONGEST_ANSWER = 65_536
_HEADER = 4

Message = dict[str, object]


class FrameError(ValueError):
    """What came is no frame of this protocol. The connection is of no use any more."""


def encode(message: Message) -> bytes:
    """One frame, with the protocol's version put first. Raises FrameError if it is too long."""
    body = json.dumps({"frugalwatch": VERSION, **message}, separators=(",", ":")).encode()
    if len(body) > LONGEST_ANSWER:
        raise FrameError(f"{len(body)} bytes do not fit a frame")
    return len(body).to_bytes(_HEADER, "big") + body


def take_frame(buffer: bytearray, longest: int) -> bytes | None:
    """The first whole frame, taken off the buffer; None if it has not all come. Raises FrameError.

    A length of more than `longest` is refused before anything of it was kept.
    """
    if len(buffer) < _HEADER:
        return None
    length = int.from_bytes(buffer[:_HEADER], "big")
    if not 0 < length <= longest:
        raise FrameError(f"a frame of {length} bytes; 1 to {longest} are taken")
    if len(buffer) < _HEADER + length:
        return None
    body = bytes(buffer[_HEADER : _HEADER + length])
    del buffer[: _HEADER + length]
    return body


def decode(body: bytes) -> Message:
    """The message in a frame. Raises FrameError if it is no JSON object of this version."""
    try:
        # Of bytes, json would guess the encoding, and import what it guessed: a process that has
        # given up its rights may not be able to.
        message = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise FrameError(f"no JSON: {error}"[:200]) from None
    if not isinstance(message, dict):
        raise FrameError("no JSON object")
    version = message.get("frugalwatch")
    if version != VERSION or isinstance(version, bool):
        raise FrameError(f"protocol {version!r:.20}; this side speaks {VERSION}")
    return message
