"""What the user allows a change to need: latency of a request, and memory."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.footprint import Latency


@dataclass(frozen=True, slots=True)
class Limits:
    """`latency_s` holds for the 95th percentile; None: no limit."""

    latency_s: float | None = None
    memory_bytes: int | None = None

    def as_json(self) -> dict[str, object]:
        return {"latency_p95_s": self.latency_s, "memory_bytes": self.memory_bytes}

    def exceeded_by(self, latency: Latency | None, peak_memory_bytes: int | None) -> str:
        """Why it is beyond them, as the end of a sentence; empty where it is not.

        Where a limit is given and nothing could be measured, that is beyond it too: what is not
        known to be within the limit is not recommended.
        """
        if self.latency_s is not None:
            limit = f"your limit of {self.latency_s * 1000:g} ms"
            slow = None if latency is None else latency.p95_s or latency.p50_s
            if latency is None or slow is None:
                return f"its latency could not be measured, so {limit} cannot be checked"
            if slow > self.latency_s:
                which = "p95" if latency.p95_s is not None else "p50"
                return f"{slow * 1000:.3g} ms per {latency.unit} ({which}) is beyond {limit}"
        if self.memory_bytes is not None:
            limit = f"your limit of {self.memory_bytes / 2**20:g} MiB"
            if peak_memory_bytes is None:
                return f"its memory could not be measured, so {limit} cannot be checked"
            if peak_memory_bytes > self.memory_bytes:
                return f"{peak_memory_bytes / 2**20:.0f} MiB of memory are beyond {limit}"
        return ""
