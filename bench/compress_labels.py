"""How many labelled answers a change costs: the same inputs, as written and with it, paired."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass

_Z = 1.96
# Reads two .npy files of truth values in the programs' Python, which has NumPy.
_COUNT = """
import json, sys
import numpy
old, new = (numpy.load(path) for path in sys.argv[1:])
print(json.dumps([len(old), int(old.sum()), int((old & ~new).sum()), int((new & ~old).sum())]))
"""


@dataclass(frozen=True, slots=True)
class Paired:
    """Accuracy as written, and the points that are lost with the change, with 95 % bounds."""

    inputs: int
    accuracy_percent: float
    lost_points: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.lost_points:+.2f} points lost [{self.low:+.2f}, {self.high:+.2f}]"
            f" of {self.accuracy_percent:.2f} % on {self.inputs:,}"
        )


def paired(inputs: int, right: int, only_old: int, only_new: int) -> Paired:
    """From counts: inputs in all, right as written, right only as written, right only now.

    Bounds by Agresti and Min (2005): a half is added to both counts of what changed.
    """
    lost, won, number = only_old + 0.5, only_new + 0.5, inputs + 2
    middle = (lost - won) / number
    half = _Z * math.sqrt(max(0.0, lost + won - (lost - won) ** 2 / number)) / number
    return Paired(
        inputs,
        100 * right / inputs,
        100 * (only_old - only_new) / inputs,
        100 * (middle - half),
        100 * (middle + half),
    )


def compared(python: str, old: str, new: str) -> Paired:
    """Two files of answers, beside one another. Raises CalledProcessError."""
    done = subprocess.run(
        [python, "-c", _COUNT, old, new], check=True, stdout=subprocess.PIPE, stderr=sys.stderr
    )
    return paired(*json.loads(done.stdout))
