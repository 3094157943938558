"""Words and figures that all reports of an advice share."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from frugalwatch.report import format as show

WIDTH = 80  # columns of a terminal
# What JSON gives back; every value is looked at before it is used.
Document = Mapping[str, Any]


def wrapped(text: str) -> list[str]:
    """Lines of a terminal, set in by two."""
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def resolution(value: float) -> str:
    """`±3.1 %`: what of a difference is noise."""
    return f"±{value * 100:.1f} %" if value < 1 else "worse than ±100 %"


def seconds(value: float | None, unit: str, digits: int = 3) -> str:
    """`4.10 CPU-s`; `?` for what nobody knows."""
    return "?" if value is None else f"{show.significant(value, digits)} {unit}"


def cut(text: str, width: int) -> str:
    """The text, or its beginning with three dots."""
    return text if len(text) <= width else text[: width - 3] + "..."


def plural(unit: str) -> str:
    """`calls`, `batches`."""
    return f"{unit}es" if unit.endswith("ch") else f"{unit}s"


def amount(value: float, unit: str, digits: int = 3) -> str:
    """A cost of a whole run in the unit of an advice: watt-hours or CPU-seconds."""
    return show.energy(value, digits) if unit == "energy_j" else seconds(value, "CPU-s", digits)


def each(value: float, unit: str, digits: int = 3) -> str:
    """A cost of one request in the unit of an advice: joules, or CPU-seconds down to ms and us."""
    if unit == "energy_j":
        return show.joules(value, digits)
    for scale, name in ((1.0, "CPU-s"), (1e3, "CPU-ms"), (1e6, "CPU-us")):
        if abs(value) * scale >= 0.1:
            return f"{show.significant(value * scale, digits)} {name}"
    return f"{show.significant(value * 1e6, digits)} CPU-us"


def work_of(document: Document) -> Document:
    """`unit` and `count` of what a replay did; empty where nothing was counted."""
    work = document.get("work") or {}
    return work if work.get("unit") else {}
