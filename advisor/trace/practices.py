"""Ways to serve the same requests: which are worth a replay for this program, and the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from advisor.techniques.base import Applicability

if TYPE_CHECKING:
    from advisor.inside import Root
    from advisor.sampling import SampledCall, SampledModule
    from advisor.techniques.base import Variant

# With fewer requests than this no order of them says anything.
LEAST_REQUESTS = 32
BATCH = 32
# Requests that wait for each other where lengths are sorted: enough to find like ones, and few
# enough to hold.
WINDOW = 256
_CACHE_SHARES = (0.1, 1.0)  # of the distinct requests, as sizes of a cache
_LEAST_REPEATS = 0.1
_LEAST_PADDING = 0.05
# A batch waits this part of the limit at most: the rest is for serving it.
_WAIT_SHARE = 0.5

_SORTED = """order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
results = [None] * len(texts)
for begin in range(0, len(order), {batch}):
    places = order[begin : begin + {batch}]
    found = embed([texts[at] for at in places])  # your call of the model, padded to the longest
    for at, each in zip(places, found):
        results[at] = each"""
_BATCHED = """# collect what arrives within {wait_ms:g} ms of the first request, {batch} at most:
batch = [requests.get()]
until = time.monotonic() + {wait_s:.3g}
while len(batch) < {batch} and (left := until - time.monotonic()) > 0:
    try:
        batch.append(requests.get(timeout=left))
    except queue.Empty:
        break
answers = embed([each.text for each in batch])  # your call of the model, for all at once"""
_CACHED = """@functools.lru_cache(maxsize={cache})
def answer(text):
    return embed([text])[0]  # your call of the model, for one request"""


