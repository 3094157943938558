"""What the replay of a trace comes to: recommendations of kind `replayed on trace`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from advisor.agreement import ROUNDING
from advisor.gates.gate import gate
from advisor.gates.options import GateOptions
from advisor.gates.result import GateResult
from advisor.trace.measure import AGAIN, AS_IT_CAME, ONE_THREAD, Replayed, Served, Untold
from advisor.trace.practices import Practice, practices, stacked, trace_of, with_inner

if TYPE_CHECKING:
    from collections.abc import Callable

    from advisor.inside import Inside
    from advisor.sampling import Sample
    from advisor.statistics import Ratio
    from advisor.techniques.base import Applicability, Variant

    Replaying = Callable[[list[Practice]], Replayed | Untold]

KIND = "replayed on trace"
_TOO_NOISY = 0.25
_SWAPS = 2  # other implementations of the module that are tried in batches


@dataclass(frozen=True, slots=True)
class Serving:
    """All that was found of how a program serves its requests; `reason` says why nothing was."""

    module: str
    replayed: Replayed | None
    answers: Mapping[str, Applicability]
    reason: str = ""
    latency_limit_s: float | None = None
    gate: GateOptions = field(default_factory=GateOptions)

    def as_json(self) -> dict[str, object]:
        """The document's key `trace`; null figures are unknown."""
        rows = self._rows() if self.replayed is not None else []
        return {
            "kind": KIND,
            "module": self.module,
            "reason": self.reason,
            "requests": self.replayed.requests if self.replayed else 0,
            "distinct": self.replayed.distinct if self.replayed else 0,
            "threads": self.replayed.threads if self.replayed else None,
            "latency_limit_s": self.latency_limit_s,
            "resolution": self._resolution(),
            "baselines": self._baselines(),
            "recommendations": [
                {"number": f"T{place}", **row}
                for place, row in enumerate((r for r in rows if r["verdict"] == "saves"), 1)
            ],
            "not_recommended": [row for row in rows if row["verdict"] != "saves"],
            "tried": _reasons(self.answers, yes=True),
            "not_tried": _reasons(self.answers, yes=False),
        }

    def _resolution(self) -> float | None:
        itself = self._ratio(AGAIN, (AS_IT_CAME,))
        return None if itself is None else max(itself.high - 1, 1 - itself.low)

    def _ratio(
        self, practice: Practice, base: tuple[Practice, ...], *, wall: bool = False
    ) -> Ratio | None:
        if self.replayed is None:
            return None
        count = max(1, len(self.replayed.served) - 3)  # of which each is compared with the trace
        return self.replayed.versus(practice, base, wall=wall, comparisons=count)

    def _baselines(self) -> list[dict[str, object]]:
        if self.replayed is None:
            return []
        count = self.replayed.requests
        found = []
        for practice in (AS_IT_CAME, ONE_THREAD):
            served = self.replayed.of(practice)
            found.append(
                {
                    "name": practice.name,
                    "cpu_s_per_request": _middle(served.cpu_s) / count,
                    "wall_s_per_request": _middle(served.wall_s) / count,
                    "latency": served.latency.as_json() if served.latency else None,
                }
            )
        return found

    def _rows(self) -> list[dict[str, object]]:
        assert self.replayed is not None
        bases = (AS_IT_CAME.name, AGAIN.name, ONE_THREAD.name)
        rows = [self._row(s) for s in self.replayed.served if s.practice.name not in bases]
        return sorted(rows, key=_cautious)

    def _row(self, served: Served) -> dict[str, object]:
        assert self.replayed is not None
        practice, count = served.practice, self.replayed.requests
        main = self._ratio(practice, (AS_IT_CAME, AGAIN))
        fair = self._ratio(practice, (ONE_THREAD,))
        wall = self._ratio(practice, (AS_IT_CAME, AGAIN), wall=True)
        judged = self._judged(served)
        verdict, reason = self._verdict(served, main, fair, judged)
        return {
            "name": practice.name,
            "kind": KIND,
            "verdict": verdict,
            "reason": reason,
            "ratio": None if main is None else main.as_json(),
            "versus_one_thread": None if fair is None else fair.as_json(),
            "wall_ratio": None if wall is None else wall.as_json(),
            "cpu_s_per_request": _middle(served.cpu_s) / count,
            "batches": served.batches,
            "hit_rate": served.hits / count if practice.cache else None,
            "cache_size": practice.cache or None,
            "latency": served.latency.as_json() if served.latency else None,
            "quality": {
                "finding": _finding(served),
                "distance": served.distance,
                "largest_distance": served.largest,
                "lossless": 0 <= served.largest <= ROUNDING,
                "gate": judged.as_json() if isinstance(judged, GateResult) else None,
            },
            "code": practice.code,
            "risk": practice.risk,
        }

    def _judged(self, served: Served) -> GateResult | str | None:
        """What a gate says of a practice in another precision; a text where it cannot say."""
        if not served.practice.lossy:
            return None
        found = gate(served.answers, self.gate, calibrated=served.practice.calibrated)
        return found if isinstance(found, GateResult) else found.reason

    def _verdict(
        self,
        served: Served,
        main: Ratio | None,
        fair: Ratio | None,
        judged: GateResult | str | None,
    ) -> tuple[str, str]:
        if isinstance(judged, str):
            return "cannot tell", judged
        if judged is not None and not judged.acceptable:
            beyond = judged.acceptable is False
            return "changes the answers" if beyond else "cannot tell", judged.sentence
        if judged is None and not 0 <= served.largest <= ROUNDING:
            return "changes the answers", f"answers move by {served.largest * 100:.2g} % at most"
        if main is None or fair is None:
            return "not confirmed", "too few rounds"
        limit = self.latency_limit_s
        if limit is not None and served.latency is not None and served.latency.p95_s > limit:
            late = f"{served.latency.p95_s * 1000:.3g} ms"
            return "too slow", f"one request in twenty is answered after {late} or more"
        # Fewer threads are an advice of their own: what the practice saves is what it saves beside.
        own = fair if served.practice.threads == 1 else main
        resolution = self._resolution() or 0.0
        if resolution > _TOO_NOISY:
            return "not confirmed", "the trace against itself differs by more than 25 %"
        if own.high >= 1 or 1 - own.value <= resolution:
            return "no clear saving", "not beyond the resolution"
        return "saves", judged.sentence if judged is not None else _finding(served)


