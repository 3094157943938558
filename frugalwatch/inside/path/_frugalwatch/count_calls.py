"""Counts root module calls: how many, of how many samples, and how long each took."""

from __future__ import annotations

from .tallies import tallies_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # the job's own objects

    from .calls import RootCall
    from .line import Line
    from .tallies import Spent

# Containers are looked into this deep for the tensor that tells the size of a batch.
_DEPTH = 2


class CallCounter:
    """Listens to root calls. A call that failed counts, for it was made; it has no samples."""

    def __init__(self, line: Line) -> None:
        self._tallies = tallies_of(line)
        self._tally = self._tallies.tally("call")
        self._tallies.known_better.add("evaluation")
        self._by_thread: dict[int, tuple[list[int], Spent, Spent]] = {}

    def begin(self, call: RootCall) -> None:
        """Nothing yet."""

    def end(self, call: RootCall) -> None:
        """Count it. Its time is one of learning or one of using the model."""
        kept = self._by_thread.get(call.thread)
        if kept is None:
            kept = self._by_thread[call.thread] = self._kept()
        durations, learning, using = kept
        duration_ns = call.ended_ns - call.began_ns
        durations.append(duration_ns)
        (learning if call.training and call.grad else using).total_ns += duration_ns
        samples = sample_count(call) if call.error is None else 0
        self._tally.add(call.ended_ns, 1, samples)

    def _kept(self) -> tuple[list[int], Spent, Spent]:
        """What this thread's calls are counted into."""
        spent = self._tallies.spent
        return self._tally.cell().durations, spent("forward"), spent("evaluation")


def sample_count(call: RootCall) -> int | None:
    """How many samples a call has: the first dimension of its first tensor; None if it has none."""
    for group in (call.args, call.kwargs.values()):
        for value in group:
            found = _first_dimension(value, _DEPTH)
            if found is not None:
                return found
    return None


def _first_dimension(value: Any, depth: int) -> int | None:
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "dtype"):
        return int(shape[0]) if len(shape) else None
    if depth and isinstance(value, (list, tuple)):
        inner = list(value)
    elif depth and hasattr(value, "values") and hasattr(value, "keys"):
        inner = list(value.values())
    else:
        return None
    for item in inner:
        found = _first_dimension(item, depth - 1)
        if found is not None:
            return found
    return None
