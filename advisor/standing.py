"""How far a search is: trials done and still to come, time left, what was spent so far."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """`trial` is the number of the one that runs, `of` about how many there will be in all.

    `of` and `left_s` are None while nobody can tell. `spent_energy_j` is None without counters.
    """

    trial: int
    of: int | None
    left_s: float | None
    spent_s: float
    spent_cpu_s: float
    spent_energy_j: float | None
    doing: str

    def __str__(self) -> str:
        """One line for a person."""
        from frugalwatch.report import format as show

        words = [f"trial {self.trial}" + (f" of about {self.of}" if self.of else "")]
        if self.left_s is not None:
            words.append(f"{show.duration(max(1.0, self.left_s))} left")
        if self.spent_energy_j is not None:
            words.append(f"{show.energy(self.spent_energy_j)} spent")
        else:
            words.append(f"{show.significant(self.spent_cpu_s)} CPU-s spent")
        return f"{', '.join(words)}: {self.doing}"

    def as_json(self) -> dict[str, object]:
        return {
            "trial": self.trial,
            "of": self.of,
            "left_s": self.left_s,
            "spent_s": self.spent_s,
            "spent_cpu_s": self.spent_cpu_s,
            "spent_energy_j": self.spent_energy_j,
            "doing": self.doing,
        }


def screening_trials(entrants: int, finalists: int, rounds: int) -> int:
    """Replays of a successive halving until so many are left, two of the program in each round."""
    if entrants == 0:
        return 0
    total, left = 0, entrants
    while left > finalists:
        total += rounds * (left + 2)
        left = max(finalists, math.ceil(left / 2))
    return total + (rounds - 1) * (left + 2)


def confirmation_trials(finalists: int, rounds: int) -> int:
    """Replays of so many rounds of the finalists, their combination and the program, twice."""
    if finalists == 0:
        return 0
    return rounds * (finalists + (2 if finalists > 1 else 1) + 2)
