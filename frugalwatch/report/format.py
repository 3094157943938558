"""Figures as a person reads them: few significant digits, a unit, no false precision."""

from __future__ import annotations

import math

_J_PER_WH = 3600.0
_LEAST_J = 0.001 * _J_PER_WH / 1000  # a micro-watt-hour: less is shown as less


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
    """In Wh; kWh from a thousand of them on, mWh below a hundredth."""
    scale, unit = _energy_unit(joules)
    if 0 < joules < _LEAST_J:
        return f"< {significant(_LEAST_J / scale, 1)} {unit}"
    return f"{significant(joules / scale, digits)} {unit}"


def energy_range(low_j: float, high_j: float, digits: int = 2) -> str:
    """`0.03 to 0.15 Wh`, in the unit of the upper end."""
    scale, unit = _energy_unit(high_j)
    return f"{significant(low_j / scale, digits)} to {significant(high_j / scale, digits)} {unit}"


def _energy_unit(joules: float) -> tuple[float, str]:
    if joules >= 1000 * _J_PER_WH:
        return 1000 * _J_PER_WH, "kWh"
    if joules >= _J_PER_WH / 100 or joules == 0:
        return _J_PER_WH, "Wh"
    return _J_PER_WH / 1000, "mWh"


def digits_for(value: float, low: float, high: float) -> int:
    """How many digits the error supports: three within 5 %, two otherwise."""
    return 3 if value > 0 and (high - low) / 2 < 0.05 * value else 2


def grams(value: float, digits: int = 2) -> str:
    """In gram; kg from a thousand of them on, mg below a hundredth; what is something is not 0."""
    if value >= 1000:
        return f"{significant(value / 1000, digits)} kg"
    if 0 < value < 1e-6:
        return "< 0.001 mg"
    if 0 < value < 0.01:
        return f"{significant(value * 1000, digits)} mg"
    return f"{significant(value, digits)} g"


def duration(seconds: float) -> str:
    """`0.42 s`, `18.2 s`, `3 min 05 s`, `1 h 12 min`, `2 d 3 h`."""
    if seconds < 10:
        return f"{significant(seconds, 2)} s"
    if seconds < 60:
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
