"""A module as a program of its own, by `torch.export`: no Python of the user's is needed to run it.

Exported in evaluation mode. As many dimensions stay open as torch can prove, the batch first; then
the program is loaded from its file and run beside the module, on the captured inputs and on another
batch size, and is only kept if both answer alike.
"""

from __future__ import annotations

import functools
import inspect

from .capture_values import containers_copied, is_mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .root_calls import RootCall

_RELATIVE, _ABSOLUTE = 1e-3, 1e-4  # above the rounding of another order of additions
_LONGEST_REASON = 400


class DifferentError(Exception):
    """The program and the module do not answer alike."""


class Example:
    """Inputs of the module, as its own tensors; `batch` is the size of their first dimension."""

    def __init__(self, torch: Any, args: Any, kwargs: Any) -> None:
        self._torch = torch
        self._map = torch.utils._pytree.tree_map
        self._inputs = self._map(self._own, (tuple(args), dict(kwargs)))
        self.batch = self._batch()

    def inputs(self) -> Any:
        """Positional and named ones; containers are new each time, for a call may add to them."""
        return containers_copied(self._inputs)

    def run(self, module: Any) -> Any:
        """What the module answers."""
        args, kwargs = self.inputs()
        return module(*args, **kwargs)

    def _own(self, value: Any) -> Any:
        return value.detach().clone() if isinstance(value, self._torch.Tensor) else value

    def tensors(self) -> list[Any]:
        """All of them, in order."""
        leaves = self._torch.utils._pytree.tree_flatten(self._inputs)[0]
        return [each for each in leaves if isinstance(each, self._torch.Tensor)]

    def _batch(self) -> int | None:
        return next((int(each.shape[0]) for each in self.tensors() if each.dim()), None)

    def of_batch(self, count: int) -> Example:
        """The same with `count` samples, made by repeating them."""
        torch, batch = self._torch, self.batch

        def resized(value: Any) -> Any:
            if not isinstance(value, torch.Tensor) or not value.dim() or value.shape[0] != batch:
                return value
            return value[torch.arange(count) % batch].clone()

        return Example(torch, *self._map(resized, self._inputs))


def export(torch: Any, module: Any, call: RootCall, path: str) -> dict[str, Any]:
    """Write the program to `path`; returns how it was made and how near it comes to the module.

    Changes the module's mode: for a copy of the process only. Raises what torch raises last.
    """
    module.eval()
    example = Example(torch, call.args, call.kwargs)
    answer = example.run(module)  # its error is plainer than the exporter's
    only_tensors = any(not _exportable(torch, leaf) for leaf in _flat(torch, answer))
    if only_tensors:
        _answer_only_tensors(torch, module)
    problems: list[str] = []
    for way, example_used, shapes in _ways(torch, module, example):
        try:
            program = _exported(torch, module, example_used, shapes)
            torch.export.save(program, path)
            loaded = torch.export.load(path)
            found = _checked(torch, module, loaded, example, dynamic=shapes is not None)
        except Exception as error:  # noqa: BLE001 - the next way may work
            problems.append(f"{way}: {type(error).__name__}: {error}"[:_LONGEST_REASON])
            continue
        found.update(dynamic=open_dimensions(program), only_tensors=only_tensors, tried=problems)
        return {"way": way, **found}
    raise RuntimeError("; ".join(problems[-1:]) or "nothing to export")


def _ways(torch: Any, module: Any, example: Example) -> Iterator[tuple[str, Example, Any]]:
    """What to try: every dimension open, the batch alone, none."""
    automatic = getattr(getattr(torch.export, "Dim", None), "AUTO", None)  # torch 2.6
    # A dimension of size 1 is taken for constant, so a single sample is doubled.
    larger = example
    if example.batch == 1:
        try:
            larger = example.of_batch(2)
            larger.run(module)
        except Exception:  # noqa: BLE001 - it takes one sample at a time
            larger = example
    if automatic is not None:
        yield "every dimension open", larger, _shapes(torch, module, larger, automatic, True)
    if example.batch is not None and hasattr(torch.export, "Dim"):
        batch = automatic or torch.export.Dim("batch")
        yield "the batch open", larger, _shapes(torch, module, larger, batch, False)
    yield "fixed shapes", example, None


