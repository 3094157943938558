"""A program of `torch.export` (.pt2) or of TorchScript (.pt), called as a module.

Loading either may run code that is in the file, so `advise` makes sure first that it is this
user's own.
"""

from __future__ import annotations

import os

from .inputs import read_requests, samples_in
from .job import Job, UnusableError, first_line, mark_as_in_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any  # torch's own objects

    Call = tuple[tuple[Any, ...], dict[str, Any]]


def load(order: argparse.Namespace) -> Job:
    """The module and its requests. Raises UnusableError."""
    import torch

    exported = None
    jit: Any = torch.jit  # whose functions have no types
    try:
        if order.kind == "program":
            exported = torch.export.load(order.path)
            module = exported.module()
            mark_as_in_use(module)
        else:
            module = jit.load(order.path, map_location="cpu")
            module.eval()
    except Exception as error:
        raise UnusableError(f"{order.path} cannot be loaded: {first_line(error)}") from error
    if order.inputs:
        arrays = read_requests(order.inputs, [], [], None, order.batch or 1)
        narrow = _is_narrow(module)
        requests = [_request(each, _names(exported, module), narrow) for each in arrays]
        origin, samples = "given", samples_in(arrays[0])
    else:
        requests, origin, samples = [_example(exported)], "example", None
    return Job(
        os.path.basename(order.path),
        requests,
        lambda request: module(*request[0], **request[1]),
        inputs=origin,
        samples_per_call=samples,
        described=_described(requests[0]),
    )


def _names(exported: Any, module: Any) -> list[str]:
    """What the model calls its positional inputs; empty where it does not say."""
    if exported is not None:
        return [str(name) for name in exported.graph_signature.user_inputs]
    return [str(each.name) for each in module.forward.schema.arguments[1:]]


def _is_narrow(module: Any) -> bool:
    """Whether nothing in the model is float64, so that what NumPy saved as such is made float32."""
    return all("float64" not in str(each.dtype) for each in module.parameters())


def _request(arrays: dict[str, Any], names: list[str], narrow: bool) -> Call:
    """By name where the file has the model's names, else in the file's order."""
    import torch

    tensors = {name: torch.as_tensor(array) for name, array in arrays.items()}
    if narrow:
        for name, tensor in tensors.items():
            tensors[name] = tensor.float() if tensor.dtype is torch.float64 else tensor
    if set(tensors) <= set(names):
        return tuple(tensors[name] for name in names if name in tensors), {}
    if len(tensors) <= len(names):
        return tuple(tensors.values()), {}
    raise UnusableError(
        f"the inputs have {', '.join(tensors)}, but the model takes {', '.join(names)}",
        "numpy.savez(FILE, NAME=ARRAY, ...) with the model's names",
    )


def _example(exported: Any) -> Call:
    """The inputs that the program was exported with, which are in the file."""
    found = getattr(exported, "example_inputs", None)
    if found is None:
        raise UnusableError(
            "the file does not say what its inputs look like", "give some: --inputs data.npz"
        )
    args, kwargs = found
    return tuple(args), dict(kwargs)


def _described(request: Call) -> list[str]:
    args, kwargs = request
    named = [*((str(at), value) for at, value in enumerate(args)), *kwargs.items()]
    return [
        f"{name} {str(value.dtype).replace('torch.', '')} {'x'.join(map(str, value.shape))}"
        for name, value in named
        if hasattr(value, "dtype")
    ]
