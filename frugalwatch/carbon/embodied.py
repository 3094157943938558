"""The part of a machine's making that falls to one job, where the user asked for it.

kg CO2e x time of the job / lifetime x the share of the hardware that the job had. It stands
beside the operational figure and is never inside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from frugalwatch.carbon.table import lines
from frugalwatch.config.settings import Settings
from frugalwatch.errors import UsageError

_YEAR_S = 365.25 * 86400
_MOST_OF_ONE = 1e6


class EmbodiedRow(NamedTuple):
    """One kind of hardware: kg CO2e for one `unit`, with its band and lifetime in years."""

    key: str
    family: str
    unit: str
    kg: float
    low_kg: float | None
    high_kg: float | None
    lifetime_y: float
    lifetime_low_y: float
    lifetime_high_y: float
    basis: str
    source: str
    name: str
    note: str


@dataclass(frozen=True, slots=True)
class Embodied:
    """Gram CO2e of making, amortised over the job. Bounds span hardware and lifetime bands.

    `unbounded` is True where a row has no published band, so that the bounds are too narrow.
    """

    co2e_g: float
    low_g: float
    high_g: float
    what: str
    share: float
    attribution: tuple[str, ...]
    unbounded: bool


def read_embodied() -> tuple[dict[str, EmbodiedRow], dict[str, str]]:
    """Every kind of hardware by key, and the line to print for each source."""
    rows: dict[str, EmbodiedRow] = {}
    attribution: dict[str, str] = {}
    for cells in lines("embodied.tsv"):
        if cells[0] == "#source":
            attribution[cells[1]] = cells[2]
            continue
        low, high = cells[4], cells[5]
        rows[cells[0]] = EmbodiedRow(
            key=cells[0],
            family=cells[1],
            unit=cells[2],
            kg=float(cells[3]),
            low_kg=float(low) if low else None,
            high_kg=float(high) if high else None,
            lifetime_y=float(cells[6]),
            lifetime_low_y=float(cells[7]),
            lifetime_high_y=float(cells[8]),
            basis=cells[9],
            source=cells[10],
            name=cells[11],
            note=cells[12],
        )
    return rows, attribution


def embodied(settings: Settings, duration_s: float) -> Embodied | None:
    """What making the configured hardware adds to a job of this length, or None if none is named.

    Raises UsageError for hardware that the table lacks or that would be counted twice.
    """
    if settings.embodied is None:
        return None
    rows, attribution = read_embodied()
    counted = parse(settings.embodied, rows)
    share_s = settings.embodied_share * duration_s
    return Embodied(
        co2e_g=math.fsum(n * amortised_g(row.kg, row.lifetime_y, share_s) for n, row in counted),
        low_g=math.fsum(
            n
            * amortised_g(
                row.kg if row.low_kg is None else row.low_kg, row.lifetime_high_y, share_s
            )
            for n, row in counted
        ),
        high_g=math.fsum(
            n
            * amortised_g(
                row.kg if row.high_kg is None else row.high_kg, row.lifetime_low_y, share_s
            )
            for n, row in counted
        ),
        what=" + ".join(_said(n, row) for n, row in counted),
        share=settings.embodied_share,
        attribution=tuple(dict.fromkeys(attribution[row.source] for _, row in counted)),
        unbounded=any(row.low_kg is None or row.high_kg is None for _, row in counted),
    )


def _said(number: float, row: EmbodiedRow) -> str:
    """`1 rack server (default)`, `8 GPUs NVIDIA T4`: the unit only where the name lacks it."""
    if row.unit.lower() in row.name.lower():
        return f"{number:g} x {row.name}" if number != 1 else f"1 {row.name}"
    counted = row.unit in ("GPU", "CPU", "server", "board", "computer", "drive", "module", "part")
    plural = "s" if number != 1 and counted else ""
    return f"{number:g} {row.unit}{plural} {row.name}"


def amortised_g(kg: float, lifetime_y: float, share_s: float) -> float:
    """Gram CO2e for `share_s` seconds of use, as seconds of the whole machine."""
    return kg * 1000.0 * share_s / (lifetime_y * _YEAR_S)


def parse(text: str, rows: dict[str, EmbodiedRow]) -> list[tuple[float, EmbodiedRow]]:
    """How many of what: `server-base + 8*gpu-h100-sxm-80gb`. Raises UsageError."""
    counted: list[tuple[float, EmbodiedRow]] = []
    for part in text.split("+"):
        number, star, key = part.partition("*")
        if not star:
            number, key = "1", part
        key = key.strip().lower()
        if key not in rows:
            raise _unknown(key, rows)
        counted.append((_number(number, part), rows[key]))
    families = {row.family for _, row in counted} - {"gpu"}
    whole = [row for _, row in counted if row.family == "whole"]
    if len(families) > 1 or len(whole) > 1:
        raise UsageError(
            f"embodied hardware would be counted twice: {text}",
            why="A whole machine, a base server with additions, and parts exclude each other.",
            hint="name one machine, plus GPUs if it has any: server-rack + 2*gpu-t4",
        )
    return counted


def _number(text: str, part: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= _MOST_OF_ONE:
        raise UsageError(
            f"how many is {part.strip()!r}?", hint="write 8*gpu-h100-sxm-80gb for eight of them"
        )
    return number


def _unknown(key: str, rows: dict[str, EmbodiedRow]) -> UsageError:
    from difflib import get_close_matches  # several ms, and only on the way to an error

    longer = [known for known in rows if key and known.startswith(key)]
    near = (longer + get_close_matches(key, rows, n=3, cutoff=0.5))[:3]
    return UsageError(
        f"no hardware {key!r} in the table of embodied emissions",
        hint=f"nearest: {', '.join(near)}" if near else f"one of {', '.join(rows)}",
    )
