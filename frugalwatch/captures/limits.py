"""The limits of `--capture`: how much a capture may hold, and for how long it is kept."""

from __future__ import annotations

import re
from typing import NamedTuple

from frugalwatch.errors import UsageError

_UNITS = {"": 1, "B": 1, "K": 10**3, "KB": 10**3, "M": 10**6, "MB": 10**6, "G": 10**9, "GB": 10**9}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


class Limits(NamedTuple):
    """`calls` kept of each module and kind of use, `bytes` in all, `seconds` from the first one."""

    calls: int = 64
    bytes: int = 10**9
    seconds: float = 600.0
    days: float = 7.0


def parse_limits(text: str) -> Limits:
    """The limits that were typed; those not named keep their defaults. Raises UsageError."""
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, given, value = part.partition("=")
        if not given or name not in Limits._fields:
            raise UsageError(
                f"--capture {text!r}: {part!r} is no limit",
                why=f"limits are {', '.join(Limits._fields)}",
                hint="--capture calls=64,bytes=1GB -- COMMAND (the -- ends the options)",
            )
        found[name] = _bytes(value) if name == "bytes" else _number(value)
        if found[name] <= 0:
            raise UsageError(f"--capture {text!r}: {name} must be more than 0")
    defaults = Limits()
    return Limits(
        calls=int(found.get("calls", defaults.calls)),
        bytes=int(found.get("bytes", defaults.bytes)),
        seconds=found.get("seconds", defaults.seconds),
        days=found.get("days", defaults.days),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--capture: {text!r} is no number") from None


def _bytes(text: str) -> float:
    found = _SIZE.fullmatch(text.strip())
    if not found or found[2].upper() not in _UNITS:
        raise UsageError(f"--capture: {text!r} is no size", hint="for instance bytes=500MB")
    return float(found[1]) * _UNITS[found[2].upper()]
