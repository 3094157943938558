"""Joules by torch module, from the calls of root modules that were watched.

A layer's part of the energy of all forward passes is its part of the time of the watched ones, and
so for backward. On a GPU the time is that of CUDA events, and the energy the GPU's (unverified on
hardware).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from frugalwatch.profile.packages import BACKWARD, FORWARD
from frugalwatch.profile.power import Power
from frugalwatch.profile.recorded import Process
from frugalwatch.profile.tree import Amount

_OTHER = "(not in the model)"


@dataclass(slots=True)
class Layer:
    """One module of one root, over its watched calls. Times in ns, summed."""

    name: str
    kind: str
    parameters: int
    calls: int = 0
    total_ns: int = 0
    own_ns: int = 0
    backward_ns: int = 0
    flops: int = 0
    flops_known: bool = True
    gpu_ns: int | None = None


@dataclass(slots=True)
class Root:
    """One root module of one process, or of all that have the same."""

    kind: str
    layers: list[Layer]
    calls: int = 0
    learning: int = 0
    wall_ns: int = 0
    watched: int = 0
    watched_backward: int = 0
    backward_ns: int = 0
    firsts: list[list[Any]] = field(default_factory=list)

    @property
    def forward_ns(self) -> int:
        """Of the watched calls."""
        return sum(layer.own_ns for layer in self.layers)


def read_roots(processes: Sequence[Process]) -> list[Root]:
    """Every root module; those of several processes with the same layers are one."""
    merged: dict[tuple[object, ...], Root] = {}
    for process in processes:
        for root in _of_process(process):
            key = tuple((layer.name, layer.kind, layer.parameters) for layer in root.layers)
            if key in merged:
                _merge(merged[key], root)
            else:
                merged[key] = root
    return [root for root in merged.values() if root.watched]


def _of_process(process: Process) -> list[Root]:
    roots: dict[int, Root] = {}
    for line in process.layers:
        kind, number = line[0], line[1]
        if kind == "root":
            layers = [Layer(*row) for row in line[2]]
            roots[number] = Root(layers[0].kind, [*layers, Layer(_OTHER, "", 0)])
        elif kind == "counts":
            for at, calls, learning, wall_ns in number:
                if at in roots:
                    root = roots[at]
                    root.calls, root.learning, root.wall_ns = calls, learning, wall_ns
        elif kind == "call" and number in roots:
            _take_call(roots[number], line)
    for root in roots.values():
        if not root.watched and root.firsts:  # the only calls there were
            for line in root.firsts:
                _add_call(root, line)
    return list(roots.values())


def _take_call(root: Root, line: list[Any]) -> None:
    """The first call of a root warms up caches and picks algorithms: it is no sample of others."""
    if line[2] == 0:
        root.firsts.append(line)
    else:
        _add_call(root, line)


def _add_call(root: Root, line: list[Any]) -> None:
    _, _, _, _, backward_ns, rows = line
    root.watched += 1
    if backward_ns:
        root.watched_backward += 1
        root.backward_ns += backward_ns
    for index, calls, total, own, flops, back, gpu in rows:
        layer = root.layers[index]
        layer.calls += calls
        layer.total_ns += total
        layer.own_ns += own
        layer.backward_ns += back
        if flops < 0:
            layer.flops_known = False
        else:
            layer.flops += flops
        if gpu is not None:
            layer.gpu_ns = (layer.gpu_ns or 0) + gpu


def _merge(into: Root, other: Root) -> None:
    for name in ("calls", "learning", "wall_ns", "watched", "watched_backward", "backward_ns"):
        setattr(into, name, getattr(into, name) + getattr(other, name))
    for mine, theirs in zip(into.layers, other.layers, strict=True):
        for name in ("calls", "total_ns", "own_ns", "backward_ns", "flops"):
            setattr(mine, name, getattr(mine, name) + getattr(theirs, name))
        mine.flops_known = mine.flops_known and theirs.flops_known
        if theirs.gpu_ns is not None:
            mine.gpu_ns = (mine.gpu_ns or 0) + theirs.gpu_ns


def layer_objects(
    roots: Sequence[Root], parts: Mapping[str, Amount], power: Power
) -> list[dict[str, Any]]:
    """One object for each root, the layers inside sorted by what they used, most first."""
    forward, backward = parts.get(FORWARD, Amount()), parts.get(BACKWARD, Amount())
    all_forward_ns = sum(root.wall_ns for root in roots)
    all_backward_ns = sum(_backward_of_all(root) for root in roots)
    objects = []
    for root in roots:
        forward_part = _ratio(root.wall_ns, all_forward_ns)
        backward_part = _ratio(_backward_of_all(root), all_backward_ns)
        split = _Split(forward, forward_part, backward, backward_part)
        rows = [
            _layer(root, layer, split, power)
            for layer in root.layers
            if layer.calls or layer.backward_ns
        ]
        whole = sum(row["cpu_s"] for row in rows)
        for row in rows:
            row["share"] = _ratio(row["cpu_s"], whole)
        rows.sort(key=lambda row: row["cpu_s"], reverse=True)
        objects.append(
            {
                "root": root.kind,
                "calls": root.calls,
                "learning_calls": root.learning,
                "watched_calls": root.watched,
                "watched_backward_calls": root.watched_backward,
                "parameters": sum(layer.parameters for layer in root.layers),
                "call_s": _mean_s(root.layers[0].total_ns, root.layers[0].calls),
                "backward_s": _mean_s(root.backward_ns, root.watched_backward),
                "flops_per_call": sum(layer.flops for layer in root.layers) / root.watched,
                "flops_known": all(layer.flops_known for layer in root.layers),
                "energy_j": sum(row["energy_j"] for row in rows),
                "estimated_j": sum(row["estimated_j"] for row in rows),
                "layers": rows,
            }
        )
    objects.sort(key=lambda found: sum(row["cpu_s"] for row in found["layers"]), reverse=True)
    return objects


def _backward_of_all(root: Root) -> float:
    """Of every learning call, from the watched ones."""
    if not root.watched_backward:
        return 0.0
    return root.backward_ns / root.watched_backward * max(root.learning, root.watched_backward)


class _Split(NamedTuple):
    """What all forward and all backward passes used, and which parts of it are this root's."""

    forward: Amount
    forward_part: float
    backward: Amount
    backward_part: float