@dataclass(frozen=True, slots=True)
class Practice:
    """One way to serve. `batch` 0: as the program calls; `wait_s` None: nobody waits for answers.

    `window` requests are sorted by length together. `cache` answers are kept, 0: none. `threads`
    None: as the program has them. `inner` is another implementation of the module, as the value of
    the hook's switch `replace`; `lossy` where it computes in another precision, for which it saw
    inputs with the digests `calibrated`.
    """

    name: str
    batch: int = 0
    window: int = 0
    wait_s: float | None = None
    cache: int = 0
    threads: int | None = None
    inner: Mapping[str, object] | None = None
    lossy: bool = False
    calibrated: frozenset[str] = frozenset()
    code: str = ""
    risk: str = ""

    def as_order(self, answers: str | None = None) -> dict[str, object]:
        """What the driver is told. `answers` is a folder for what comes out."""
        return {
            "answers": answers,
            "name": self.name,
            "batch": self.batch,
            "window": self.window,
            "wait_s": self.wait_s,
            "cache": self.cache,
            "threads": self.threads,
            "inner": None if self.inner is None else dict(self.inner),
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """What the requests of one module look like, from its captured calls alone.

    `rows` are requests in one call, in the middle; `repeats` the share of calls whose inputs had
    been there before; `padding` that of positions which a mask calls padding.
    """

    calls: int
    rows: int
    repeats: float
    distinct: int
    padding: float
    lengths: int

    @property
    def requests(self) -> int:
        return self.calls * self.rows


def trace_of(module: SampledModule, root: Root | None) -> Trace:
    """The trace of a module that was captured; `root` is what a look saw of the same one."""
    digests = [call.inputs_digest for call in module.calls if call.inputs_digest]
    distinct = len(set(digests))
    padding = root.padding if root is not None else None
    sizes = sorted(_rows(call) for call in module.kept) or [0]
    shapes = {str(sorted(call.shapes.items())) for call in module.kept}
    return Trace(
        calls=len(module.kept),
        rows=sizes[len(sizes) // 2],
        repeats=1 - distinct / len(digests) if digests else 0.0,
        distinct=distinct,
        padding=padding.share if padding is not None else 0.0,
        lengths=len(shapes),
    )


def _rows(call: SampledCall) -> int:
    return max((shape[0] for _, shape in call.shapes.values() if shape), default=0)


def practices(
    trace: Trace, latency_limit_s: float | None
) -> tuple[list[Practice], dict[str, Applicability]]:
    """What to replay, and for each practice whether it applies, with the reason."""
    found: list[Practice] = []
    answers: dict[str, Applicability] = {}

    def offer(name: str, answer: Applicability, *made: Practice) -> None:
        answers[name] = answer
        if answer.yes:
            found.extend(made)

    offer("sorting by length", _sorting(trace), *_sorted_batches(trace))
    offer("batching", _batching(trace, latency_limit_s), *_batches(latency_limit_s))
    offer("caching", _caching(trace), *_caches(trace))
    return found, answers


def _sorting(trace: Trace) -> Applicability:
    if trace.requests < LEAST_REQUESTS:
        return Applicability(False, f"{trace.requests} requests are too few to sort")
    if trace.rows <= 1:
        return Applicability(False, "its calls hold one request each: batching is tried instead")
    if trace.padding < _LEAST_PADDING:
        share = f"{trace.padding * 100:.0f} %"
        return Applicability(False, f"its batches are of like lengths: {share} padding")
    share = f"{trace.padding * 100:.0f} %"
    return Applicability(True, f"{share} of what its batches of {trace.rows} hold is padding")


def _sorted_batches(trace: Trace) -> list[Practice]:
    size = max(2, trace.rows)
    window = max(WINDOW, 8 * size)
    return [_sorted_in(size, window)]


def _sorted_in(size: int, window: int) -> Practice:
    return Practice(
        f"sorted, batches of {size}",
        batch=size,
        window=window,
        code=_SORTED.format(batch=size),
        risk=f"answers come in another order until {window} requests are done",
    )


def _batching(trace: Trace, latency_limit_s: float | None) -> Applicability:
    if trace.requests < LEAST_REQUESTS:
        return Applicability(False, f"{trace.requests} requests are too few to batch")
    if trace.rows > 1:
        return Applicability(False, f"its calls hold {trace.rows} requests already")
    if latency_limit_s is None:
        return Applicability(True, "its calls hold one request each, and no latency limit is set")
    return Applicability(True, f"one request a call, {latency_limit_s * 1000:g} ms to answer in")


def _batches(latency_limit_s: float | None) -> list[Practice]:
    if latency_limit_s is None:
        return [_sorted_in(8, WINDOW), _sorted_in(BATCH, WINDOW)]
    wait_s = _WAIT_SHARE * latency_limit_s
    return [
        Practice(
            f"batched within {latency_limit_s * 1000:g} ms",
            batch=BATCH,
            wait_s=wait_s,
            code=_BATCHED.format(batch=BATCH, wait_s=wait_s, wait_ms=wait_s * 1000),
            risk=f"a request waits up to {wait_s * 1000:g} ms for others",
        )
    ]


def _caching(trace: Trace) -> Applicability:
    if trace.requests < LEAST_REQUESTS:
        return Applicability(False, f"{trace.requests} requests are too few to see repeats")
    share = f"{trace.repeats * 100:.3g} % of its calls repeat an earlier one"
    if trace.repeats < _LEAST_REPEATS:
        return Applicability(False, share)
    return Applicability(True, f"{share}, {trace.distinct:,} are distinct")


def _caches(trace: Trace) -> list[Practice]:
    distinct = trace.distinct * max(1, trace.rows)
    sizes = sorted({max(1, int(distinct * share)) for share in _CACHE_SHARES})
    return [
        Practice(
            f"cache of {size:,}",
            cache=size,
            code=_CACHED.format(cache=size),
            risk="right only while equal requests have equal answers: key it with the version of"
            " the model",
        )
        for size in sizes
    ]


def stacked(chosen: Sequence[Practice]) -> Practice | None:
    """Several at once: the batches of one with the cache of another; None if that is only one."""
    batches = [each for each in chosen if each.batch]
    caches = [each for each in chosen if each.cache]
    if not batches or not caches:
        return None
    batch, cache = batches[-1], caches[-1]
    return Practice(
        f"{batch.name} + {cache.name}",
        batch=batch.batch,
        window=batch.window,
        wait_s=batch.wait_s,
        cache=cache.cache,
        code=f"{cache.code}\n{batch.code}",
        risk=f"{batch.risk}; {cache.risk}",
    )


def with_inner(practice: Practice, variant: Variant) -> Practice | None:
    """A practice with what a change puts in the module's place; None if it puts nothing there."""
    switch = variant.change.switches.get("replace")
    if not isinstance(switch, Mapping):
        return None
    inner = switch
    if switch.get("outer"):  # un-padding: batches are arranged by the practice here
        options = switch.get("options")
        found = options.get("inner") if isinstance(options, Mapping) else None
        if not isinstance(found, Mapping):
            return None
        inner = found
    name = " + ".join(part for part in variant.name.split(" + ") if not _arranges(part))
    code = "\n".join(each for each in (variant.code, practice.code) if each)
    return replace(
        practice,
        name=f"{practice.name}, {name}",
        inner={key: inner[key] for key in ("factory", "options") if key in inner},
        lossy=variant.lossy,
        calibrated=frozenset(variant.calibrated),
        code=code,
        risk="; ".join(each for each in (practice.risk, variant.risk) if each),
    )


def _arranges(part: str) -> bool:
    return part in ("un-padding", "one thread", "inference mode")
