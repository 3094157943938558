"""What students learn from: captured inputs and others like them, all answered by the teacher.

The captured ones are few, and a student knows nothing but them. No changed input needs a label that
stays true, since the teacher is asked again; what matters is only that it looks like a request.
"""

from __future__ import annotations

from typing import Any, NamedTuple  # tensors are of the job's own torch

from ..compressing.samples import Batch, Pair, augmented  # noqa: TID252 - another name in a job

# Of all inputs with their answers: so much memory and no more.
_MOST_BYTES = 384 << 20
_FEW_VALUES = 12  # a column of so many values at most is a code, and no measure


class Kind(NamedTuple):
    """How one changed set of inputs differs from the captured ones; `strength` from 0 to 1."""

    name: str
    strength: float


# What out-of-domain warnings are about: from what is usual to what is odd.
PERTURBATIONS = (Kind("slight", 0.25), Kind("moderate", 0.5), Kind("strong", 1.0))


def learning_set(job: Any, copies: int) -> list[Pair]:
    """The captured batches and `copies` changed ones of each, with the teacher's answers."""
    import torch

    generator = torch.Generator().manual_seed(job.seed)
    found = list(job.learn)
    originals = [pair.batch for pair in job.learn]
    size = sum(_bytes_of(pair) for pair in found)
    for copy in range(copies):
        for original in _mingled(originals, generator):
            batch = changed(original, generator, 0.5 if copy % 2 else 1.0)
            pair = Pair(batch, _answered(job, batch))
            size += _bytes_of(pair)
            if size > _MOST_BYTES:
                return found
            found.append(pair)
        if job.out_of_time():
            return found
    return found


def perturbed(job: Any, strength: float, times: int = 1) -> list[Pair]:
    """Held-out inputs, each changed so much and answered by the teacher."""
    import torch

    generator = torch.Generator().manual_seed(job.seed + 1)
    found = []
    for _ in range(times):
        for pair in job.held:
            batch = disturbed(pair.batch, generator, strength)
            found.append(Pair(batch, _answered(job, batch)))
    return found


def changed(batch: Batch, generator: Any, strength: float) -> Batch:
    """Inputs to learn from: turned, moved, mixed and disturbed ones; columns from other rows."""
    mixed = augmented(batch, generator) if strength >= 1 else batch
    found = []
    for at, value in enumerate(mixed.inputs):
        usable = at != batch.mask and value.dim() and value.shape[0] == batch.rows
        if usable and value.is_floating_point() and value.dim() == 4:
            found.append(_turned(value, generator, strength))
        elif usable and value.is_floating_point() and value.dim() == 2:
            found.append(_columns(value, batch.inputs[at], generator))
        else:
            found.append(value)
    return _cut(mixed._replace(inputs=tuple(found)), generator)


def disturbed(batch: Batch, generator: Any, strength: float) -> Batch:
    """The same inputs with noise; images are moved and turned, of texts some words are others."""
    import torch

    found = []
    for at, value in enumerate(batch.inputs):
        if at == batch.mask or not value.dim() or value.shape[0] != batch.rows:
            found.append(value)
        elif value.is_floating_point():
            still = _turned(value, generator, strength / 2) if value.dim() == 4 else value
            spread = value.std(0, keepdim=True) if value.dim() == 2 else value.std()
            codes = _codes(value) if value.dim() == 2 else None
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            noise = noise * spread.nan_to_num() * (0.2 * strength)
            found.append(still + (noise if codes is None else noise.masked_fill(codes, 0.0)))
        elif value.dtype == torch.bool or value.dim() < 2:
            found.append(value)
        else:
            order = torch.randperm(batch.rows, generator=generator)
            other = torch.rand(value.shape, generator=generator) < 0.2 * strength
            if batch.mask is not None and value.shape == batch.inputs[batch.mask].shape:
                kept = batch.kept
                other &= kept & kept[order]
            found.append(torch.where(other, value[order], value))
    return batch._replace(inputs=tuple(found))


