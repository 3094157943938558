"""Which inputs calibrate, which screen, and which judge: never the same ones twice.

The calls of a program are cut into short blocks of time, since neighbours are alike (frames of one
film, messages of one talk), and a whole block has one part. An input that comes again stays in the
part where it was first, whatever the later block is. Which block a call is in depends on its number
and on its number of rows alone, so that a sample of the calls is split as all of them are; a call
is never divided, so that whoever calibrates may take it as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Part: TypeAlias = Literal["calibration", "screening", "judging"]

BLOCK_ROWS = 16
# The parts of ten blocks in turn: each is spread over the whole of the program's time.
_PATTERN: tuple[Part, ...] = (
    "judging",
    "calibration",
    "judging",
    "judging",
    "screening",
    "judging",
    "calibration",
    "judging",
    "judging",
    "judging",
)
JUDGING_SHARE = _PATTERN.count("judging") / len(_PATTERN)
CALIBRATION_SHARE = _PATTERN.count("calibration") / len(_PATTERN)


class Row(NamedTuple):
    """One input: one of `rows` in the call with this number. `digest` is of its content.

    `call_digest` is of the whole call's inputs, as a capture names them too.
    """

    call: int
    rows: int
    digest: str
    call_digest: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """Places in the list that was split; no content is in two parts, or twice in one."""

    calibration: tuple[int, ...]
    screening: tuple[int, ...]
    judging: tuple[int, ...]

    def part(self, name: Part) -> tuple[int, ...]:
        found: tuple[int, ...] = getattr(self, name)
        return found


def part_of(call: int, rows: int = 1) -> Part:
    """The part of the inputs of a call with so many rows, at their first appearance."""
    block = call if rows >= BLOCK_ROWS else call * max(1, rows) // BLOCK_ROWS
    return _PATTERN[block % len(_PATTERN)]


def split(inputs: Iterable[Row], calibrated: Collection[str] = ()) -> Split:
    """Split inputs, which are in the order of their calls.

    `calibrated` are digests, of rows or of whole calls, of what something was built with: wherever
    these inputs are, they neither screen nor judge.
    """
    rows = list(inputs)
    used = {r.digest for r in rows if r.digest in calibrated or r.call_digest in calibrated}
    places: dict[Part, list[int]] = {"calibration": [], "screening": [], "judging": []}
    seen: set[str] = set()
    for place, row in enumerate(rows):
        if row.digest in seen:
            continue
        seen.add(row.digest)
        part = "calibration" if row.digest in used else part_of(row.call, row.rows)
        places[part].append(place)
    return Split(*(tuple(places[name]) for name in ("calibration", "screening", "judging")))
