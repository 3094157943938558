"""Joules per step against time, for several power limits of the GPUs (`--allow-power-limit`).

Rounds in which each limit runs once, in random order, with the limit that was there in the middle
of all: ratios within a round, as everywhere. Setting a limit needs permission (root, as a rule) and
is felt by everybody on that GPU, so one that others compute on is left alone. Unverified on
hardware.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from advisor.power_limit.guarded import CannotSetLimitError, Gpu, Guard, guarded
from advisor.replay import Replay
from advisor.statistics import LEAST_ROUNDS, Ratio, ratio
from advisor.trials import energy_j, unit_energy_j, unit_wall_s, wall_s

if TYPE_CHECKING:
    from advisor.replay import Replayer
    from advisor.techniques.base import Facts

# Of the limit that is set. Below half of it clocks fall so far that time costs more.
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
_MOST_ROUNDS = 6
# Of the time for a whole search, and seconds where that has no limit.
_SHARE, _MOST_S = 0.5, 600.0
UNVERIFIED = "unverified on hardware"


@dataclass(frozen=True, slots=True)
class Step:
    """What one limit came to, against the limit that was set before; `limits_w` by GPU."""

    share: float
    limits_w: Mapping[int, float]
    energy: Ratio | None
    wall: Ratio | None

    def as_json(self) -> dict[str, object]:
        return {
            "share": self.share,
            "limits_w": {str(index): value for index, value in self.limits_w.items()},
            "energy_ratio": None if self.energy is None else self.energy.as_json(),
            "wall_ratio": None if self.wall is None else self.wall.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Sweep:
    """The limits that were tried, the one of the program as it was first left out."""

    steps: tuple[Step, ...]
    rounds: int
    why_not: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> Step | None:
        """The one whose joules surely fall most; None where none surely does."""
        known = [s for s in self.steps if s.energy is not None and s.energy.high < 1]
        return min(known, key=lambda s: s.energy.high if s.energy else 1.0, default=None)

    def as_json(self) -> dict[str, object]:
        """The document's key `power_limit`."""
        return {
            "steps": [step.as_json() for step in self.steps],
            "best": None if self.best is None else self.best.as_json(),
            "rounds": self.rounds,
            "why_not": self.why_not,
            "notes": list(self.notes),
            "verified": UNVERIFIED,
        }

    def in_words(self) -> list[str]:
        """A sentence each; the first is the answer."""
        if self.why_not:
            return [f"power limit: not tried: {self.why_not}"]
        best = self.best
        if best is None:
            return [f"power limit: none that was tried surely saves energy ({UNVERIFIED})"]
        assert best.energy is not None
        slower = "" if best.wall is None else f", {best.wall.value:.2f} times the time"
        limits = "; ".join(
            f"nvidia-smi -i {index} -pl {value:.0f}" for index, value in best.limits_w.items()
        )
        span = f"{best.energy.value:.2f} [{best.energy.low:.2f}, {best.energy.high:.2f}]"
        return [f"power limit: {span} times the joules{slower}: {limits} ({UNVERIFIED})"]


def sweep(
    replay: Callable[[], Replay],
    environment: Mapping[str, str],
    *,
    time_s: float,
    seed: int,
    tell: Callable[[str], None],
) -> Sweep:
    """Replay under each limit, in rounds, and give every limit back.

    Raises CannotIsolateError and KeyboardInterrupt, as a replay does; the limits are given back
    then too.
    """
    try:
        with guarded() as guard:
            chosen = _free(_visible(guard.gpus(), environment))
            return _rounds(replay, guard, chosen, time_s=time_s, seed=seed, tell=tell)
    except CannotSetLimitError as reason:
        return Sweep((), 0, str(reason))


