"""How sure a share of a profile is.

A share is found by sampling, so it has a sampling error, and samples that came late may belong to
a line nearby. The joules have the bounds of the energy besides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from frugalwatch.profile.recorded import Process
from frugalwatch.profile.tree import Amount
from frugalwatch.report.attribution import Energy

_Z = 1.96  # 95 %


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and highest share of all CPU time, 0 to 1."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Certainty:
    """What the bounds of a run's shares rest on.

    `samples` is an effective number: one that stands for 100 ms of a native call is no ten.
    """

    samples: float
    everything: Amount

    def of(self, amount: Amount) -> Bounds:
        """Bounds of this amount's share: Wilson's interval, widened by what is in doubt."""
        whole = self.everything.cpu_s
        if whole <= 0 or self.samples <= 0:
            return Bounds(0.0, 1.0)
        share = min(1.0, amount.cpu_s / whole)
        n = self.samples
        centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
        own_doubt = amount.doubt_s / whole
        other_doubt = max(0.0, self.everything.doubt_s - amount.doubt_s) / whole
        return Bounds(
            max(0.0, min(share, centre - spread) - own_doubt),
            min(1.0, max(share, centre + spread) + other_doubt),
        )


def certainty(processes: Sequence[Process], everything: Amount) -> Certainty:
    """From the weights of all samples that found a thread working."""
    total = sum(piece.working_s for p in processes for piece in p.slices)
    squares = sum(piece.square_s2 for p in processes for piece in p.slices)
    return Certainty(total**2 / squares if squares else 0.0, everything)


def energy_bounds(
    value_j: float, share: float, bounds: Bounds, job: Energy | None
) -> tuple[float, float]:
    """Bounds of a part's joules: of its share, and of the job's energy itself."""
    if job is None or job.value <= 0 or share <= 0:
        return 0.0, value_j
    return (
        value_j * (bounds.low / share) * (job.low / job.value),
        value_j * (bounds.high / share) * (job.high / job.value),
    )
