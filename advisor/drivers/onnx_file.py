"""An ONNX file in an ordinary session of ONNX Runtime, with its defaults.

Threads, spinning, another model file: whoever replays this sets them by the hook's `session_`
switches, which act on any program's sessions (docs/reference/hook-contract.md).
"""

from __future__ import annotations

import os

from .inputs import read_requests, samples_in
from .job import Job, UnusableError, first_line
from .synthesis import REQUESTS, parse_dims, shape_of, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any  # onnxruntime's and NumPy's own objects

_TYPES = {"float": "float32", "double": "float64"}


def load(order: argparse.Namespace) -> Job:
    """The session and its requests. Raises UnusableError."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(
            order.path, providers=onnxruntime.get_available_providers()
        )
    except Exception as error:
        raise UnusableError(f"{order.path} cannot be loaded: {first_line(error)}") from error
    inputs = session.get_inputs()
    origin = "given" if order.inputs else "synthesised"
    if order.inputs:
        fixed = {each.shape[0] for each in inputs if each.shape}
        size = fixed.pop() if len(fixed) == 1 else None
        requests = read_requests(
            order.inputs,
            [each.name for each in inputs],
            [len(each.shape) for each in inputs],
            size if isinstance(size, int) else None,
            order.batch or 1,
        )
        requests = [_typed(request, inputs) for request in requests]
    else:
        chosen = parse_dims(order.dims)
        _refuse_unknown(chosen, inputs)
        requests = [_synthesised(inputs, chosen, number) for number in range(REQUESTS)]
    return Job(
        os.path.basename(order.path),
        requests,
        lambda request: session.run(None, request),
        inputs=origin,
        samples_per_call=samples_in(requests[0]),
        described=[f"{each.name} {_kind(each)} {_shape(requests, each.name)}" for each in inputs],
    )


def _synthesised(inputs: Any, chosen: dict[str, int], number: int) -> dict[str, Any]:
    return {
        each.name: values(each.name, _kind(each), shape_of(each.shape, _kind(each), chosen), number)
        for each in inputs
    }


def _typed(request: dict[str, Any], inputs: Any) -> dict[str, Any]:
    """Numbers in the type that the model takes; NumPy saves wider ones than models want."""
    kinds = {each.name: _kind(each) for each in inputs}
    return {
        name: array if kinds[name] == "str" else array.astype(kinds[name], copy=False)
        for name, array in request.items()
    }


def _refuse_unknown(chosen: dict[str, int], inputs: Any) -> None:
    names = {str(dim) for each in inputs for dim in each.shape if not isinstance(dim, int)}
    unknown = sorted(set(chosen) - names)
    if unknown:
        raise UnusableError(
            f"the model has no open dimension called {unknown[0]}",
            f"it has {', '.join(sorted(names)) or 'none'}",
        )


def _kind(described: Any) -> str:
    """`tensor(float)` as NumPy names it."""
    name = str(described.type).partition("(")[2].rstrip(")")
    return _TYPES.get(name, "str" if name == "string" else name)


def _shape(requests: list[dict[str, Any]], name: str) -> str:
    shapes = sorted({tuple(request[name].shape) for request in requests})
    first = "x".join(map(str, shapes[0]))
    return first if len(shapes) == 1 else f"{first} .. {'x'.join(map(str, shapes[-1]))}"
