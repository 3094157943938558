"""Figures as a person reads them: few significant digits, a unit, no false precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

_J_PER_WH = 3600.0
# From so many joules on, a figure is written in this unit: 1000 Wh, 0.01 Wh, 0.01 mWh.
_ENERGY_UNITS = (
    (1000 * _J_PER_WH, 1000 * _J_PER_WH, "kWh"),
    (_J_PER_WH / 100, _J_PER_WH, "Wh"),
    (_J_PER_WH / 1e5, _J_PER_WH / 1e3, "mWh"),
    (0.0, _J_PER_WH / 1e6, "uWh"),
)
_JOULE_UNITS = ((1000.0, 1000.0, "kJ"), (0.1, 1.0, "J"), (1e-4, 1e-3, "mJ"), (0.0, 1e-6, "uJ"))
_GRAM_UNITS = ((1000.0, 1000.0, "kg"), (0.01, 1.0, "g"), (0.0, 0.001, "mg"))
# A bound so much smaller than the other one is written as 0: it excludes nothing more.
_NOTHING_BESIDE = 1000


def significant(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits, in plain notation: 0.0123, 1.24, 381, 12400."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    if rounded and math.floor(math.log10(abs(rounded))) > math.floor(math.log10(abs(value))):
        places -= 1  # 9.996 became 10.00
    return f"{rounded:.{max(0, places)}f}"


def energy(joules: float, digits: int = 3) -> str:
    """In Wh; kWh from a thousand of them on, mWh below a hundredth, uWh below that of a mWh."""
    return _with_unit(joules, _unit(joules, _ENERGY_UNITS), digits)


def energy_range(low_j: float, high_j: float, digits: int = 2, *, beside_j: float = 0.0) -> str:
    """`2.7 to 17 mWh`, in the unit in which `beside_j` is written, else the upper end."""
    return _range(low_j, high_j, _unit(beside_j or high_j, _ENERGY_UNITS), digits)


def joules(value_j: float, digits: int = 2) -> str:
    """For what a step or a request takes: kJ from a thousand on, mJ below a tenth, then uJ."""
    return _with_unit(value_j, _unit(value_j, _JOULE_UNITS), digits)


def joules_range(low_j: float, high_j: float, digits: int = 2, *, beside_j: float = 0.0) -> str:
    """`19 to 21 J`, in the unit in which `beside_j` is written, else the upper end."""
    return _range(low_j, high_j, _unit(beside_j or high_j, _JOULE_UNITS), digits)


def digits_for(value: float, low: float, high: float) -> int:
    """How many digits the error supports: three within 5 %, two otherwise."""
    return 3 if value > 0 and (high - low) / 2 < 0.05 * value else 2


def grams(value: float, digits: int = 2) -> str:
    """In gram; kg from a thousand of them on, mg below a hundredth; what is something is not 0."""
    return _with_unit(value, _unit(value, _GRAM_UNITS), digits)


def grams_range(low_g: float, high_g: float, digits: int = 2, *, beside_g: float = 0.0) -> str:
    """`0.10 to 14 mg`, in the unit in which `beside_g` is written, else the upper end."""
    return _range(low_g, high_g, _unit(beside_g or high_g, _GRAM_UNITS), digits)


def _unit(value: float, units: Sequence[tuple[float, float, str]]) -> tuple[float, str]:
    """How much one unit is, and its name; nothing at all is written in the second unit."""
    if value == 0:
        return units[1][1:]
    return next((scale, name) for least, scale, name in units if value >= least)


def _with_unit(value: float, unit: tuple[float, str], digits: int) -> str:
    scale, name = unit
    if 0 < value / scale < 0.001:
        return f"< 0.001 {name}"
    return f"{significant(value / scale, digits)} {name}"


def _range(low: float, high: float, unit: tuple[float, str], digits: int) -> str:
    scale, name = unit
    begin = "0" if low * _NOTHING_BESIDE < high else significant(low / scale, digits)
    return f"{begin} to {significant(high / scale, digits)} {name}"


def about(text: str) -> str:
    """`~text`, the mark of what is estimated; `< 0.001 mg` is no exact figure anyway."""
    return text if text.startswith("<") else f"~{text}"


def duration(seconds: float) -> str:
    """`32 us`, `12 ms`, `0.42 s`, `18.2 s`, `3 min 05 s`, `1 h 12 min`, `2 d 3 h`."""
    if 0 < seconds < 0.0000995:
        return f"{significant(seconds * 1e6, 2)} us"
    if 0 < seconds < 0.0995:
        return f"{significant(seconds * 1000, 2)} ms"
    if seconds < 9.95:
        return f"{significant(seconds, 2)} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def percent(part: float) -> str:
    """`98.7 %`; 100 only for what is all of it."""
    if part >= 1:
        return "100 %"
    return f"{min(99.9, part * 100):.1f} %"


def money(amount: float, currency: str) -> str:
    """Two decimals from ten cents on, two significant digits below, `< 0.0001` for less."""
    if 0 < amount < 0.0001:
        return f"< 0.0001 {currency}"
    text = f"{amount:.2f}" if amount >= 0.1 else significant(amount, 2)
    return f"{text} {currency}"


def command_line(words: list[str], width: int) -> str:
    """A command as it would be typed, control characters made visible, cut to `width`."""
    import re

    safe = re.compile(r"[\w@%+=:,./*\-]+").fullmatch
    quoted = [w if w and safe(w) else "'" + w.replace("'", "'\"'\"'") + "'" for w in words]
    text = "".join(c if c.isprintable() else "?" for c in " ".join(quoted))
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."