def serve(
    sample: Sample | None,
    inside: Inside | None,
    latency_limit_s: float | None,
    replaying: Callable[..., Replayed | Untold],
    *,
    swaps: Sequence[Variant] = (),
    gates: GateOptions | None = None,
) -> Serving | None:
    """Replay the trace of the busiest module by what applies; None where it serves nothing.

    `replaying(sample, module, practices)` does the replay. `swaps` are changes that won in the
    program: batches are also run by what they put in the module's place.
    """
    if inside is None or inside.learns or not inside.roots or sample is None:
        return None
    module = max(sample.modules, key=lambda each: len(each.calls))
    root = next((r for r in inside.roots if r.name == module.kind), None)
    found, answers = practices(trace_of(module, root), latency_limit_s)
    if not found:
        return Serving(module.kind, None, answers, "", latency_limit_s)
    both = stacked(found)
    entrants = [*found, both] if both else found
    widest = max((each for each in entrants if each.batch), key=_breadth, default=None)
    inner = [with_inner(widest, each) for each in swaps] if widest is not None else []
    distinct = {json.dumps(each.as_order()["inner"]): each for each in inner if each is not None}
    entrants = [_on_one_thread(each) for each in (*entrants, *list(distinct.values())[:_SWAPS])]
    replayed = replaying(sample, module, [AS_IT_CAME, AGAIN, ONE_THREAD, *entrants])
    if isinstance(replayed, Untold):
        return Serving(module.kind, None, answers, replayed.reason, latency_limit_s)
    return Serving(module.kind, replayed, answers, "", latency_limit_s, gates or GateOptions())


def _breadth(practice: Practice) -> tuple[int, int]:
    return practice.batch, practice.cache


def _on_one_thread(practice: Practice) -> Practice:
    return replace(practice, threads=1)


def _finding(served: Served) -> str:
    if served.largest == 0:
        return "identical"
    return "to rounding" if 0 < served.largest <= ROUNDING else "differs"


def _middle(values: tuple[float, ...]) -> float:
    from statistics import median

    return median(values)


def _cautious(row: Mapping[str, object]) -> float:
    found = row["ratio"]
    return float(found["high"]) if isinstance(found, dict) else float("inf")


def _reasons(answers: Mapping[str, Applicability], *, yes: bool) -> list[dict[str, str]]:
    return [
        {"technique": name, "reason": each.reason}
        for name, each in answers.items()
        if each.yes is yes
    ]
