"""A copy of the module in 16-bit floats; what goes in and comes out is cast around it.

`options["dtype"]`: "bfloat16" or "float16". Standard library and torch only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any  # torch, modules and tensors are of the job's own version


def make(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> Callable[..., Any]:
    """What is called in place of `module`, which keeps its own weights."""
    del args, kwargs
    import torch

    narrow = getattr(torch, str(options["dtype"]))
    small = copy.deepcopy(module).to(narrow)
    tree_map = torch.utils._pytree.tree_map

    def cast(kind: Any, of: Any) -> Callable[[Any], Any]:
        return lambda v: v.to(kind) if hasattr(v, "dtype") and v.dtype == of else v

    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(cast(narrow, torch.float32), (args, kwargs))
        return tree_map(cast(torch.float32, narrow), small(*args, **kwargs))

    return call
