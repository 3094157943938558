"""A copy of the module whose linear layers have 8- or 4-bit weights by torchao.

`options["bits"]`: 8, or 4, which computes in bfloat16. `options["path"]` is where torchao lies if
the environment has none.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any  # torch, torchao and modules are of the job's own version


def make(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> Callable[..., Any]:
    """What is called in place of `module`, which keeps its own weights. Raises ImportError."""
    del args, kwargs
    import torch

    path = options.get("path")
    if path and path not in sys.path:
        sys.path.append(str(path))
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    small = copy.deepcopy(module)
    if int(options["bits"]) == 8:
        quantize_(small, Int8WeightOnlyConfig())
        return _called(small)
    small = small.to(torch.bfloat16)
    quantize_(small, Int4WeightOnlyConfig())
    tree_map = torch.utils._pytree.tree_map

    def cast(kind: Any, of: Any) -> Callable[[Any], Any]:
        return lambda v: v.to(kind) if hasattr(v, "dtype") and v.dtype == of else v

    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(cast(torch.bfloat16, torch.float32), (args, kwargs))
        return tree_map(cast(torch.float32, torch.bfloat16), small(*args, **kwargs))

    return call


def _called(module: Any) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return module(*args, **kwargs)

    return call
