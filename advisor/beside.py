"""What is found beside the search for changes: serving on a trace, and hot spots elsewhere.

Both are probes of the program as written, after everything that is compared has been measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from advisor.hot_spots import find_hot_spots
from advisor.trace.found import Serving, serve
from advisor.trace.measure import Replayed, Untold, replay_trace

if TYPE_CHECKING:
    from advisor.gates.options import GateOptions
    from advisor.replay import Replayer
    from advisor.sampling import Sample, SampledModule
    from advisor.techniques.base import Facts, Variant
    from advisor.trace.practices import Practice

# Of the time for all: what the trace may use of it, and where nothing is left of that.
_TRACE_SHARE, _TRACE_OVERDUE_SHARE = 0.3, 0.2
_TRACE_LEAST_S, _TRACE_MOST_S = 10.0, 120.0
_PROFILE_LIMIT_S = 600.0
# Of its work: where more is surely outside of its modules, how they are called is not looked at.
_HARDLY_THE_MODEL = 0.9


def beside(
    replayer: Replayer,
    facts: Facts,
    *,
    time_s: float | None,
    left_s: float,
    latency_limit_s: float | None,
    seed: int,
    swaps: Sequence[Variant],
    gates: GateOptions,
    tell: Callable[[str], None],
) -> dict[str, object]:
    """The document's keys `trace` and `hot_spots`, null where there is nothing to say.

    `time_s` is that of the whole search, `left_s` what is left of it, `swaps` are the changes that
    won in it. Raises CannotIsolateError and KeyboardInterrupt.
    """
    if facts.inside is None:
        return {"trace": None, "hot_spots": None}
    tell("a profile of the program as written")
    spots = find_hot_spots(replayer, _PROFILE_LIMIT_S, learns=facts.inside.learns)
    if spots is not None and spots.outside.low > _HARDLY_THE_MODEL:
        most = f"{100 * (1 - spots.outside.low):.2g} %"
        reason = f"its modules use {most} of the CPU time of its work at most"
        serving: Serving | None = Serving("", None, {}, reason)
    else:
        serving = _served(
            replayer,
            facts,
            time_s=time_s,
            left_s=left_s,
            latency_limit_s=latency_limit_s,
            seed=seed,
            swaps=swaps,
            gates=gates,
            tell=tell,
        )
    return {
        "trace": None if serving is None else serving.as_json(),
        "hot_spots": None if spots is None else spots.as_json(),
    }


def _served(
    replayer: Replayer,
    facts: Facts,
    *,
    time_s: float | None,
    left_s: float,
    latency_limit_s: float | None,
    seed: int,
    swaps: Sequence[Variant],
    gates: GateOptions,
    tell: Callable[[str], None],
) -> Serving | None:
    wanted_s = _TRACE_MOST_S
    if time_s is not None:
        wanted_s = min(_TRACE_SHARE * time_s, max(left_s, _TRACE_OVERDUE_SHARE * time_s))
    seconds = min(_TRACE_MOST_S, max(_TRACE_LEAST_S, wanted_s))

    def replaying(
        sample: Sample, module: SampledModule, practices: list[Practice]
    ) -> Replayed | Untold:
        tell("the trace of its requests")
        return replay_trace(replayer, sample, module, practices, seconds=seconds, seed=seed)

    assert facts.inside is not None
    return serve(facts.sample, facts.inside, latency_limit_s, replaying, swaps=swaps, gates=gates)
