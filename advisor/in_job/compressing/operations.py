"""What is taken out of a model, as data: replayed on a fresh copy it gives the same model again.

{"kind": "channels" | "heads" | "layers", "at": name, "remove": [places]}
"""

from __future__ import annotations

from typing import Any  # modules are of the job's own version

from . import heads, layers
from .channels import Graph
from .job import Job

Operation = dict  # of JSON


def prepared(job: Job) -> Any:
    """A copy of the teacher to take something out of."""
    model = job.copy()
    heads.as_linear(model)
    return model


def apply(job: Job, model: Any, operations: list[dict[str, Any]]) -> None:
    """Take out what the operations say, in their order, in place.

    Raises LookupError, and what torch raises where it cannot be done.
    """
    graph: Graph | None = None
    for each in operations:
        if each["kind"] == "channels":
            graph = graph or Graph(job, model)
            graph.take_out(each["at"], each["remove"])
            continue
        graph = None
        act = heads.take_out if each["kind"] == "heads" else layers.take_out
        act(model, each["at"], each["remove"])
    if graph is not None:
        _follow_widths(model)


def _follow_widths(model: Any) -> None:
    """Set what modules note about their widths and no layer tells them."""
    import torch

    for module in model.modules():
        config = getattr(module, "config", None)
        table = getattr(module, "word_embeddings", None) or getattr(module, "wte", None)
        if isinstance(table, torch.nn.Embedding):
            for name in ("hidden_size", "n_embd", "dim"):
                if isinstance(getattr(config, name, None), int):
                    setattr(config, name, int(table.weight.shape[1]))
            if isinstance(getattr(module, "embed_dim", None), int):
                module.embed_dim = int(table.weight.shape[1])
