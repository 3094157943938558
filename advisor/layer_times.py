"""Where the time of a program's modules goes by layer, from the calls that a profile watched."""

from __future__ import annotations

from collections.abc import Sequence

from frugalwatch.profile.layers import read_roots
from frugalwatch.profile.recorded import Process

_MOST = 12


def time_by_layer(processes: Sequence[Process]) -> list[dict[str, object]]:
    """The layers that take most, each with its own time and none of the layers inside it.

    `share` is of the time of all watched calls, forward and backward together.
    """
    times: dict[tuple[str, str], int] = {}
    for root in read_roots(processes):
        for layer in root.layers:
            name = f"{root.kind}.{layer.name}" if layer.name else root.kind
            key = (name, layer.kind)
            times[key] = times.get(key, 0) + layer.own_ns + layer.backward_ns
    whole = sum(times.values())
    if not whole:
        return []
    ordered = sorted(times.items(), key=lambda entry: -entry[1])[:_MOST]
    return [
        {"name": name, "kind": kind, "share": time_ns / whole} for (name, kind), time_ns in ordered
    ]
