"""Inputs of matrix products evened out, so that one scale in 8 bits suits them all.

What is large in a few channels of an input goes over to the weights: `x @ W = (x / s) @ (s W)`,
with `s = max|x| ** strength / max|W| ** (1 - strength)` for each channel. This is SmoothQuant (Xiao
et al. 2023, arXiv:2211.10438). In 32-bit floats nothing changes but rounding. The division stays a
step of its own: before it, residual connections want the input as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any  # onnx, sessions, NumPy's arrays

from advisor.artefacts.timing import session, spread

# Products whose first input has its channels last, as the weights have theirs first.
_PRODUCTS = ("MatMul", "Attention")
_MOST_CALLS = 64
# How much of what is uneven goes over to the weights: what mostly does best.
USUAL_STRENGTH = 0.8
_LEAST = 1e-5


def channel_peaks(model: Any, feeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The largest magnitude in each channel of the inputs of products, by the input's name."""
    import numpy
    from onnx import TensorProto, helper

    probe = type(model).FromString(model.SerializeToString())
    given = {each.name for each in probe.graph.input}
    wanted = {node.input[0] for node in _products(probe)}
    asked = sorted(wanted - given)
    answers = {each.name for each in probe.graph.output}
    for name in asked:
        if name not in answers:
            probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    running = session(probe.SerializeToString())
    found: dict[str, Any] = {}
    for feed in spread(feeds, _MOST_CALLS):
        seen = dict(zip(asked, running.run(asked, feed) if asked else (), strict=True))
        for name, value in {**seen, **{n: feed[n] for n in wanted & given}}.items():
            peak = numpy.abs(value).reshape(-1, value.shape[-1]).max(0)
            found[name] = numpy.maximum(found.get(name, 0.0), peak)
    return found


def smooth(model: Any, peaks: Mapping[str, Any], strength: float) -> int:
    """Even out the inputs of the model's products, which is changed; how many there are."""
    from onnx import helper

    weights = {each.name: each for each in model.graph.initializer}
    nodes: list[Any] = []
    count = 0
    for node in model.graph.node:
        peak = peaks.get(node.input[0]) if _is_product(node, weights) else None
        if peak is not None:
            scale, weight = _scaled(weights[node.input[1]], peak, strength)
            scale.name, weight.name = (f"frugalwatch.even.{count}.{n}" for n in ("by", "weight"))
            evened = f"frugalwatch.even.{count}"
            nodes.append(
                helper.make_node("Mul", [node.input[0], scale.name], [evened], name=evened)
            )
            model.graph.initializer.extend([scale, weight])
            node.input[0], node.input[1] = evened, weight.name
            count += 1
        nodes.append(node)
    copied = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copied)
    _drop_unused(model)
    return count


def _scaled(initializer: Any, peak: Any, strength: float) -> tuple[Any, Any]:
    """What the input is multiplied by, and the weights that make up for it."""
    import numpy
    from onnx import numpy_helper

    weight = numpy_helper.to_array(initializer)
    own = numpy.maximum(numpy.abs(weight).max(1), _LEAST)
    scale = numpy.maximum(peak, _LEAST) ** strength / own ** (1 - strength)
    scale = (scale / numpy.exp(numpy.log(scale).mean())).astype("f4")
    return (
        numpy_helper.from_array((1 / scale).astype("f4")),
        numpy_helper.from_array((weight * scale[:, None]).astype("f4")),
    )


def _products(model: Any) -> Iterator[Any]:
    weights = {each.name: each for each in model.graph.initializer}
    return (node for node in model.graph.node if _is_product(node, weights))


def _is_product(node: Any, weights: Mapping[str, Any]) -> bool:
    """Whether the node multiplies by a matrix of weights in 32-bit floats."""
    weight = weights.get(node.input[1]) if len(node.input) > 1 else None
    is_matrix = weight is not None and len(weight.dims) == 2 and weight.data_type == 1  # FLOAT
    return node.op_type in _PRODUCTS and is_matrix


def _drop_unused(model: Any) -> None:
    used = {name for node in model.graph.node for name in node.input}
    used |= {each.name for each in model.graph.output}
    kept = [each for each in model.graph.initializer if each.name in used]
    copied = [type(each).FromString(each.SerializeToString()) for each in kept]
    del model.graph.initializer[:]
    model.graph.initializer.extend(copied)