def _rounds(
    replay: Callable[[], Replay],
    guard: Guard,
    gpus: Sequence[Gpu],
    *,
    time_s: float,
    seed: int,
    tell: Callable[[str], None],
) -> Sweep:
    order = random.Random(seed)
    shares = [s for s in SHARES if s == 1.0 or _differs(gpus, s)]
    if len(shares) < 2:
        return Sweep((), 0, "these GPUs allow no lower limit")
    ends_s = time.monotonic() + time_s
    found: list[dict[float, Replay]] = []
    for number in range(_MOST_ROUNDS):
        began_s = time.monotonic()
        mixed = order.sample(shares, len(shares))
        done: dict[float, Replay] = {}
        for share in mixed:
            tell(f"power limit at {share:.0%}, round {number + 1}")
            for gpu in gpus:
                guard.set(gpu.index, _limit_mw(gpu, share))
            done[share] = replay()
        found.append(done)
        spent_s = time.monotonic() - began_s
        if number + 1 >= LEAST_ROUNDS and time.monotonic() + spent_s > ends_s:
            break
    steps = tuple(_step(found, gpus, share, seed) for share in shares if share != 1.0)
    if all(step.energy is None for step in steps):
        return Sweep((), len(found), "no energy of these GPUs could be measured")
    return Sweep(steps, len(found))


def _step(
    found: Sequence[Mapping[float, Replay]], gpus: Sequence[Gpu], share: float, seed: int
) -> Step:
    def pairs(figure: Callable[[Replay], float | None]) -> list[tuple[float, float]]:
        values = [(figure(r[share]), figure(r[1.0])) for r in found if r[share].ok and r[1.0].ok]
        return [(new, old) for new, old in values if new and old]

    def known(
        per_unit: Callable[[Replay], float | None], whole: Callable[[Replay], float | None]
    ) -> Ratio | None:
        return ratio(pairs(per_unit), seed=seed) or ratio(pairs(whole), seed=seed)

    limits_w = {gpu.index: _limit_mw(gpu, share) / 1e3 for gpu in gpus}
    return Step(share, limits_w, known(unit_energy_j, energy_j), known(unit_wall_s, wall_s))


def _limit_mw(gpu: Gpu, share: float) -> int:
    """A share of the limit, whole watts, within what the GPU allows."""
    wanted = gpu.limit_mw if share == 1.0 else round(gpu.limit_mw * share / 1e3) * 1000
    return min(gpu.most_mw, max(gpu.least_mw, wanted))


def _differs(gpus: Sequence[Gpu], share: float) -> bool:
    """Whether this share is another limit than the next larger one, on some GPU."""
    larger = SHARES[SHARES.index(share) - 1]
    return any(_limit_mw(gpu, share) != _limit_mw(gpu, larger) for gpu in gpus)


def _visible(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> list[Gpu]:
    """Those that CUDA_VISIBLE_DEVICES names; all where it is not set."""
    words = environment.get("CUDA_VISIBLE_DEVICES")
    if words is None:
        return list(gpus)
    names = [word.strip() for word in words.split(",") if word.strip()]
    found = [g for g in gpus if str(g.index) in names or any(g.uuid.startswith(n) for n in names)]
    if not found:
        raise CannotSetLimitError("CUDA_VISIBLE_DEVICES names no GPU that the driver shows")
    return found


def _free(gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs, if nobody else computes on one of them. Raises CannotSetLimitError."""
    if not gpus:
        raise CannotSetLimitError("the driver shows no GPU")
    for gpu in gpus:
        others = [pid for pid in gpu.pids if pid != os.getpid()]
        if others:
            raise CannotSetLimitError(
                f"others compute on GPU {gpu.index} too (process {others[0]}), who would be slowed"
            )
    return list(gpus)


def swept(
    replayer: Replayer,
    facts: Facts,
    *,
    allowed: bool,
    time_s: float | None,
    seed: int,
    tell: Callable[[str], None],
) -> Sweep | None:
    """The sweep for a program on GPUs; why there is none, and None where nobody would expect one.

    Raises as `sweep` does.
    """
    on_gpu = facts.inside is not None and facts.inside.on_gpu
    if not on_gpu:
        return Sweep((), 0, "no module of it is on a GPU") if allowed else None
    if not allowed:
        return Sweep((), 0, "it needs your permission: --allow-power-limit")
    wanted_s = _MOST_S if time_s is None else time_s * _SHARE
    return sweep(replayer.replay, facts.environment, time_s=wanted_s, seed=seed, tell=tell)
