"""Reads what came out of a program's root calls in a replay, as the hook has written it down.

Safetensors are plain: a length, a header in JSON, then the values. Their headers and rows are read
at once, since they are small; whole outputs are left in their files until they are looked at, so
that a search holds little, however many replays it keeps.
"""

from __future__ import annotations

import glob
import json
import os
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # what JSON gives back

_STANDARD = {"F32": "f", "F64": "d", "I8": "b", "U8": "B", "I16": "h", "I32": "i", "I64": "q"}
# How the hook names what it made of an output, one row for each input (see its look_rows.py).
_ROWS = "rows:"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of a file."""

    path: str
    begin: int
    end: int

    def read(self) -> bytes:
        """The bytes; none if the file is gone."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.begin)
                return file.read(self.end - self.begin)
        except FileNotFoundError:
            return b""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor that came out. `source` are its bytes as they are, or where they are."""

    shape: tuple[int, ...]
    dtype: str
    source: bytes | Stretch

    @property
    def raw(self) -> bytes:
        return self.source.read() if isinstance(self.source, Stretch) else self.source

    def values(self) -> Sequence[float]:
        """Its numbers, in order; empty for a type that holds none."""
        raw = self.raw
        if self.dtype in _STANDARD:
            found = array(_STANDARD[self.dtype])
            found.frombytes(raw)
            if sys.byteorder != "little":
                found.byteswap()
            return found
        if self.dtype == "F16":
            return struct.unpack(f"<{len(raw) // 2}e", raw)
        if self.dtype == "BF16":  # the upper half of a float32
            wide = b"".join(b"\0\0" + raw[at : at + 2] for at in range(0, len(raw), 2))
            return array("f", wide)
        return ()


@dataclass(frozen=True, slots=True)
class Rows:
    """What the hook made of one output: a row for each input of the call.

    `name` is where the output stood, such as "last_hidden_state"; `how` is "row" (as it was), "top"
    (the place of the highest score), "mean" and "first" (of the states of tokens), or "tokens" (the
    place of the highest score at each token, or what was an integer already).
    """

    name: str
    how: str
    tensor: Tensor


@dataclass(frozen=True, slots=True)
class Output:
    """What came out of one call; `inputs` is the digest of what went in.

    `digest` is of all that came out. `tensors` are that, where it was small enough to be kept.
    `items` are digests of each input of a batch; `masked` says whether padding was known.
    """

    call: int
    inputs: str
    learning: bool
    tensors: tuple[Tensor, ...]
    digest: str = ""
    rows: tuple[Rows, ...] = ()
    items: tuple[str, ...] = ()
    module: str = ""
    masked: bool = False

    def same_bits(self, other: Output) -> bool:
        """Whether every bit is the same."""
        if self.digest and other.digest:
            return self.digest == other.digest
        return len(self.tensors) == len(other.tensors) and all(
            (a.shape, a.dtype, a.raw) == (b.shape, b.dtype, b.raw)
            for a, b in zip(self.tensors, other.tensors, strict=True)
        )

    def compared(self, other: Output) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """What distances to `other` are taken of: everything, or what was kept of both."""
        if self.tensors and other.tensors:
            return self.tensors, other.tensors
        return self._numbers(), other._numbers()

    def _numbers(self) -> tuple[Tensor, ...]:
        return tuple(each.tensor for each in self.rows if each.how in ("row", "mean"))


def read_outputs(folder: str) -> tuple[Output, ...]:
    """The sampled calls of the process that has most of them, in their order."""
    processes = [
        sorted(glob.glob(os.path.join(each, "*.safetensors")))
        for each in glob.glob(os.path.join(folder, "outputs-*"))
    ]
    most = max(processes, key=len, default=[])
    found = [_read(path) for path in most]
    return tuple(each for each in found if each is not None)


def header_of(path: str) -> Mapping[str, Any]:
    """What is written about a safetensors file in its head; empty where it is not whole."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            found: Mapping[str, Any] = json.loads(file.read(length))["__metadata__"]
            return found
    except (OSError, struct.error, ValueError, KeyError):
        return {}


def forget_outputs(outputs: Sequence[Output]) -> None:
    """Delete the files of whole outputs, once they were compared; rows stay."""
    paths = {t.source.path for o in outputs for t in o.tensors if isinstance(t.source, Stretch)}
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue


def _read(path: str) -> Output | None:
    """None for a file that its process did not finish."""
    size = os.path.getsize(path)
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
            about = header.pop("__metadata__")
            whole, rows = [], []
            for name, place in header.items():
                stretch = Stretch(path, *(8 + length + at for at in place["data_offsets"]))
                if stretch.end > size:
                    return None
                shape, dtype = tuple(place["shape"]), str(place["dtype"])
                if name.startswith(_ROWS):
                    rows.append(_row(name, Tensor(shape, dtype, stretch.read())))
                else:
                    whole.append(Tensor(shape, dtype, stretch))
            return _output(path, about, tuple(whole), tuple(rows))
    except (struct.error, ValueError, KeyError):
        return None


def _row(name: str, tensor: Tensor) -> Rows:
    _, how, place = name.split(":", 2)
    return Rows(place, how, tensor)


def _output(
    path: str, about: Mapping[str, Any], whole: tuple[Tensor, ...], rows: tuple[Rows, ...]
) -> Output:
    return Output(
        int(os.path.basename(path).partition(".")[0]),
        about["inputs"],
        about["learning"] == "yes",
        whole,
        about.get("outputs", ""),
        rows,
        tuple(json.loads(about.get("items", "[]"))),
        about.get("module", ""),
        about.get("masked") == "yes",
    )
