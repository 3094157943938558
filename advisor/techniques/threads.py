"""How many threads the numeric libraries use.

On batch 1 a second thread often costs more in waiting and hand-over than it brings: on a shared
two-core host one thread needed 1.8 to 1.9 times less CPU for the same answers, and 5 to 9 times
less when others competed for the cores. So it is the first thing to try.
"""

from __future__ import annotations

from advisor.techniques.base import Applicability, Change, Facts, Variant

# Each is read by the library that it is named after when that starts its pool. PyTorch takes
# OMP_NUM_THREADS for its own operators and MKL_NUM_THREADS for matrix products.
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
)


def with_threads(count: int) -> Change:
    """Every library with so many threads."""
    return Change({name: str(count) for name in VARIABLES})


ONE_THREAD = with_threads(1)


def one_thread(facts: Facts) -> Change:
    """One thread everywhere, also in sessions of ONNX Runtime, whose pool no variable reaches."""
    if facts.inside is None or not facts.inside.sessions:
        return ONE_THREAD
    return ONE_THREAD.with_(Change(switches={"session_threads": 1}))


class Threads:
    """One thread; or all physical cores where the user chose fewer."""

    name = "threads"

    def applies(self, facts: Facts) -> Applicability:
        chosen = _chosen(facts)
        if facts.cpus < 2:
            return Applicability(False, "only one CPU can be used")
        if chosen is not None and chosen >= facts.cores:
            return Applicability(False, f"you set the number of threads yourself ({chosen})")
        if facts.threads_peak == 1:
            return Applicability(False, "no process had more than one thread")
        if chosen is not None:
            return Applicability(True, f"you set {chosen} threads, {facts.cores} cores are there")
        return Applicability(True, f"up to {facts.threads_peak or 'several'} threads in a process")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        chosen = _chosen(facts)
        if chosen is None:
            return (self._variant("one thread", one_thread(facts), 1),)
        change = with_threads(facts.cores)
        return (self._variant("a thread per core", change, facts.cores),)

    def _variant(self, name: str, change: Change, count: int) -> Variant:
        in_sessions = "session_threads" in change.switches
        return Variant(
            name=name,
            technique=self.name,
            change=change,
            claim="cpu",
            for_good="set these variables where the job is started, or call"
            f" torch.set_num_threads({count})"
            + (f"; SessionOptions.intra_op_num_threads = {count}" if in_sessions else ""),
            risk="a single request may take longer",
        )


def _chosen(facts: Facts) -> int | None:
    """The number of threads that the user asked for, None: the libraries' defaults."""
    for name in VARIABLES:
        first = facts.environment.get(name, "").split(",")[0].strip()
        if first.isdigit() and int(first) > 0:
            return int(first)
    return None
