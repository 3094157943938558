"""Thinner copies of the teacher: every width a fraction of what it was, weights cut from it.

Only the widths that layers give out are chosen; what comes in is taken from what really arrives, in
one call of the copy. So any network of convolutions and linear layers works whose own code names no
width; one that does raises, and is no candidate.
"""

from __future__ import annotations

from typing import Any  # torch and modules are of the job's own version

_ROUND_TO = 4


class CannotThinError(Exception):
    """The text says why."""


def thinned(job: Any, factor: float) -> Any:
    """The teacher with each width times `factor`. Raises CannotThinError."""
    import torch

    nn = torch.nn
    model = job.copy()
    order = _called(job, model)
    wide = [m for m in order if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd))]
    if len(wide) < 2:
        raise CannotThinError("it has one layer only")
    last = wide[-1]
    handles = [
        each.register_forward_pre_hook(_cut(each, factor, each is last))
        for each in order
        if isinstance(each, (nn.Linear, nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm))
    ]
    tensors = job.flat.tensors()
    try:
        with torch.no_grad():
            found = job.answer(model, tensors)
    except Exception as error:  # its own code names a width
        raise CannotThinError(f"its code names a width ({type(error).__name__})") from error
    finally:
        for each in handles:
            each.remove()
    with torch.no_grad():
        wanted = job.answer(job.module, tensors)
    if any(found[name].shape != value.shape for name, value in wanted.items()):
        raise CannotThinError("its answer would have another form")
    return model


def _called(job: Any, model: Any) -> list[Any]:
    """The layers in the order of one call, each once. Raises CannotThinError for shared ones."""
    order: list[Any] = []

    def note(module: Any, _inputs: Any) -> None:
        order.append(module)

    leaves = [m for m in model.modules() if not any(True for _ in m.children())]
    handles = [each.register_forward_pre_hook(note) for each in leaves]
    try:
        with job.torch.no_grad():
            job.answer(model, job.flat.tensors())
    finally:
        for each in handles:
            each.remove()
    with_weights = [m for m in order if any(True for _ in m.parameters())]
    if len(with_weights) != len(set(map(id, with_weights))):
        raise CannotThinError("a layer of it is used more than once")
    known = {id(p) for m in with_weights for p in m.parameters()}
    if any(id(p) not in known for p in model.parameters()):
        raise CannotThinError("it has weights outside of its layers")
    return order


def _narrow(width: int, factor: float) -> int:
    return min(width, max(_ROUND_TO, round(width * factor / _ROUND_TO) * _ROUND_TO))


def _cut(module: Any, factor: float, is_last: bool) -> Any:
    """A hook that fits the layer to what arrives, once."""
    import torch

    nn = torch.nn

    def fit(_module: Any, inputs: Any) -> None:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            width = int(inputs[0].shape[1])
            for name in ("weight", "bias"):
                value = getattr(module, name)
                if value is not None:
                    setattr(module, name, nn.Parameter(value.detach()[:width].clone()))
            for name in ("running_mean", "running_var"):
                if getattr(module, name) is not None:
                    setattr(module, name, getattr(module, name)[:width].clone())
            module.num_features = width
            return
        weight = module.weight.detach()
        out = int(weight.shape[0]) if is_last else _narrow(int(weight.shape[0]), factor)
        if isinstance(module, nn.Linear):
            arriving = int(inputs[0].shape[-1])
            before = module.in_features
            new = weight[:out, :arriving] * (before / arriving) ** 0.5
            module.in_features, module.out_features = arriving, out
        else:
            if getattr(module, "transposed", False):
                raise CannotThinError("transposed convolutions are not thinned")
            arriving, before = int(inputs[0].shape[1]), module.in_channels
            if module.groups == before and module.groups > 1:
                out = arriving * (int(weight.shape[0]) // before)
                new = weight[:out]
                module.groups = arriving
            elif module.groups == 1:
                new = weight[:out, :arriving] * (before / arriving) ** 0.5
            else:
                raise CannotThinError("convolutions in groups are not thinned")
            module.in_channels, module.out_channels = arriving, out
        module.weight = nn.Parameter(new.clone())
        if module.bias is not None:
            module.bias = nn.Parameter(module.bias.detach()[:out].clone())

    return fit
