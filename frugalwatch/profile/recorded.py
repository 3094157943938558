"""What a process of the job recorded about itself, read back from its file.

The format is that of `inside/path/_frugalwatch`: JSON arrays, one a line. A line that makes no
sense (the last one of a process that was killed) ends the reading, and what came before counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FORMAT = 1


class Frame(NamedTuple):
    """One line of one function; a thread's name has neither file nor line."""

    filename: str
    function: str
    first_line: int
    line: int


class Cell(NamedTuple):
    """One stack in one slice: times in ns; `doubt_ns` of the CPU time may be a neighbour's."""

    node: int
    wall_ns: int
    cpu_ns: int
    doubt_ns: int
    samples: int


class Slice(NamedTuple):
    """About a second of one process.

    Of the samples that found a thread working: their time in all, and the sum of its squares.
    """

    begin_mono_ns: int
    end_mono_ns: int
    cells: tuple[Cell, ...]
    samples: int
    working_s: float
    square_s2: float


@dataclass(slots=True)
class Process:
    """One process's profile. `parents[n]` and `frames[n]` describe node n; node 0 is the root."""

    pid: int
    began_mono_ns: int
    hz: float
    python: str
    stdlib: str
    prefixes: tuple[str, ...]
    parents: list[int] = field(default_factory=lambda: [0])
    frames: list[Frame] = field(default_factory=lambda: [Frame("", "", 0, 0)])
    slices: list[Slice] = field(default_factory=list)
    layers: list[list[Any]] = field(default_factory=list)  # raw lines, see profile/layers.py
    full: bool = False


def read_process(path: str) -> Process | None:
    """The profile in a file; None if its head is missing. Raises OSError."""
    with open(path, encoding="ascii", errors="replace") as file:
        return parse(file)


def parse(lines: Iterable[str]) -> Process | None:
    """The profile in these lines, up to the first that makes no sense."""
    process: Process | None = None
    codes: dict[int, tuple[str, str, int]] = {}
    for text in lines:
        try:
            line = json.loads(text)
            if line[0] == "start":
                process = _process(line)
            elif process is not None:
                _take(process, codes, line)
        except (ValueError, TypeError, LookupError):
            break
    return process


def _process(line: list[Any]) -> Process | None:
    _, version, pid, began, facts = line
    if version != FORMAT:
        return None
    return Process(
        pid,
        began,
        float(facts["hz"]),
        str(facts["python"]),
        str(facts["stdlib"]),
        tuple(facts["prefixes"]),
    )


def _take(process: Process, codes: dict[int, tuple[str, str, int]], line: list[Any]) -> None:
    kind = line[0]
    if kind == "c":
        codes[line[1]] = (str(line[2]), str(line[3]), int(line[4]))
    elif kind == "n":
        _, node, parent, code, at = line
        if node != len(process.parents) or not 0 <= parent < node:
            raise ValueError("a node out of order")
        process.parents.append(parent)
        process.frames.append(Frame(*codes[code], int(at)))
    elif kind == "s":
        _, begin, end, cells, facts = line
        process.slices.append(
            Slice(
                begin,
                end,
                tuple(Cell(*cell) for cell in cells if 0 <= cell[0] < len(process.parents)),
                facts["samples"],
                facts["working_ns"] / 1e9,
                facts["squares"] / 1e12,
            )
        )
    elif kind == "full":
        process.full = True
    else:
        process.layers.append(line)
