"""Reads what came out of a program's root calls in a replay, as the hook has written it down.

Safetensors are plain: a length, a header in JSON, then the values. They are read without NumPy,
which our own environment need not have.
"""

from __future__ import annotations

import glob
import json
import os
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

_STANDARD = {"F32": "f", "F64": "d", "I8": "b", "U8": "B", "I16": "h", "I32": "i", "I64": "q"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor that came out. `raw` are its bytes as they are."""

    shape: tuple[int, ...]
    dtype: str
    raw: bytes

    def values(self) -> Sequence[float]:
        """Its numbers, in order; empty for a type that holds none."""
        if self.dtype in _STANDARD:
            found = array(_STANDARD[self.dtype])
            found.frombytes(self.raw)
            if sys.byteorder != "little":
                found.byteswap()
            return found
        if self.dtype == "F16":
            return struct.unpack(f"<{len(self.raw) // 2}e", self.raw)
        if self.dtype == "BF16":  # the upper half of a float32
            wide = b"".join(b"\0\0" + self.raw[at : at + 2] for at in range(0, len(self.raw), 2))
            return array("f", wide)
        return ()


@dataclass(frozen=True, slots=True)
class Output:
    """What came out of one call; `inputs` is the digest of what went in."""

    call: int
    inputs: str
    learning: bool
    tensors: tuple[Tensor, ...]

    def same_bits(self, other: Output) -> bool:
        """Whether every bit is the same."""
        return self.tensors == other.tensors


def read_outputs(folder: str) -> tuple[Output, ...]:
    """The sampled calls of the process that has most of them, in their order."""
    processes = [
        sorted(glob.glob(os.path.join(each, "*.safetensors")))
        for each in glob.glob(os.path.join(folder, "outputs-*"))
    ]
    most = max(processes, key=len, default=[])
    found = [_read(path) for path in most]
    return tuple(each for each in found if each is not None)


def _read(path: str) -> Output | None:
    """None for a file that its process did not finish."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        about = header.pop("__metadata__")
        body = memoryview(data)[8 + length :]
        tensors = []
        for place in header.values():
            begin, end = place["data_offsets"]
            if end > len(body):
                return None
            raw = bytes(body[begin:end])
            tensors.append(Tensor(tuple(place["shape"]), str(place["dtype"]), raw))
    except (struct.error, ValueError, KeyError):
        return None
    number = int(os.path.basename(path).partition(".")[0])
    return Output(number, about["inputs"], about["learning"] == "yes", tuple(tensors))