def _layer(root: Root, layer: Layer, split: _Split, power: Power) -> dict[str, Any]:
    ahead = split.forward_part * _ratio(layer.own_ns, root.forward_ns)
    back = split.backward_part * _ratio(layer.backward_ns, root.backward_ns)
    forward, backward = split.forward, split.backward
    calls = max(1, layer.calls)
    flops = layer.flops / calls if layer.flops_known else None
    own_s = layer.own_ns / 1e9 / calls
    return {
        "name": layer.name or root.kind,
        "kind": layer.kind,
        "parameters": layer.parameters,
        "calls_per_root_call": layer.calls / root.watched,
        "forward_s": layer.total_ns / 1e9 / calls,
        "forward_self_s": own_s,
        "backward_s": _mean_s(layer.backward_ns, root.watched_backward),
        "flops": flops,
        "flops_per_s": flops / own_s if flops and own_s > 0 else None,
        "cpu_s": ahead * forward.cpu_s + back * backward.cpu_s,
        "energy_j": ahead * forward.energy_j + back * backward.energy_j,
        "estimated_j": ahead * forward.estimated_j + back * backward.estimated_j,
        **_on_gpu(root, layer, power),
    }


def _on_gpu(root: Root, layer: Layer, power: Power) -> dict[str, float | None]:
    """The layer's time on the GPU and its part of the GPU's energy. Unverified on hardware.

    As if the GPU drew the same power while it worked on any layer, forward passes only.
    """
    if layer.gpu_ns is None:
        return {"gpu_s": None, "gpu_energy_j": None}
    children = sum(
        other.gpu_ns or 0
        for other in root.layers
        if other is not layer and other.name.rpartition(".")[0] == layer.name and other.name
    )
    own_s = max(0, layer.gpu_ns - children) / 1e9 / root.watched
    energy = None
    if power.gpu is not None and power.window.length:
        busy = min(1.0, own_s * root.calls / (power.window.length / 1e9))
        energy = power.gpu.value * busy
    return {"gpu_s": own_s, "gpu_energy_j": energy}


def _mean_s(total_ns: float, count: int) -> float | None:
    return total_ns / 1e9 / count if count else None


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
