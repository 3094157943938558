"""Replays of a long program that end after so many steps or calls (`--stop-after`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from frugalwatch.errors import UsageError

# As docs/reference/hook-contract.md has them, with the plural that a person types.
_UNITS = ("step", "call", "batch", "user_step", "request", "generate", "fit", "predict")
# In place of a number: replays are whole, however long they are.
NEVER = "never"
_PATTERN = re.compile(r"(\d+)\s*([a-z_]*)")


@dataclass(frozen=True, slots=True)
class Stop:
    """End each replay after so many of a unit."""

    after: int
    unit: str = "step"

    def __str__(self) -> str:
        unit = self.unit.replace("_", " ")
        return f"{self.after} {unit}{'' if self.after == 1 else 's'}"


def parse_stop(text: str) -> Stop:
    """`50`, `50steps`, `200 calls`. Raises UsageError."""
    found = _PATTERN.fullmatch(text.strip().lower())
    if found is not None and int(found.group(1)) > 0:
        word = found.group(2) or "step"
        for unit in _UNITS:
            if word in (unit, f"{unit}s", f"{unit}es"):
                return Stop(int(found.group(1)), unit)
    raise UsageError(
        f"--stop-after {text!r} is no number of steps",
        hint=f"50, or 50steps; also {', '.join(_UNITS[1:])}",
    )


def stopped_note(notes: Sequence[str], stop: Stop | None) -> bool:
    """Whether the hook said that it ended the program as asked."""
    return stop is not None and any(note.startswith("stopped after") for note in notes)
