"""Shallower copies of the teacher: some of its blocks, with the weights that they have."""

from __future__ import annotations

from typing import Any  # torch and modules are of the job's own version

from ..compressing import layers  # noqa: TID252 - another name in a job


class CannotDropError(Exception):
    """The text says why."""


def row_of_blocks(module: Any) -> tuple[str, list[int]]:
    """The longest row of blocks of one class, by name, and the places of those blocks.

    Raises CannotDropError where there is none.
    """
    rows: dict[str, list[int]] = {}
    for name, at in layers.find(module):
        rows.setdefault(name, []).append(at)
    if not rows:
        raise CannotDropError("it has no row of blocks that are alike")
    return max(rows.items(), key=lambda each: len(each[1]))


def depths(count: int) -> list[int]:
    """How many of `count` blocks the students keep: every number, or six steps if they are many."""
    if count <= 7:
        return list(range(1, count))
    return sorted({max(1, round(count * share / 7)) for share in range(1, 7)})


def shallow(job: Any, keep: int) -> Any:
    """The teacher with `keep` blocks of its longest row, spread evenly; the last one stays.

    Raises CannotDropError where what is left cannot be called.
    """
    name, places = row_of_blocks(job.module)
    chosen = {places[round((at + 1) * len(places) / keep) - 1] for at in range(keep)}
    model = job.copy()
    layers.take_out(model, name, [at for at in places if at not in chosen])
    tensors = job.flat.tensors()
    try:
        with job.torch.no_grad():
            wanted, found = job.answer(job.module, tensors), job.answer(model, tensors)
    except Exception as error:  # blocks that do not fit together
        raise CannotDropError(f"what is left does not fit together ({error})") from error
    if any(found[each].shape != value.shape for each, value in wanted.items()):
        raise CannotDropError("its answer would have another form")
    return model
