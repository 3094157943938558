"""Requests from a file of arrays: `data.npz`, `data.npy`, or a folder with an .npz for each.

Rows are samples: a request takes `batch` rows of every array, or as many as the model is fixed to.
Where an array has one dimension more than the model's input, its first one counts requests. In a
folder each file is one request as it is, so that requests may differ in length.
"""

from __future__ import annotations

import os

from .job import UnusableError, first_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any  # arrays are NumPy's


def read_requests(
    path: str, names: Sequence[str], ranks: Sequence[int | None], fixed: int | None, batch: int
) -> list[dict[str, Any]]:
    """What each call gets, by the model's names for its inputs.

    `ranks` are the inputs' numbers of dimensions and `fixed` the batch size that the model insists
    on, None where it does not say. Raises UnusableError.
    """
    if os.path.isdir(path):
        files = sorted(each for each in os.listdir(path) if each.endswith(".npz"))
        if not files:
            raise UnusableError(f"{path} holds no .npz file", "one file for each request")
        return [_named(_load(os.path.join(path, each)), names, each) for each in files]
    arrays = _named(_load(path), names, path)
    counts = {name: len(array) for name, array in arrays.items() if array.ndim}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise UnusableError(f"the arrays in {path} differ in their number of rows: {said}")
    rows = next(iter(counts.values()), 0)
    if not rows:
        raise UnusableError(f"the arrays in {path} are empty")
    stacked = {name: rank + 1 for name, rank in zip(names, ranks) if rank is not None}
    if stacked and all(stacked.get(name) == array.ndim for name, array in arrays.items()):
        return [{name: array[at] for name, array in arrays.items()} for at in range(rows)]
    step = fixed or batch
    if rows < step:
        raise UnusableError(f"{path} has {rows} rows, and the model takes {step} at once")
    return [
        {name: array[at : at + step] for name, array in arrays.items()}
        for at in range(0, rows - step + 1, step)
    ]


def _named(arrays: dict[str, Any], names: Sequence[str], path: str) -> dict[str, Any]:
    """The arrays by the model's names; a lone one needs none, nor do arr_0, arr_1 ..."""
    if names and not set(names) <= set(arrays):
        unnamed = [f"arr_{at}" for at in range(len(names))]
        if len(names) == len(arrays) and (len(names) == 1 or set(arrays) == set(unnamed)):
            keys = list(arrays) if len(names) == 1 else unnamed
            return {name: arrays[key] for name, key in zip(names, keys)}
        raise UnusableError(
            f"{path} has {_listed(arrays)}, but the model takes {_listed(names)}",
            "numpy.savez(FILE, NAME=ARRAY, ...) with the model's names",
        )
    return {name: arrays[name] for name in (names or arrays)}


def _listed(names: Any) -> str:
    return ", ".join(names) or "nothing"


def _load(path: str) -> dict[str, Any]:
    import numpy

    try:
        found = numpy.load(path, allow_pickle=False)
        if isinstance(found, numpy.ndarray):
            return {"arr_0": found}
        with found:
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError) as error:
        hint = "arrays of numbers: numpy.savez(FILE, NAME=ARRAY, ...)"
        raise UnusableError(f"{path} cannot be read: {first_line(error)}", hint) from error


def samples_in(request: dict[str, Any]) -> int | None:
    """Rows of a request, if all its arrays have the same number of them."""
    counts = {int(value.shape[0]) for value in request.values() if len(value.shape)}
    return counts.pop() if len(counts) == 1 else None
