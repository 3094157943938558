"""Linear layers with two zeros in any four weights, run by a GPU's sparse units.

A copy of the module in float16, its smaller weights set to zero, its layers in the form that the
kernels of torch take. Unverified on hardware. Standard library and torch only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any  # torch, modules and tensors are of the job's own version


def make(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> Callable[..., Any]:
    """What is called in place of `module`. Raises ValueError where there is nothing to gain."""
    del args, kwargs, options
    import torch

    if not any(each.is_cuda for each in module.parameters()):
        raise ValueError("only kernels of GPUs skip these zeros")
    small = copy.deepcopy(module).half()
    layers = [each for each in small.modules() if suits(each)]
    if not layers:
        raise ValueError("it has no linear layer of a size that the kernels take")
    for layer in layers:
        with torch.no_grad():
            layer.weight.mul_(two_of_four(layer.weight))
        sparse = torch.sparse.to_sparse_semi_structured(layer.weight.detach())
        layer.weight = torch.nn.Parameter(sparse, requires_grad=False)
    tree_map = torch.utils._pytree.tree_map

    def cast(kind: Any, of: Any) -> Callable[[Any], Any]:
        return lambda v: v.to(kind) if hasattr(v, "dtype") and v.dtype == of else v

    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(cast(torch.float16, torch.float32), (args, kwargs))
        with torch.no_grad():
            return tree_map(cast(torch.float32, torch.float16), small(*args, **kwargs))

    return call


def suits(layer: Any) -> bool:
    """Whether a layer is linear and of a size that the kernels take."""
    import torch

    if not isinstance(layer, torch.nn.Linear):
        return False
    rows, columns = layer.weight.shape
    return rows % 64 == 0 and columns % 64 == 0 and rows >= 128 and columns >= 128


def two_of_four(weight: Any) -> Any:
    """One where a weight is among the two larger of its four in a row, zero elsewhere."""
    import torch

    fours = weight.detach().abs().reshape(weight.shape[0], -1, 4)
    least = fours.argsort(stable=True, dim=-1)[..., :2]
    return torch.ones_like(fours).scatter_(-1, least, 0.0).reshape(weight.shape)
