"""Captured inputs as batches to learn from, and the teacher's answers to them.

A sample is a tuple of tensors, in the order of the module's tensor inputs. Rows of calls with one
form are put together; texts of different lengths are padded where there is a mask that says so, and
lose what the program padded them with: learning takes a multiple of a call.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple  # tensors are of the job's own torch

MOST_ROWS = 32
# Of what the layers of one batch keep for the way back: so much memory, and no more.
_ACTIVATION_BYTES = 256 << 20
# Of all cached answers of the teacher, and of what they answer.
_CACHE_BYTES = 512 << 20
_ROUNDING = 1e-3
_MASKS = ("attention_mask", "mask", "input_mask")


class Batch(NamedTuple):
    """`inputs` are tensors with `rows` rows; `mask` is among them: its place, or None."""

    inputs: tuple[Any, ...]
    rows: int
    mask: int | None = None

    @property
    def kept(self) -> Any:
        """Which positions of each row count, as truth values [rows, positions]; None for all."""
        return None if self.mask is None else self.inputs[self.mask] != 0


class Pair(NamedTuple):
    """A batch and what the teacher answered to it, by the names of its outputs."""

    batch: Batch
    answer: dict[str, Any]


def read_calls(flat: Any, swap: Any, load_call: Any, paths: list[str]) -> list[tuple[Any, ...]]:
    """The tensors of captured calls; calls of another form than the first are left out.

    `flat` is the exporter's view of the module's inputs, `paths` are files of inputs.
    """
    found = []
    for path in paths:
        process, name = os.path.split(os.path.dirname(path))[0], os.path.basename(path)
        args, kwargs = load_call(process, int(name.partition("-")[0]))
        leaves = swap.taken_apart(flat.names, flat.defaults, args, kwargs)
        if [p for p, v in leaves.items() if hasattr(v, "detach")] and all(
            each in leaves for each in flat.paths
        ):
            found.append(tuple([leaves[each] for each in flat.paths]))
    return found


def batches(
    calls: list[tuple[Any, ...]],
    names: list[str],
    answer: Callable[[tuple[Any, ...]], dict[str, Any]],
    most_rows: int = MOST_ROWS,
) -> list[Batch]:
    """The calls in batches of up to `most_rows` rows, each row once.

    `names` are those of the inputs. Where an answer to a row depends on the rows beside it, or rows
    cannot be told apart, each call stays a batch of its own.
    """
    mask = next((at for at, name in enumerate(names) if name in _MASKS), None)
    rows = [row for call in calls for row in _rows(call)]
    if not rows or len(rows) < len(calls):
        return [Batch(call, _count(call), mask) for call in calls]
    if mask is not None:
        rows = _unpadded(rows, mask, answer)
    rows.sort(key=lambda row: [tuple(t.shape) for t in row])  # stable: in order of the calls
    found = _together(rows, mask, most_rows)
    if found and not _independent(found, answer):
        return [Batch(call, _count(call), mask) for call in calls]
    return found


def rows_for_memory(module: Any, run: Callable[[], Any], rows: int) -> int:
    """How many rows fit into a batch, by what the layers of one call of `rows` rows give out."""
    import torch

    seen = [0]

    def look(_module: Any, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            seen[0] += output.numel() * output.element_size()

    handles = [
        each.register_forward_hook(look)
        for each in module.modules()
        if not any(True for _ in each.children())
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    each_row = max(1, 3 * seen[0] // max(1, rows))
    return max(4, min(MOST_ROWS, _ACTIVATION_BYTES // each_row))


def augmented(batch: Batch, generator: Any) -> Batch:
    """Inputs that resemble those of a batch: mixed, moved and disturbed ones.

    The teacher answers them too, so nothing has to stay the same but their kind. Numbers are mixed
    with those of another row and get some noise, images are moved as well; of whole numbers some
    are those that another row has at the place.
    """
    import torch

    rows = batch.rows
    order = torch.randperm(rows, generator=generator)
    share = torch.rand(rows, generator=generator) * 0.5
    share[torch.rand(rows, generator=generator) < 0.4] = 0.0  # some stay unmixed
    found = []
    for at, value in enumerate(batch.inputs):
        if at == batch.mask or value.dim() == 0 or value.shape[0] != rows:
            found.append(value)
        elif value.is_floating_point():
            found.append(_numbers(value, order, share, generator))
        elif value.dtype == torch.bool:
            found.append(value)
        else:
            chosen = torch.rand(value.shape, generator=generator) < 0.1
            if batch.mask is not None and value.shape == batch.inputs[batch.mask].shape:
                kept = batch.kept
                chosen &= kept & kept[order]
            found.append(torch.where(chosen, value[order], value))
    return batch._replace(inputs=tuple(found))


def pairs(
    originals: list[Batch],
    answer: Callable[[tuple[Any, ...]], dict[str, Any]],
    *,
    copies: int,
    seed: int,
    shuffle: bool = True,
) -> list[Pair]:
    """The batches and `copies` of each that were changed, with the teacher's answers.

    Answers are worked out once; where they would take too much memory there are fewer copies.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    found: list[Pair] = []
    size = 0
    for copy in range(copies + 1):
        # Rows meet other rows each time, and are mixed with others.
        for original in _mingled(originals, generator) if copy and shuffle else originals:
            batch = augmented(original, generator) if copy else original
            kept = {name: value.clone() for name, value in answer(batch.inputs).items()}
            size += sum(t.numel() * t.element_size() for t in (*batch.inputs, *kept.values()))
            if size > _CACHE_BYTES and found:
                return found
            found.append(Pair(batch, kept))
    return found


