"""Which matrix products of a model suffer most when their inputs are scaled to 8 bits as a whole.

In a building process. One copy of the model has a switch at each product, which rounds its inputs
as ONNX Runtime does at each call; switched on one by one, the answers tell what each one loses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any  # onnx, sessions, NumPy's arrays

from advisor.artefacts.timing import cpu_s, session, spread

_MOST_CALLS = 16
_LEAST_CALLS = 4
_MOST_S = 8.0  # of looking, about


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product with weights of its own: the node's name, its weights, and what it loses.

    `damage` is the mean square of the difference that its rounding makes to the model's answers, of
    their size.
    """

    name: str
    weights: int
    damage: float


def products(model: Any) -> dict[str, int]:
    """The names of products whose second factor is a weight, and how many weights that has."""
    sizes = {each.name: math.prod(each.dims) for each in model.graph.initializer}
    return {
        node.name: sizes[node.input[1]]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.name and node.input[1] in sizes
    }


def by_damage(model: Any, feeds: Sequence[Mapping[str, Any]]) -> list[Product]:
    """The model's products, first what loses most for each of its weights. `model` is changed."""
    import numpy

    found = products(model)
    switches = {name: f"frugalwatch.rounds.{at}" for at, name in enumerate(found)}
    _add_switches(model, switches)
    rounding = session(model.SerializeToString())
    off = dict.fromkeys(switches.values(), numpy.zeros((), "f4"))
    inputs = [{**off, **feed} for feed in spread(feeds, _MOST_CALLS)]
    cpu_s(rounding, inputs[:1])  # the first is slower
    once_s = max(1e-6, cpu_s(rounding, inputs[:1]))
    inputs = spread(inputs, max(_LEAST_CALLS, int(_MOST_S / once_s / (1 + len(found)))))
    plain = [_floats(rounding.run(None, feed)) for feed in inputs]
    size = sum(float((own * own).sum()) for answer in plain for own in answer) or 1.0
    graded = []
    for name, switch in switches.items():
        on = {switch: numpy.ones((), "f4")}
        moved = 0.0
        for feed, answer in zip(inputs, plain, strict=True):
            rounded = _floats(rounding.run(None, {**feed, **on}))
            moved += sum(float(((a - b) ** 2).sum()) for a, b in zip(answer, rounded, strict=True))
        graded.append(Product(name, found[name], moved / size))
    return sorted(graded, key=lambda p: (-p.damage / p.weights, p.name))


def _add_switches(model: Any, switches: Mapping[str, str]) -> None:
    """x becomes x + on * (rounded x - x) at each product, where `on` is an input of the model."""
    from onnx import TensorProto, helper

    nodes = []
    for node in model.graph.node:
        switch = switches.get(node.name)
        if switch is not None:
            given = node.input[0]
            value = helper.make_tensor_value_info(switch, TensorProto.FLOAT, [])
            model.graph.input.append(value)
            steps = ("whole", "scale", "zero", "rounded", "off_by", "part", "given")
            whole, scale, zero, rounded, off_by, part, taken = (f"{switch}.{s}" for s in steps)
            nodes += [
                helper.make_node("DynamicQuantizeLinear", [given], [whole, scale, zero]),
                helper.make_node("DequantizeLinear", [whole, scale, zero], [rounded]),
                helper.make_node("Sub", [rounded, given], [off_by]),
                helper.make_node("Mul", [off_by, switch], [part]),
                helper.make_node("Add", [given, part], [taken]),
            ]
            node.input[0] = taken
        nodes.append(node)
    copied = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copied)


def _floats(answer: Sequence[Any]) -> list[Any]:
    return [each.astype("f8") for each in answer if each.dtype.kind == "f"]
