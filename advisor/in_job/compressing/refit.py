"""Fits linear layers again to what is left of their inputs, by least squares and without learning.

Where channels or heads went, the layer that took them gives something else. Its new weights are
those with which it comes closest, on captured inputs, to what it gave before: solved at once, layer
by layer in the order of a call, each on what arrives from the layers that were fitted before it.
With few inputs this does as well as many epochs of learning, in a fraction of their time.
"""

from __future__ import annotations

from typing import Any  # torch and modules are of the job's own version

from .job import Job
from .samples import Pair

_POSITIONS = 8192  # what is fitted to at most
# Of the mean square of the inputs: how strongly the weights are held to where they were.
_RIDGE = 0.01
# Fewer positions than so many for each input would be learnt by heart.
_LEAST_POSITIONS = 2


class _SeenError(Exception):
    """The layer was reached: the rest of the call is of no use."""


def refit(job: Job, before: Any, model: Any, *, roughly: bool = False) -> tuple[str, ...]:
    """Fit the layers of `model` that have fewer inputs than in `before`, in place; their names.

    Only layers that give out as much as before. Both models are in evaluation mode. `roughly`: by
    as few positions as will do.
    """
    narrowed = _narrowed(before, model)
    if not narrowed:
        return ()
    widest = max(model.get_submodule(name).in_features for name in narrowed)
    pairs = _some(job, _LEAST_POSITIONS * widest if roughly else _POSITIONS)
    wanted = _outputs(job, before, narrowed, pairs)
    fitted = []
    for name, outputs in wanted.items():
        if job.out_of_time():
            break
        if _fit(model.get_submodule(name), _inputs(job, model, name, pairs), outputs):
            fitted.append(name)
    return tuple(fitted)


def _narrowed(before: Any, model: Any) -> list[str]:
    import torch

    layers = dict(before.named_modules())
    found = []
    for name, layer in model.named_modules():
        old = layers.get(name)
        if not isinstance(layer, torch.nn.Linear) or not isinstance(old, torch.nn.Linear):
            continue
        if layer.in_features < old.in_features and layer.out_features == old.out_features:
            found.append(name)
    return found


def _some(job: Job, positions: int) -> list[Pair]:
    """Captured batches to fit to: the first ones, that have so many positions together."""
    found: list[Pair] = []
    for pair in job.learn:
        if positions <= 0:
            break
        found.append(pair)
        kept = pair.batch.kept
        positions -= pair.batch.rows if kept is None else int(kept.sum())
    return found


def _outputs(job: Job, model: Any, names: list[str], pairs: list[Pair]) -> dict[str, Any]:
    """What each of the layers gives out, [positions, width], in the order of a call."""
    import torch

    seen: dict[str, list[Any]] = {}
    kept: Any = None

    def keep(name: str) -> Any:
        return lambda _module, _inputs, output: seen.setdefault(name, []).append(
            _flat(output, kept)
        )

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        with torch.no_grad():
            for pair in pairs:
                kept = pair.batch.kept
                job.answer(model, pair.batch.inputs)
    finally:
        for each in handles:
            each.remove()
    return {name: torch.cat(parts)[:_POSITIONS] for name, parts in seen.items()}


def _inputs(job: Job, model: Any, name: str, pairs: list[Pair]) -> Any:
    """What arrives at one layer, [positions, width]."""
    import torch

    seen: list[Any] = []
    kept: Any = None

    def keep(_module: Any, inputs: Any) -> None:
        seen.append(_flat(inputs[0], kept))
        raise _SeenError

    handle = model.get_submodule(name).register_forward_pre_hook(keep)
    try:
        with torch.no_grad():
            for pair in pairs:
                kept = pair.batch.kept
                try:
                    job.answer(model, pair.batch.inputs)
                except _SeenError:
                    continue
    finally:
        handle.remove()
    return torch.cat(seen)[:_POSITIONS]


def _flat(value: Any, kept: Any) -> Any:
    """Positions as rows, without those that are padding."""
    value = value.detach()
    if kept is not None and value.dim() >= 3 and value.shape[:2] == kept.shape:
        value = value[kept]
    return value.reshape(-1, value.shape[-1]).float()


def _fit(layer: Any, inputs: Any, wanted: Any) -> bool:
    """Set the layer's weights to those that give `wanted` best; False where that cannot be told."""
    import torch

    if len(inputs) != len(wanted) or len(inputs) < _LEAST_POSITIONS * layer.in_features:
        return False
    own = layer.weight.detach()
    middle, aim = inputs.mean(0), wanted.mean(0)
    if layer.bias is None:
        middle, aim = torch.zeros_like(middle), torch.zeros_like(aim)
    inputs, wanted = inputs - middle, wanted - aim
    squares = (inputs.T @ inputs).double()
    hold = _RIDGE * float(squares.diagonal().mean())
    if not hold > 0:
        return False
    squares.diagonal().add_(hold)
    right = (inputs.T @ wanted).double() + hold * own.T.double()
    weight = torch.linalg.solve(squares, right).T.to(own.dtype)
    if not bool(weight.isfinite().all()):
        return False
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.copy_((aim - weight.float() @ middle).to(own.dtype))
    return True