def _mingled(originals: list[Batch], generator: Any) -> list[Batch]:
    """The same rows in other batches, where they are all of one shape."""
    import torch

    shapes = {tuple(tuple(t.shape[1:]) for t in each.inputs) for each in originals}
    dims = {t.dim() for each in originals for t in each.inputs}
    if len(shapes) != 1 or 0 in dims or len(originals) < 2:
        return originals
    whole = [torch.cat(column) for column in zip(*[each.inputs for each in originals])]
    order = torch.randperm(whole[0].shape[0], generator=generator)
    found = []
    begin = 0
    for each in originals:
        chosen = order[begin : begin + each.rows]
        begin += each.rows
        found.append(each._replace(inputs=tuple([t[chosen] for t in whole])))
    return found


def _numbers(value: Any, order: Any, share: Any, generator: Any) -> Any:
    import torch

    weight = share.to(value.dtype).reshape(-1, *[1] * (value.dim() - 1))
    mixed = (1 - weight) * value + weight * value[order]
    if value.dim() == 4:
        mixed = _moved(mixed, generator)
    spread = value.std() if value.numel() > 1 else value.abs().mean()
    noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
    level = 0.1 * torch.rand(value.shape[0], generator=generator, dtype=value.dtype)
    return mixed + noise * spread * level.reshape(-1, *[1] * (value.dim() - 1))


def _moved(images: Any, generator: Any) -> Any:
    """Each image moved by up to a tenth of its size; what is empty then repeats the border."""
    import torch

    height, width = images.shape[2:]
    most_y, most_x = height // 10, width // 10
    if not most_y and not most_x:
        return images
    padded = torch.nn.functional.pad(images, (most_x, most_x, most_y, most_y), mode="replicate")
    found = []
    for image in padded:
        y = int(torch.randint(0, 2 * most_y + 1, (1,), generator=generator))
        x = int(torch.randint(0, 2 * most_x + 1, (1,), generator=generator))
        found.append(image[:, y : y + height, x : x + width])
    return torch.stack(found)


def _count(call: tuple[Any, ...]) -> int:
    sizes = {t.shape[0] if t.dim() else 0 for t in call}
    return sizes.pop() if len(sizes) == 1 else 1


