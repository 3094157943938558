"""Snappy's block format, which remote write asks for.

With cramjam (`pip install "frugalwatch[export]"`) requests are compressed, to a fraction. Without
it they are valid blocks of literals: a node with the base install sends the same, only larger.
"""

from __future__ import annotations

_LONGEST_LITERAL = 1 << 16  # with a length of two bytes, the longest that every decoder takes


def compressor() -> str:
    """What compresses here: `cramjam`, or `none`."""
    try:
        import cramjam  # noqa: F401
    except ImportError:
        return "none"
    return "cramjam"


def compress(data: bytes) -> bytes:
    """`data` as one snappy block."""
    try:
        import cramjam
    except ImportError:
        return _literals(data)
    return bytes(cramjam.snappy.compress_raw(data))


def _literals(data: bytes) -> bytes:
    """The block that repeats `data` without looking for anything to save."""
    parts = [_length(len(data))]
    for begin in range(0, len(data), _LONGEST_LITERAL):
        piece = data[begin : begin + _LONGEST_LITERAL]
        parts.append(bytes((61 << 2,)) + (len(piece) - 1).to_bytes(2, "little"))
        parts.append(piece)
    return b"".join(parts)


def _length(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
