"""How much a search may use: `--budget 10min`, `--budget 5Wh`, or both: `10min,5Wh`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from frugalwatch.errors import UsageError

DEFAULT_TIME_S = 120.0
_SECONDS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_JOULES = {"j": 1.0, "kj": 1e3, "mwh": 3.6, "wh": 3600.0, "kwh": 3.6e6}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds of the clock, and joules of the replays; None: no limit of that kind."""

    time_s: float | None = DEFAULT_TIME_S
    energy_j: float | None = None

    def in_seconds(self, mean_power_w: float | None) -> float:
        """The whole budget in seconds, where replays draw so many watts; infinite without limit.

        Energy limits nothing while nobody knows the power.
        """
        found = [math.inf if self.time_s is None else self.time_s]
        if self.energy_j is not None and mean_power_w:
            found.append(self.energy_j / mean_power_w)
        return min(found)

    def __str__(self) -> str:
        parts = []
        if self.time_s is not None:
            minutes = self.time_s / 60
            parts.append(f"{minutes:g}min" if minutes >= 1 else f"{self.time_s:g}s")
        if self.energy_j is not None:
            wh = self.energy_j / 3600
            parts.append(f"{wh:g}Wh" if wh >= 1 else f"{self.energy_j:g}J")
        return ",".join(parts)


def parse_budget(text: str) -> Budget:
    """`600`, `90s`, `10min`, `1h`, `5Wh`, `300J`, `10min,5Wh`. Raises UsageError."""
    time_s: float | None = None
    energy_j: float | None = None
    for word in text.split(","):
        found = _PART.fullmatch(word.strip())
        unit = found[2].lower() if found else "?"
        value = float(found[1]) if found else 0.0
        if value > 0 and (unit or "s") in _SECONDS and time_s is None:
            time_s = value * _SECONDS[unit or "s"]
        elif value > 0 and unit in _JOULES and energy_j is None:
            energy_j = value * _JOULES[unit]
        else:
            raise UsageError(
                f"--budget {text!r} is no budget", hint="10min, 90s, 1h, 5Wh, or 10min,5Wh"
            )
    return Budget(time_s, energy_j)