def _shapes(torch: Any, module: Any, example: Example, mark: Any, every: bool) -> Any:
    """Which dimensions stay open, for every input of `forward` by its name."""

    def of(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.dim():
            return None
        if every:
            return dict.fromkeys(range(value.dim()), mark)
        return {0: mark} if value.shape[0] == example.batch else None

    args, kwargs = example.inputs()
    bound = inspect.signature(module.forward).bind(*args, **kwargs)
    return {
        name: torch.utils._pytree.tree_map(of, value) for name, value in bound.arguments.items()
    }


def _exported(torch: Any, module: Any, example: Example, shapes: Any) -> Any:
    arguments = (module, *example.inputs())
    if shapes is None:
        return torch.export.export(*arguments)
    try:  # without Dynamo: quicker, and closer to what eager does; not before torch 2.3
        return torch.export.export(*arguments, dynamic_shapes=shapes, strict=False)
    except TypeError as error:
        if "strict" not in str(error):
            raise
    return torch.export.export(*arguments, dynamic_shapes=shapes)


def _checked(
    torch: Any, module: Any, program: Any, example: Example, *, dynamic: bool
) -> dict[str, Any]:
    """The largest difference between the two. Raises DifferentError."""
    tried = [example]
    if dynamic and example.batch is not None and any(0 in d for d in _dims(program)):
        tried.append(example.of_batch(example.batch + 1))
    runnable = program.module()
    largest, batches = 0.0, []
    for each in tried:
        theirs, ours = _leaves(torch, each.run(module)), _leaves(torch, each.run(runnable))
        if len(theirs) != len(ours):
            raise DifferentError("another number of outputs")
        for a, b in zip(theirs, ours):
            if a.shape != b.shape or not torch.allclose(a, b, _RELATIVE, _ABSOLUTE, True):
                raise DifferentError("other answers than the module's")
            if a.numel():
                largest = max(largest, float((a.double() - b.double()).abs().nan_to_num().max()))
        batches.append(each.batch)
    return {"max_abs_difference": largest, "checked_batches": batches}


def _leaves(torch: Any, output: Any) -> list[Any]:
    return [each for each in _flat(torch, output) if isinstance(each, torch.Tensor)]


def _flat(torch: Any, output: Any) -> list[Any]:
    return list(torch.utils._pytree.tree_flatten(output)[0])


def _exportable(torch: Any, leaf: Any) -> bool:
    return leaf is None or isinstance(leaf, (torch.Tensor, bool, int, float))


def _answer_only_tensors(torch: Any, module: Any) -> None:
    """Have the module leave out what a program cannot give back: texts, objects.

    By a class of its own in place of the module's, so that inputs and weights keep their names.
    """
    kind = type(module)

    @functools.wraps(kind.forward)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _tensors_of(torch, kind.forward(self, *args, **kwargs))

    module.__class__ = type(kind.__name__, (kind,), {"forward": forward})


def _tensors_of(torch: Any, value: Any) -> Any:
    """The tensors in dicts, lists and tuples; None for everything else."""
    if isinstance(value, torch.Tensor):
        return value
    if is_mapping(value):
        found = {name: _tensors_of(torch, each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not None}
    if isinstance(value, (list, tuple)):
        return [each for each in (_tensors_of(torch, each) for each in value) if each is not None]
    return None


def _dims(program: Any) -> list[list[int]]:
    return list(open_dimensions(program).values())


def _is_open(size: Any) -> bool:
    """Whether any size will do: a symbol that has come out as a number is none."""
    return type(size) is not int and not str(size).isdigit()


def open_dimensions(program: Any) -> dict[str, list[int]]:
    """By input: which dimensions may have any size."""
    users = set(getattr(program.graph_signature, "user_inputs", ()))
    found = {}
    for node in program.graph.nodes:
        shape = getattr(node.meta.get("val"), "shape", None)
        if node.op == "placeholder" and node.name in users and shape is not None:
            found[str(node.name)] = [at for at, size in enumerate(shape) if _is_open(size)]
    return found
