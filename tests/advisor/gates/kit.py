"""Calls of two replays as the hook keeps them, made of arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from advisor.outputs import Output, Rows, Tensor

Pairs = list[tuple[Output, Output]]


def rows(name: str, how: str, values: Any) -> Rows:
    """`values` is a NumPy array; numbers become float32, as the hook keeps them."""
    kind, dtype = ("<i8", "I64") if values.dtype.kind == "i" else ("<f4", "F32")
    plain = values.astype(kind)
    return Rows(name, how, Tensor(plain.shape, dtype, plain.tobytes()))


def calls(
    own: dict[tuple[str, str], Any],
    new: dict[tuple[str, str], Any],
    *,
    batch: int = 1,
    module: str = "Net",
    masked: bool = False,
    learning: bool = False,
    items: Sequence[str] | None = None,
) -> Pairs:
    """Outputs [inputs, ...] by (name, how), before and after, in calls of `batch` inputs."""
    count = len(next(iter(own.values())))
    names = list(items or [hashlib.sha256(str(at).encode()).hexdigest() for at in range(count)])
    found = []
    for call, begin in enumerate(range(0, count, batch)):
        part = slice(begin, begin + batch)
        both = [
            Output(
                call,
                f"inputs {call}",
                learning,
                (),
                f"{side} {call}",
                tuple(rows(*key, values[part]) for key, values in outputs.items()),
                tuple(names[part]),
                module,
                masked,
            )
            for side, outputs in (("own", own), ("new", new))
        ]
        found.append((both[0], both[1]))
    return found
