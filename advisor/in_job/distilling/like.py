"""Small networks of our own in the form of the program's module: its call, its form of answer."""

from __future__ import annotations

import inspect
from typing import Any  # torch and modules are of the job's own version


class NoStandardError(Exception):
    """No standard network can take the module's place; the text says why."""


def tensors_in(value: Any) -> int:
    """How many tensors there are in an answer."""
    import torch

    if isinstance(value, torch.Tensor):
        return 1
    if hasattr(type(value), "keys"):
        return sum(tensors_in(value[key]) for key in value.keys())  # noqa: SIM118
    if isinstance(value, (list, tuple)):
        return sum(tensors_in(each) for each in value)
    if hasattr(type(value), "__dataclass_fields__"):
        return sum(tensors_in(getattr(value, each)) for each in type(value).__dataclass_fields__)
    return 0


def rebuilt(value: Any, tensor: Any) -> Any:
    """An answer of the same form with `tensor` as its only tensor."""
    import torch

    if isinstance(value, torch.Tensor):
        return tensor
    kind: Any = type(value)
    if hasattr(kind, "keys"):
        made = {key: rebuilt(value[key], tensor) for key in value.keys()}  # noqa: SIM118
        return made if kind is dict else kind(**made)
    if isinstance(value, (list, tuple)):
        items = [rebuilt(each, tensor) for each in value]
        return kind(*items) if hasattr(value, "_fields") else kind(items)
    if hasattr(kind, "__dataclass_fields__"):
        names = kind.__dataclass_fields__
        return kind(**{name: rebuilt(getattr(value, name), tensor) for name in names})
    return value


def like(job: Any, body: Any) -> Any:
    """`body`, a function of the call's tensors in order, called and answering as the module does.

    Raises NoStandardError where more than one tensor comes out.
    """
    import torch

    with torch.no_grad():
        answer = job.module(*job.args, **job.kwargs)
    if tensors_in(answer) != 1:
        raise NoStandardError("more than one tensor comes out of it")
    swap, names, defaults, paths = job.swap, job.flat.names, job.flat.defaults, job.flat.paths

    class Like(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

            def forward(*args: Any, **kwargs: Any) -> Any:
                leaves = swap.taken_apart(names, defaults, args, kwargs)
                return rebuilt(answer, self.body(*[leaves[path] for path in paths]))

            forward.__signature__ = inspect.signature(job.module.forward)  # type: ignore[attr-defined]
            self.forward = forward

    return Like()
