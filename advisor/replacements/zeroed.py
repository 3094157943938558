"""The module with its smallest weights set to zero, run as it was: nothing is skipped by that.

`options["pattern"]`: "half" of each layer's weights by size, or "2:4", two of any four in a row.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any  # torch, modules and tensors are of the job's own version


def make(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> Any:
    """A copy of the module with zeros; the program's own keeps its weights."""
    del args, kwargs
    import torch

    zeroed = copy.deepcopy(module)
    layers = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    found = [each for each in zeroed.modules() if isinstance(each, layers)]
    if not found:
        raise ValueError("it has no linear or convolutional layer")
    with torch.no_grad():
        for layer in found:
            _zero(layer.weight, str(options.get("pattern")))
    return zeroed


def _zero(weight: Any, pattern: str) -> None:
    flat = weight.detach().reshape(-1)
    if pattern == "2:4":
        whole = flat.numel() // 4 * 4
        groups = flat[:whole].reshape(-1, 4)
        groups.scatter_(1, groups.abs().argsort(1)[:, :2], 0.0)
        flat[:whole] = groups.reshape(-1)
    else:
        limit = flat.abs().median()
        flat[flat.abs() < limit] = 0.0
    weight.copy_(flat.reshape(weight.shape))
