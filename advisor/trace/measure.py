"""Replays the trace of a module's captured requests by each practice, and compares what it used."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any  # what JSON gives back

from advisor.outputs import Output, read_outputs
from advisor.statistics import Ratio, ratio
from advisor.trace.practices import Practice
from frugalwatch.json_files import read_json

if TYPE_CHECKING:
    from advisor.replay import Replayer
    from advisor.sampling import Sample, SampledModule
    from advisor.techniques.base import Change

AS_IT_CAME = Practice("as it came")
AGAIN = Practice("as it came, again")
ONE_THREAD = Practice("as it came, one thread", threads=1)
ROUNDS = 8
MOST_REQUESTS = 4096
_OVERTIME = 3.0  # the least of rounds and requests is served also where that takes longer
_START_S = 120.0  # what the program may take until its first call, beyond the replays' own time

_ADVISOR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_DRIVER = os.path.join(_ADVISOR, "in_job", "replay_trace.py")
_UNPADDED = os.path.join(_ADVISOR, "replacements", "unpadded.py")


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the arrival of a request to its answer."""

    p50_s: float
    p95_s: float
    p99_s: float

    def as_json(self) -> dict[str, float]:
        return {"p50_s": self.p50_s, "p95_s": self.p95_s, "p99_s": self.p99_s}


@dataclass(frozen=True, slots=True)
class Served:
    """What a practice used for the whole trace, by round, in seconds.

    `hits` were answered from a cache, of all requests. `distance` is how far answers are from those
    of the trace as it came, of their size; `largest` that of the request which is furthest off,
    negative where they have another form. `answers` are kept for gates where it is lossy.
    """

    practice: Practice
    cpu_s: tuple[float, ...]
    wall_s: tuple[float, ...]
    batches: int
    hits: int
    distance: float
    largest: float
    latency: Latency | None
    answers: tuple[tuple[Output, Output], ...] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay of the trace found. `threads` are those that the program computes with."""

    requests: int
    distinct: int
    calls: int
    threads: int
    served: tuple[Served, ...]

    def of(self, practice: Practice) -> Served:
        """What this practice used. Raises StopIteration if it was not replayed."""
        return next(each for each in self.served if each.practice.name == practice.name)

    def versus(
        self, practice: Practice, base: Sequence[Practice], *, wall: bool = False, comparisons: int
    ) -> Ratio | None:
        """CPU time (or wall time) over that of `base`, the mean of those, round by round."""

        def used(each: Practice) -> tuple[float, ...]:
            served = self.of(each)
            return served.wall_s if wall else served.cpu_s

        own = used(practice)
        bases = [used(each) for each in base]
        old = [sum(values) / len(values) for values in zip(*bases, strict=True)]
        return ratio(list(zip(own, old, strict=True)), seed=0, comparisons=comparisons)


@dataclass(frozen=True, slots=True)
class Untold:
    """Nothing was measured, and why."""

    reason: str


def replay_trace(
    replayer: Replayer,
    sample: Sample,
    module: SampledModule,
    practices: Sequence[Practice],
    *,
    seconds: float,
    seed: int,
    change: Change | None = None,
) -> Replayed | Untold:
    """Serve the module's captured requests by each practice, in one replay of the program.

    `change` is what else is switched in that replay. Raises CannotIsolateError, KeyboardInterrupt.
    """
    folder = replayer.new_folder("trace")
    options = {
        "folder": folder,
        "unpadded": _UNPADDED,
        "process": sample.folder,
        "calls": [{"number": c.number, "t_utc_ns": c.t_utc_ns} for c in module.kept],
        "practices": _orders(folder, practices),
        "rounds": ROUNDS,
        "seconds": seconds,
        "seed": seed,
        "most_requests": MOST_REQUESTS,
    }
    order = os.path.join(folder, "order.json")  # it may be too long for a variable
    with open(order, "w", encoding="utf-8") as file:
        json.dump(options, file)
    switch: dict[str, object] = {"factory": f"{_DRIVER}:make", "options": {"order": order}}
    switch.update({"class": module.kind, "training": True} if module.kind else {"training": True})
    others = {} if change is None else dict(change.switches)
    ask = {"switches": {**others, "replace": switch}}
    replay = replayer.replay(ask=ask, limit_s=_OVERTIME * seconds + _START_S)
    found = read_json(os.path.join(folder, "result.json"))
    if not found:
        what = "took too long" if replay.state == "timeout" else "ended before it was done"
        return Untold(f"the replay of its requests {what}")
    if "why_not" in found:
        return Untold(str(found["why_not"]))
    return _replayed(found, practices, folder)


def _orders(folder: str, practices: Sequence[Practice]) -> list[dict[str, object]]:
    """What the driver is told of each; answers are kept where something lossy is to be judged."""
    judged = any(each.lossy for each in practices)
    return [
        each.as_order(_answers(folder, at) if judged and (at == 0 or each.lossy) else None)
        for at, each in enumerate(practices)
    ]


def _answers(folder: str, place: int) -> str:
    return os.path.join(folder, f"answers-{place}")


def _replayed(found: Mapping[str, Any], practices: Sequence[Practice], folder: str) -> Replayed:
    return Replayed(
        requests=int(found["requests"]),
        distinct=int(found["distinct"]),
        calls=int(found["calls"]),
        threads=int(found["threads"]),
        served=tuple(_served(found, each, folder, at) for at, each in enumerate(practices)),
    )


def _served(found: Mapping[str, Any], practice: Practice, folder: str, place: int) -> Served:
    passes = [each for each in found["passes"] if each["practice"] == practice.name]
    distance = found["distances"][practice.name]
    return Served(
        practice=practice,
        cpu_s=tuple(float(each["cpu_s"]) for each in passes),
        wall_s=tuple(float(each["wall_s"]) for each in passes),
        batches=int(passes[0]["batches"]),
        hits=int(passes[0]["hits"]),
        distance=float(distance["distance"]),
        largest=float(distance["largest"]),
        latency=_latency([each["latencies_s"] for each in passes]),
        answers=_pairs(folder, place) if practice.lossy else (),
    )


def _pairs(folder: str, place: int) -> tuple[tuple[Output, Output], ...]:
    """The answers to the trace as it came, and those of a practice."""
    own, new = read_outputs(_answers(folder, 0)), read_outputs(_answers(folder, place))
    return tuple(zip(own, new, strict=False))


def _latency(rounds: Sequence[Sequence[float] | None]) -> Latency | None:
    """The quantiles over all rounds; None where nobody waited for an answer."""
    values = sorted(value for each in rounds for value in each or ())
    if not values:
        return None

    def at(share: float) -> float:
        return values[min(len(values) - 1, int(share * len(values)))]

    return Latency(at(0.5), at(0.95), at(0.99))
