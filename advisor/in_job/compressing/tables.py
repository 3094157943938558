"""Embedding tables as a narrow table and a linear layer: for memory and the size of a file.

Rows that captured inputs use often keep more of what they hold than rare ones, and no row is
dropped: an input that nobody captured may ask for it. A table that a head shares is left alone.
Nothing is computed faster by it.
"""

from __future__ import annotations

from typing import Any  # torch and modules are of the job's own version

from .job import CannotCompressError, Job
from .pruning import acceptable
from .recovery import Settings

_LEAST_SHARE = 0.2  # of all weights: a smaller table is not worth it
_NARROWER = (2, 4, 8)
_SMALLER = 0.97  # of the weights of the step before


def build(job: Job) -> dict[str, Any]:
    """Make the large tables narrower, more from step to step; why it `stopped`.

    Each step begins with the original's weights.
    """
    names = large(job.module)
    counts = {name: uses(job, name) for name in names}
    rolled_back: list[dict[str, Any]] = []

    def ended(why: str) -> dict[str, Any]:
        return {"stopped": why, "rolled_back": rolled_back, "seed": job.seed, "tables": names}

    before = sum([p.numel() for p in job.module.parameters()])
    for number, narrower in enumerate(_NARROWER[len(job.steps) :], start=len(job.steps) + 1):
        if job.out_of_time():
            return ended("its time was up")
        model = job.copy()
        for name in names:
            _replace(model, name, factorised(model.get_submodule(name), narrower, counts[name]))
        size = sum([p.numel() for p in model.parameters()])
        if size > _SMALLER * (job.steps[-1]["parameters"] if job.steps else before):
            return ended(f"step {number} pays nothing: it has {size:,} weights")
        job.say(f"step {number}: tables of a {narrower}th of their width")
        seed = job.seed + 1000 * number
        learnt = job.recover(model, Settings(int(job.options.get("epochs") or 2), 3e-4, seed))
        drift = job.drift(model)
        said = f"{100 * drift.value:.1f} % {drift.measure}"
        if not acceptable(job, drift):
            why = f"{said} on {drift.rows} held-out inputs"
            rolled_back.append({"step": number, "ratio": 1 - 1 / narrower, "why": why})
            return ended(f"step {number} was rolled back: {why}")
        about = {"drift": drift.as_json(), "recovery": learnt.as_json(), "seed": seed}
        job.accept(f"step-{number}", model, {"narrower": narrower, **about})
        job.say(f"step {number} kept: {size / before:.2f} of the weights, {said}")
    return ended("all widths were tried")


def large(module: Any) -> list[str]:
    """The tables that hold much of a module's weights and share them with nobody.

    Raises CannotCompressError where there is none.
    """
    import torch

    owners: dict[int, int] = {}
    for _, weight in module.named_parameters(remove_duplicate=False):
        owners[id(weight)] = owners.get(id(weight), 0) + 1
    whole = sum([p.numel() for p in module.parameters()])
    tables = [
        (name, each)
        for name, each in module.named_modules()
        if isinstance(each, torch.nn.Embedding) and each.weight.numel() >= _LEAST_SHARE * whole
    ]
    if not tables:
        raise CannotCompressError("it has no embedding table that holds much of its weights")
    found = [name for name, each in tables if owners[id(each.weight)] == 1]
    if not found:
        raise CannotCompressError(f"its table {tables[0][0]} is shared with the head")
    return found


def uses(job: Job, name: str) -> Any:
    """How often captured inputs ask for each row of a table."""
    import torch

    table = job.module.get_submodule(name)
    counts = torch.zeros(table.num_embeddings)

    def look(_module: Any, taken: Any, _output: Any) -> None:
        counts.add_(torch.bincount(taken[0].reshape(-1), minlength=len(counts)).float())

    handle = table.register_forward_hook(look)
    try:
        with torch.no_grad():
            for inputs in job.samples:
                job.answer(job.module, inputs)
    finally:
        handle.remove()
    return counts


def factorised(table: Any, narrower: int, counts: Any) -> Any:
    """A narrow table and the linear layer behind it: the nearest to the table of that width.

    Nearest where the errors of a row count by the square root of how often it is used.
    """
    import torch

    rank = max(1, table.embedding_dim // narrower)
    scale = (counts + 1).sqrt().sqrt().to(table.weight).unsqueeze(1)
    with torch.no_grad():
        left, values, right = torch.linalg.svd(table.weight * scale, full_matrices=False)
        narrow = torch.nn.Embedding(table.num_embeddings, rank)
        wide = torch.nn.Linear(rank, table.embedding_dim, bias=False)
        narrow.weight.copy_(left[:, :rank] * values[:rank] / scale)
        wide.weight.copy_(right[:rank].T)
    return torch.nn.Sequential(narrow, wide).to(table.weight.dtype)


def _replace(model: Any, name: str, new: Any) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, new)