def _answered(job: Any, batch: Batch) -> dict[str, Any]:
    with job.torch.no_grad():
        answer = job.answer(job.module, batch.inputs)
    return {o.name: answer[o.name].clone() for o in job.outputs}


def _bytes_of(pair: Pair) -> int:
    tensors = (*pair.batch.inputs, *pair.answer.values())
    return sum(t.numel() * t.element_size() for t in tensors)


def _mingled(originals: list[Batch], generator: Any) -> list[Batch]:
    """The same rows in other batches, where all are of one shape."""
    import torch

    shapes = {tuple(tuple(t.shape[1:]) for t in each.inputs) for each in originals}
    if len(shapes) != 1 or any(t.dim() == 0 for each in originals for t in each.inputs):
        return originals
    whole = [torch.cat(column) for column in zip(*[each.inputs for each in originals])]
    order = torch.randperm(whole[0].shape[0], generator=generator)
    found, begin = [], 0
    for each in originals:
        chosen = order[begin : begin + each.rows]
        begin += each.rows
        found.append(each._replace(inputs=tuple([t[chosen] for t in whole])))
    return found


def _turned(images: Any, generator: Any, strength: float) -> Any:
    """Each image turned, scaled, slanted and moved a little; what is empty repeats the border."""
    import torch

    functional = torch.nn.functional
    count = images.shape[0]

    def between(most: float, *shape: int) -> Any:
        drawn = torch.rand(count, *shape, generator=generator, dtype=torch.float32)
        return (2 * drawn - 1) * most * strength

    angle, scale, slant = between(0.2), 1 + between(0.15), between(0.15)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = scale * angle.cos()
    matrix[:, 0, 1] = slant - scale * angle.sin()
    matrix[:, 1, 0] = scale * angle.sin()
    matrix[:, 1, 1] = scale * angle.cos()
    matrix[:, :, 2] = between(0.2, 2)
    matrix = matrix.to(images.dtype)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _codes(value: Any) -> Any:
    """Which columns hold a few whole numbers, which nothing lies between."""
    import torch

    rows = [
        bool((column == column.round()).all()) and len(column.unique()) <= _FEW_VALUES
        for column in value.T
    ]
    return torch.tensor(rows)


def _columns(value: Any, original: Any, generator: Any) -> Any:
    """Some columns as another row has them; codes stay codes."""
    import torch

    rows = value.shape[0]
    order = torch.randperm(rows, generator=generator)
    other = torch.rand(value.shape, generator=generator) < 0.15
    kept = torch.where(_codes(original), original, value)
    return torch.where(other, original[order], kept)


def _cut(batch: Batch, generator: Any) -> Batch:
    """A part of each text, of half its length at least; the first and the last word stay."""
    import torch

    if batch.mask is None or batch.inputs[batch.mask].dim() != 2:
        return batch
    mask = batch.inputs[batch.mask]
    columns = []
    length = mask.shape[1]
    for row, kept in enumerate(batch.kept.tolist()):
        there = [at for at, each in enumerate(kept) if each]
        share = 0.5 + 0.5 * float(torch.rand(1, generator=generator))
        inner = there[1:-1]
        size = max(1, int(share * len(inner)))
        begin = int(torch.randint(0, max(1, len(inner) - size + 1), (1,), generator=generator))
        chosen = [*there[:1], *inner[begin : begin + size], *there[-1:]] if inner else there
        columns.append((row, chosen, [at for at in range(length) if at not in set(chosen)]))
    found = []
    for value in batch.inputs:
        if value.shape == mask.shape:
            found.append(torch.stack([value[row, [*own, *rest]] for row, own, rest in columns]))
        else:
            found.append(value)
    new = found[batch.mask].clone()
    for row, own, _ in columns:
        new[row, len(own) :] = 0
    found[batch.mask] = new
    return batch._replace(inputs=tuple(found))
