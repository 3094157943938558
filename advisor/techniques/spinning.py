"""Threads that wait for work by sleeping, not by spinning.

An OpenMP worker spins after each parallel region (Intel's and LLVM's runtime for 200 ms, GNU's for
a number of turns), which burns a core while the next request is being prepared.
"""

from __future__ import annotations

from advisor.techniques.base import Applicability, Change, Facts, Variant

_RUNTIMES = ("libgomp", "libiomp5", "libomp")
_CHANGE = Change({"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"})


class Spinning:
    """Passive waiting of OpenMP threads."""

    name = "spinning"

    def applies(self, facts: Facts) -> Applicability:
        already = [name for name in _CHANGE.set if name in facts.environment]
        if already:
            return Applicability(False, f"you set {already[0]} yourself")
        if facts.cpus < 2:
            return Applicability(False, "only one CPU can be used")
        if facts.libraries is not None and not facts.has_library(*_RUNTIMES):
            return Applicability(False, "no OpenMP runtime was seen in its processes")
        if facts.threads_peak == 1:
            return Applicability(False, "no process had more than one thread")
        return Applicability(True, "it uses an OpenMP runtime, whose threads spin while they wait")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        return (
            Variant(
                name="no spinning",
                technique=self.name,
                change=_CHANGE,
                for_good="set these variables where the job is started",
                risk="waking a thread takes some micro-seconds longer",
            ),
        )
