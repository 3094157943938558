"""A scripted workload: what each change would use, with noise, without running anything."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from advisor.budget import Budget
from advisor.replay import Replay, State
from advisor.search import Plan, Search
from advisor.stopping import Stop
from advisor.techniques.base import AS_WRITTEN, Change, Claim, Variant
from advisor.trials import Trial


def variant(name: str, technique: str | None = None, claim: Claim = "energy") -> Variant:
    """A variant that sets a variable of its own name."""
    return Variant(name, technique or name, Change({name: "1"}), claim)


class ScriptedReplays:
    """Uses `base_s` CPU-seconds times the factor of every variable that is set."""

    def __init__(self, factors: dict[str, float], *, noise: float = 0.01, seed: int = 1) -> None:
        self.factors = factors
        self.outputs: dict[str, str] = {}
        self.states: dict[str, State] = {}
        self.now_s = 0.0
        self.count = 0
        self.interrupt_at: int | None = None
        self._noise = noise
        self._source = random.Random(seed)

    def replay(
        self,
        change: Change = AS_WRITTEN,
        *,
        limit_s: float | None = None,
        watch: bool = False,
        look: bool = False,
        stop: Stop | None = None,
    ) -> Replay:
        self.count += 1
        if self.count == self.interrupt_at:
            raise KeyboardInterrupt
        used = 1.0 + self._source.gauss(0, self._noise)
        state: State = "ok"
        output = "same"
        for name in change.set:
            used *= self.factors.get(name, 1.0)
            state = self.states.get(name, state)
            output = self.outputs.get(name, output)
        self.now_s += used
        return Replay(state, 0 if state == "ok" else 1, 0, used, used, None, "", output, "")

    def clock_s(self) -> float:
        return self.now_s


def search(
    replays: ScriptedReplays,
    plan: Plan | None = None,
    record: Callable[[Trial], None] = lambda _: None,
) -> Search:
    """A search over a scripted workload, whose clock is the workload's own."""
    return Search(
        replays,
        plan or Plan(Budget(1000), seed=3),
        record=record,
        tell=lambda _: None,
        clock_s=replays.clock_s,
    )


def written(folder: Path, name: str, text: str) -> str:
    """A file with this text; its path."""
    path = folder / name
    path.write_text(text)
    return str(path)