def _rows(call: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The rows of a call, each with a first dimension of one; none where they cannot be told."""
    count = _count(call)
    if not all(t.dim() and t.shape[0] == count for t in call) or not count:
        return []
    return [tuple([t[at : at + 1] for t in call]) for at in range(count)]


def _unpadded(
    rows: list[tuple[Any, ...]], mask: int, answer: Callable[[tuple[Any, ...]], dict[str, Any]]
) -> list[tuple[Any, ...]]:
    """The rows without the positions that follow the last one of their masks.

    As they are where an answer depends on those: the row with most of them is asked both ways.
    """
    found = [_without_tail(row, mask) for row in rows]
    saved = [a[mask].numel() - b[mask].numel() for a, b in zip(rows, found)]
    at = max(range(len(rows)), key=saved.__getitem__)
    if not saved[at]:
        return rows
    padded, plain = answer(rows[at]), answer(found[at])
    for name, value in plain.items():
        whole = padded[name]
        if whole.shape != value.shape and value.dim() > 1:
            whole = whole[:, : value.shape[1]]
        size = float(value.norm()) or 1.0
        if whole.shape != value.shape or not float((whole - value).norm()) <= _ROUNDING * size:
            return rows
    return found


def _without_tail(row: tuple[Any, ...], mask: int) -> tuple[Any, ...]:
    shape = row[mask].shape
    if len(shape) != 2 or any(t.shape != shape and shape[1] in t.shape[1:] for t in row):
        return row  # something else belongs to the positions too
    kept = row[mask][0].nonzero()
    length = int(kept.max()) + 1 if len(kept) else shape[1]
    return tuple([t[:, :length] if t.shape == shape else t for t in row])


def _together(rows: list[tuple[Any, ...]], mask: int | None, most_rows: int) -> list[Batch]:
    import torch

    found: list[Batch] = []
    waiting: list[tuple[Any, ...]] = []

    def close() -> None:
        if waiting:
            columns = [torch.cat(_padded(column)) for column in zip(*waiting)]
            found.append(Batch(tuple(columns), len(waiting), mask))
            waiting.clear()

    for row in rows:
        if waiting and (len(waiting) == most_rows or not _fit(waiting[0], row, mask)):
            close()
        waiting.append(row)
    close()
    return found


def _fit(first: tuple[Any, ...], other: tuple[Any, ...], mask: int | None) -> bool:
    """Whether two rows can be in one batch: of one shape, or padded where a mask tells it."""
    shapes = [(tuple(a.shape), tuple(b.shape)) for a, b in zip(first, other)]
    if all(a == b for a, b in shapes):
        return True
    if mask is None:
        return False
    a, b = shapes[mask]
    return all(pair == (a, b) and len(a) == 2 for pair in shapes if pair[0] != pair[1]) and (
        b[1] <= 2 * a[1]  # longer ones would be mostly padding
    )


def _padded(column: tuple[Any, ...]) -> list[Any]:
    import torch

    if column[0].dim() < 2:
        return list(column)
    width = max(t.shape[1] for t in column)
    if all(t.shape[1] == width for t in column):
        return list(column)
    return [torch.nn.functional.pad(t, (0, width - t.shape[1])) for t in column]


def _independent(found: list[Batch], answer: Callable[[tuple[Any, ...]], dict[str, Any]]) -> bool:
    """Whether the first and the last row of a batch are answered as if they were alone."""
    batch = max(found, key=lambda each: each.rows)
    together = answer(batch.inputs)
    for at in (0, batch.rows - 1):
        alone = answer(tuple([t[at : at + 1] for t in batch.inputs]))
        for name, value in together.items():
            if value.dim() == 0 or value.shape[0] != batch.rows:
                return False
            row = value[at : at + 1]
            if row.shape != alone[name].shape:
                return False
            size = float(row.norm()) or 1.0
            if not float((row - alone[name]).norm()) <= _ROUNDING * size:
                return False
    return True
