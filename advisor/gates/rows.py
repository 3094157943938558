"""Brings the calls of two replays together: for each output, the rows before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from advisor.gates.splits import Row
from advisor.outputs import Output, Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2"}
_TYPES |= {"I8": "i1", "U8": "u1", "BOOL": "?"}
_LOOKED_AT = 256  # rows, to tell what they are


@dataclass(slots=True)
class Group:
    """One output of one module, over all calls: `own[i]` and `new[i]` are of the input `rows[i]`.

    `masked`: every call's padding was known.
    """

    module: str
    name: str
    how: str
    masked: bool
    rows: list[Row]
    own: list[NDArray[Any]]
    new: list[NDArray[Any]]

    @property
    def leaf(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]

    @property
    def title(self) -> str:
        """What it is called in a document."""
        return ".".join(part for part in (self.module, self.name) if part)

    @property
    def width(self) -> int:
        return int(self.own[0].shape[-1]) if self.own and self.own[0].ndim else 0

    def arrays(self, places: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The rows of these places as two arrays. Raises ValueError where widths differ."""
        import numpy as np

        return np.stack([self.own[p] for p in places]), np.stack([self.new[p] for p in places])

    def of_shares(self) -> bool:
        """Whether each row is a distribution: shares that sum up to 1, or their logarithms."""
        import numpy as np

        values = self._looked_at()
        if values is None:
            return False
        if (values >= 0).all():
            return bool(np.allclose(values.sum(axis=1), 1, atol=1e-3))
        with np.errstate(over="ignore"):
            sums = np.exp(values).sum(axis=1)
        return bool((values <= 0).all() and np.allclose(sums, 1, atol=1e-3))

    def of_unit_length(self) -> bool:
        """Whether each row is a vector of length 1."""
        import numpy as np

        values = self._looked_at()
        if values is None:
            return False
        return bool(np.allclose(np.linalg.norm(values, axis=1), 1, atol=1e-3))

    def _looked_at(self) -> NDArray[np.float64] | None:
        import numpy as np

        some = [row for row in self.own[:_LOOKED_AT] if row.shape == self.own[0].shape]
        values = np.stack(some).astype(np.float64) if some else np.empty((0, 0))
        return values if values.size and np.isfinite(values).all() else None


def groups(pairs: Sequence[tuple[Output, Output]]) -> dict[str, list[Group]]:
    """By class of module, its outputs. Calls that learn are left out: they never judge."""
    found: dict[tuple[str, str, str], Group] = {}
    for own, new in pairs:
        if own.learning or new.learning:
            continue
        theirs = {(each.name, each.how): each.tensor for each in new.rows}
        for each in own.rows:
            other = theirs.get((each.name, each.how))
            before = array(each.tensor)
            after = None if other is None else array(other)
            if before is None or after is None or len(before) != len(after):
                continue
            key = (own.module, each.name, each.how)
            group = found.setdefault(key, Group(*key, True, [], [], []))
            group.masked = group.masked and own.masked
            group.rows += _rows(own, len(before))
            group.own += list(before)
            group.new += list(after)
    by_module: dict[str, list[Group]] = {}
    for group in found.values():
        by_module.setdefault(group.module, []).append(group)
    return by_module


def _rows(output: Output, count: int) -> list[Row]:
    """The inputs of a call; where they could not be told apart, the call and a place in it."""
    items = output.items
    if len(items) != count:
        items = tuple(f"{output.inputs}:{place}" for place in range(count))
    return [Row(output.call, count, item, output.inputs) for item in items]


def array(tensor: Tensor) -> NDArray[Any] | None:
    """A tensor's values; None for a type that NumPy has not."""
    import numpy as np

    kind = _TYPES.get(tensor.dtype)
    if kind is None:
        if tensor.dtype != "BF16":
            return None
        wide = np.frombuffer(tensor.raw, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(tensor.shape)
    return np.frombuffer(tensor.raw, kind).reshape(tensor.shape)
