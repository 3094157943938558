"""Where what a change needs is built: a kept folder of each advice, and who builds in it.

What needs the program's classes is done by a replay of the program, in its own interpreter and
environment; the rest by processes in ours. Only ONNX, safetensors and JSON cross. What building
used is measured: it is the one-off cost of the change.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advisor.replay import Replayer
    from advisor.sampling import Sample


@dataclass(frozen=True, slots=True)
class Cost:
    """What was used once; joules where the machine has a counter."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    energy_j: float | None = None

    def plus(self, other: Cost) -> Cost:
        """Both; joules only where both know them."""
        joules = None
        if self.energy_j is not None and other.energy_j is not None:
            joules = self.energy_j + other.energy_j
        return Cost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, joules)


class Workshop:
    """Builds artefacts of one advice in `folder`, each once; `tell` gets progress in words."""

    def __init__(
        self,
        folder: str,
        sample: Sample | None,
        replayer: Replayer,
        tell: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.sample = sample
        self.replayer = replayer
        self.tell = tell
        self.spent = Cost()


def advice_folder(ledger: str, number: int) -> str:
    """Make the kept folder of an advice, beside the ledger that holds it; its path.

    Another one's of the same number (of another ledger in that folder) is left alone.
    """
    parent = os.path.join(os.path.dirname(os.path.realpath(ledger)), "advice")
    os.makedirs(parent, mode=0o700, exist_ok=True)
    attempt = 1
    while True:
        name = f"A{number}" if attempt == 1 else f"A{number}-{attempt}"
        path = os.path.join(parent, name)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            attempt += 1
            continue
        return path
