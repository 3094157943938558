"""Channels, features of linear layers and residual widths, with all layers that hang on them.

Which hang together is what torch-pruning finds out from one traced call.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any, NamedTuple  # torch, torch-pruning and modules are of the job's own version

from .job import CannotCompressError, Job


class Channels(NamedTuple):
    """A group of layers whose channels go together; `root` is the layer that names it."""

    root: str
    size: int
    layers: int


class Graph:
    """What hangs together in one model. Stays right while the model is pruned through it."""

    def __init__(self, job: Job, model: Any) -> None:
        try:
            self._tp = importlib.import_module("torch_pruning")
        except ImportError as error:
            raise CannotCompressError(f"torch-pruning cannot be imported: {error}") from error
        self._model = model
        inputs = tuple([each.detach().clone() for each in job.flat.tensors()])

        def forward(traced: Any, tensors: Any) -> Any:
            # Only what counts: an output that is not learnt from may go its own way.
            found = job.answer(traced, tuple(tensors))
            return [value for value in found.values() if value.requires_grad]

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._graph = self._tp.DependencyGraph().build_dependency(
                    model, example_inputs=list(inputs), forward_fn=forward, verbose=False
                )
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise CannotCompressError(
                f"how its layers hang together cannot be seen: {text}"
            ) from error

    def groups(self, excluded: list[str]) -> list[Channels]:
        """All groups of channels that reach no output of the model and no excluded layer."""
        ignored = [self._model.get_submodule(name) for name in excluded]
        found = []
        kinds = (self._tp.ops.TORCH_CONV, self._tp.ops.TORCH_LINEAR)
        for group in self._graph.get_all_groups(ignored, kinds):
            names = [self._name(dep) for dep, _ in group]
            if any(dep.target.type == self._tp.ops.OPTYPE.OUTPUT for dep, _ in group):
                continue
            layers = len({name for name in names if name})
            if layers > 1:  # a layer that nothing else hangs on
                found.append(Channels(names[0], len(group[0].idxs), layers))
        return found

    def worth(self, root: str, criterion: str) -> Any:
        """A number for each channel of a group: "l1", "l2", or "taylor", which needs gradients."""
        importance = self._tp.importance
        scored = {
            "l1": lambda: importance.GroupMagnitudeImportance(p=1),
            "l2": lambda: importance.GroupMagnitudeImportance(p=2),
            "taylor": importance.GroupTaylorImportance,
        }[criterion]()
        module = self._model.get_submodule(root)
        size = self._graph.get_out_channels(module)
        return scored(self._group(root, list(range(size)))).detach()

    def linear_behind(self, root: str) -> list[str]:
        """The linear layers that take all channels of a group, each as one of their inputs."""
        module = self._model.get_submodule(root)
        size = self._graph.get_out_channels(module)
        return [
            self._name(dep)
            for dep, places in self._group(root, list(range(size)))
            if dep.target.type == self._tp.ops.OPTYPE.LINEAR
            and self._graph.is_in_channel_pruning_fn(dep.handler)
            and len(places) == size
        ]

    def take_out(self, root: str, places: list[int]) -> None:
        """Remove these channels from all layers of the group. Raises LookupError."""
        group = self._group(root, places)
        if not self._graph.check_pruning_group(group):
            raise LookupError(f"nothing would be left of {root}")
        group.prune()

    def _group(self, root: str, places: list[int]) -> Any:
        module = self._model.get_submodule(root)
        pruner = self._graph.get_pruner_of_module(module)
        return self._graph.get_pruning_group(module, pruner.prune_out_channels, places)

    def _name(self, dep: Any) -> str:
        module = dep.target.module
        return str(self._graph._module2name.get(module, "")) if dep.target.type is not None else ""
