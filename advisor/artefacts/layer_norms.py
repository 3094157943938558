"""Layer normalisation kept apart from the sum before it, for CPUs.

ONNX Runtime joins both into SkipLayerNormalization, which takes one number at a time there and so
several times as long as the two. That counts most where products are quick, in 8 bits. It knows the
sum by its operator Add, and leaves one by Sum, which computes the same, alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any  # onnx

from advisor.artefacts.timing import compared, session

_JOINED = "SkipLayerNormalization"
_LEAST_OPSET = 17  # which has LayerNormalization
_USUAL_EPSILON = 1e-12
# Below this the model is written anew; above, another form of the same is not worth it.
_WORTH_IT = 0.98
# Of the size of the answers: another order of sums does less in 32-bit floats, not in 8 bits.
_ROUNDING = 0.1
_MOST_BYTES = 2**31 - 1  # what one file of protobuf holds


def keep_apart_if_faster(folder: str, samples: Sequence[str]) -> int:
    """Write the model in `folder` with its norms apart, if it answers captured calls sooner so.

    Returns how many were joined; 0 where the model stays as it is.
    """
    import onnx

    path = os.path.join(folder, "model.onnx")
    model = onnx.load(path)
    count = keep_apart(model) if model.ByteSize() <= _MOST_BYTES else 0
    if not count or not samples:
        return 0
    found = compared(folder, folder, samples, new=session(model.SerializeToString()))
    if found["cpu_ratio"] > _WORTH_IT or found["distance"] > _ROUNDING:
        return 0
    onnx.save(model, path)
    return count


def keep_apart(model: Any) -> int:
    """Have the norms of `model`, which is changed, apart from sums; how many are joined to one."""
    from onnx import TensorProto

    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _LEAST_OPSET:
        return 0
    floats = {v.name for v in model.graph.initializer if v.data_type == TensorProto.FLOAT}
    norms = [n for n in model.graph.node if n.op_type == "LayerNormalization"]
    normed = {n.input[0] for n in norms if n.input[1] in floats}
    nodes: list[Any] = []
    count = 0
    for node in model.graph.node:
        # Statistics are part of the joined operator alone.
        if node.op_type == _JOINED and node.input[2] in floats and not any(node.output[1:3]):
            nodes += _apart(node, f"frugalwatch.norm.{count}")
            count += 1
            continue
        if node.op_type == "Add" and node.output[0] in normed:
            node.op_type = "Sum"
            count += 1
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return count


def _apart(node: Any, name: str) -> Iterator[Any]:
    from onnx import helper

    given = [*node.input, "", ""]
    whole, skip, scale, shift, bias = given[:5]
    if bias:  # beside the product, where the run time makes one step of both
        yield helper.make_node("Add", [whole, bias], [f"{name}.biased"])
        whole = f"{name}.biased"
    total = [*node.output, "", "", ""][3] or f"{name}.sum"
    yield helper.make_node("Sum", [whole, skip], [total])
    normed = [total, scale, shift] if shift else [total, scale]
    found = (helper.get_attribute_value(a) for a in node.attribute if a.name == "epsilon")
    epsilon = next(found, _USUAL_EPSILON)
    yield helper.make_node(
        "LayerNormalization", normed, [node.output[0]], name=node.name, axis=-1, epsilon=epsilon
    )
