"""What a program or a change needs beside energy, as a person reads it: latency, memory, disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalwatch.report.format import duration, significant


def latency_in_words(found: Mapping[str, Any] | None) -> str:
    """`p50 12 ms, p95 15 ms per call`; empty for unknown."""
    if not found:
        return ""
    parts = [
        f"{name} {duration(found[f'{name}_s'])}"
        for name in ("p50", "p95", "p99")
        if found.get(f"{name}_s") is not None
    ]
    return f"{', '.join(parts)} per {found.get('unit', 'unit')}" if parts else ""


def memory_in_words(value: float | None) -> str:
    """`412 MiB`; empty for unknown."""
    return "" if value is None else f"{value / 2**20:.0f} MiB"


def size_in_words(value: float | None) -> str:
    """`4.2 MB`; empty for unknown."""
    return "" if value is None else f"{significant(value / 1e6, 2)} MB"
