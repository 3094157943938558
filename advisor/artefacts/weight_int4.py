"""Weights of matrix products in 4-bit whole numbers, in small blocks with a scale each.

Half of what 8 bits read from memory, where that is what a product waits for; inputs in 8 bits.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any  # what JSON gives back

from advisor.artefacts.weight_int8 import about, in_blocks

_BLOCK = 32  # larger ones lose too much in 4 bits


def build(order: Mapping[str, Any]) -> dict[str, object]:
    """Quantize the weights of the model in `order["source"]`."""
    source, target = (os.path.join(str(order[e]), "model.onnx") for e in ("source", "folder"))
    in_blocks(source, target, bits=4, block=_BLOCK)
    return about(order, bits=4, block=_BLOCK)
