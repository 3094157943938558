"""Inputs made up from a model's signature, where nobody gave any: right in shape and type only.

The same ones every time. What they cost is what such shapes cost; what comes out means nothing.
"""

from __future__ import annotations

from .job import UnusableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any  # arrays are NumPy's

REQUESTS = 8
_SEED = 5
_TOKENS = 64  # of a text, where the model leaves it open
_PIXELS = 224
_OTHER = 16
_LARGEST_ID = 100  # every vocabulary has that many


def parse_dims(text: str) -> dict[str, int]:
    """`batch=1,sequence=64`. Raises UnusableError."""
    found = {}
    for part in text.split(",") if text else ():
        name, _, number = part.partition("=")
        if not name.strip() or not number.strip().isdigit() or int(number) < 1:
            raise UnusableError(f"--dims {part!r} is no NAME=N")
        found[name.strip()] = int(number)
    return found


def shape_of(dims: Sequence[object], kind: str, chosen: Mapping[str, int]) -> list[int]:
    """A size for each dimension: as the model says, as the user says, or a usual one."""
    sizes = []
    for place, dim in enumerate(dims):
        if isinstance(dim, int) and dim > 0:
            sizes.append(dim)
        elif str(dim) in chosen:
            sizes.append(chosen[str(dim)])
        elif place == 0:
            sizes.append(1)
        elif kind.startswith("int") and len(dims) == 2:
            sizes.append(_TOKENS)
        elif len(dims) == 4 and place >= 2:
            sizes.append(_PIXELS)
        else:
            sizes.append(_OTHER)
    return sizes


def values(name: str, kind: str, shape: Sequence[int], number: int) -> Any:
    """An array for the input of this name. Raises UnusableError for a type that is not made up."""
    import numpy

    source = numpy.random.default_rng([_SEED, number])
    if kind in ("float16", "float32", "float64"):
        return source.standard_normal(shape).astype(kind)
    if kind == "bool":
        return numpy.ones(shape, dtype=bool)
    if kind.startswith(("int", "uint")):
        lower = name.lower()
        if "mask" in lower:
            return numpy.ones(shape, dtype=kind)
        if "type" in lower or "segment" in lower:
            return numpy.zeros(shape, dtype=kind)
        if "position" in lower and len(shape):
            return numpy.broadcast_to(numpy.arange(shape[-1]), shape).astype(kind)
        return source.integers(1, _LARGEST_ID, shape).astype(kind)
    raise UnusableError(
        f"no {kind} can be made up for the input {name}", "give real ones: --inputs data.npz"
    )
