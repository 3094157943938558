"""What can be taken out of a model: each candidate tried alone first, for what it does and saves.

A trial takes out a quarter of a group's least important channels or heads, or one whole layer, and
looks at how far the answers move then, without any learning but a rough fit of what is behind.
Where a trial fails, or the form of the answers changes, the candidate is left out, with the reason.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple  # torch and modules are of the job's own version

from . import heads, layers
from .channels import Channels, Graph
from .job import CannotCompressError, Job
from .losses import loss
from .operations import apply
from .recovery import refresh_norms, teacher_loss
from .refit import refit
from .samples import Pair

_TRIAL = 0.25
_LOOKED_AT = 32  # rows, about, that a trial is judged by


class Candidate(NamedTuple):
    """`kind` is "channels", "heads" or "layers"; `size` how many there are of it.

    `saved` is the share of the model's operations that the trial saved, `harm` the loss that it
    did; `places` the one of a whole layer.
    """

    kind: str
    at: str
    size: int
    saved: float
    harm: float
    place: int = -1

    @property
    def name(self) -> str:
        return f"{self.at}.{self.place}" if self.kind == "layers" else f"{self.at} ({self.kind})"

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, "saved": self.saved, "harm": self.harm}


class Found(NamedTuple):
    """`left_out` are names of candidates with the reasons why they are none."""

    candidates: list[Candidate]
    left_out: dict[str, str]


def refuse_strange(job: Job) -> None:
    """Raise CannotCompressError for a model whose layers are not what they seem.

    One that runs other layers for other inputs, or the same layer several times, would be broken
    in ways that some captured inputs may not show.
    """
    orders = [_called(job, inputs) for inputs in job.samples]
    if any(each != orders[0] for each in orders):
        raise CannotCompressError("which of its layers run depends on the input")
    counts: dict[str, int] = {}
    for name in orders[0]:
        counts[name] = counts.get(name, 0) + 1
    again = sorted(name for name, count in counts.items() if count > 1)
    if again:
        raise CannotCompressError(
            f"its layer {again[0]} is run several times with the same weights"
        )
    owners: dict[int, str] = {}
    for name, each in job.module.named_parameters(remove_duplicate=False):
        other = owners.setdefault(id(each), name)
        if other != name and not _is_tied_embedding(job.module, other, name):
            raise CannotCompressError(f"its weights {other} and {name} are shared")


def find(job: Job, model: Any) -> Found:
    """The candidates in a model, each tried alone."""
    attention = heads.find(model)
    inside = [name for each in attention for name in each.into]
    tried: list[tuple[str, str, int, int]] = []
    left_out: dict[str, str] = {}
    graph: Graph | None = None
    try:
        graph = Graph(job, model)
        groups: list[Channels] = graph.groups(inside)
        tried += [("channels", each.root, each.size, -1) for each in groups]
    except CannotCompressError as reason:
        left_out["channels"] = str(reason)
    tried += [("heads", each.name, each.heads, -1) for each in attention]
    rows = layers.find(model)
    tried += [("layers", name, 1, at) for name, at in rows]
    whole = operations_of(job, model)
    found = []
    for kind, at, size, place in tried:
        name = f"{at}.{place}" if kind == "layers" else f"{at} ({kind})"
        if job.out_of_time():
            break
        try:
            found.append(_tried(job, model, kind, at, size, place, whole, graph))
        except Exception as error:  # noqa: BLE001 - whatever a model without the part raises
            text = str(error) if isinstance(error, LookupError) else _short(error)
            left_out[name] = text
    return Found([each for each in found if each.saved > 0], left_out)


def resized(job: Job, model: Any, known: list[Candidate]) -> list[Candidate]:
    """Candidates of an earlier step with the sizes that they have now, and what they did then."""
    attention = {each.name: each.heads for each in heads.find(model)}
    inside = [name for each in heads.find(model) for name in each.into]
    channels: dict[str, int] = {}
    if any(each.kind == "channels" for each in known):
        channels = {each.root: each.size for each in Graph(job, model).groups(inside)}
    sizes = {"channels": channels, "heads": attention}
    found = []
    for each in known:
        size = 1 if each.kind == "layers" else sizes[each.kind].get(each.at, 0)
        if size > (each.kind != "layers"):
            found.append(each._replace(size=size))
    return found


def few(job: Job, rows: int) -> list[Pair]:
    """The first batches to learn from that have so many rows together."""
    found: list[Pair] = []
    for pair in job.learn:
        found.append(pair)
        rows -= pair.batch.rows
        if rows <= 0:
            break
    return found


def least(scores: Any, count: int) -> list[int]:
    """The places of the lowest scores, in order."""
    import torch

    order = torch.argsort(scores.double(), stable=True)
    return sorted(order[:count].tolist())


def scores(job: Job, model: Any, kind: str, at: str, criterion: str, graph: Graph | None) -> Any:
    """What each channel or head is worth; "taylor" needs gradients in the model."""
    if kind == "heads":
        one = next(each for each in heads.find(model) if each.name == at)
        if criterion in ("activation", "output"):
            each = (
                activation(job, model, one.behind, inputs=True)
                if criterion == "activation"
                else given_on(job, model, one.behind)
            )
            return each.reshape(one.heads, one.width).sum(1)
        power = 1 if criterion == "l1" else 2
        return heads.worth(model, one, power, gradient=criterion == "taylor")
    if criterion == "activation":
        return activation(job, model, at)
    graph = graph or Graph(job, model)
    if criterion == "output":
        behind = graph.linear_behind(at)
        if not behind:
            return activation(job, model, at)
        return sum([given_on(job, model, name) for name in behind])
    return graph.worth(at, criterion)


def with_gradients(job: Job, model: Any) -> None:
    """Leave the gradients of the loss on a few batches in the model's weights."""
    model.zero_grad(set_to_none=True)
    model.eval()
    for pair in few(job, 3 * _LOOKED_AT):
        answer = job.answer(model, pair.batch.inputs)
        loss(job.outputs, answer, pair.answer, pair.batch.kept).backward()


def given_on(job: Job, model: Any, name: str) -> Any:
    """What each input of a linear layer gives on: its mean square, times that of its weights."""
    weight = model.get_submodule(name).weight.detach()
    return activation(job, model, name, inputs=True, power=2) * (weight**2).sum(0)


def activation(job: Job, model: Any, name: str, *, inputs: bool = False, power: int = 1) -> Any:
    """How large each channel's values are on average, of what a layer gives out (or takes in)."""
    import torch

    sums: list[Any] = []

    def look(_module: Any, taken: Any, output: Any) -> None:
        value = (taken[0] if inputs else output).detach().abs() ** power
        conv = isinstance(_module, torch.nn.modules.conv._ConvNd)
        dims = [d for d in range(value.dim()) if d != (1 if conv else value.dim() - 1)]
        sums.append(value.mean(dims))

    handle = model.get_submodule(name).register_forward_hook(look)
    try:
        with torch.no_grad():
            for pair in few(job, _LOOKED_AT):
                job.answer(model, pair.batch.inputs)
    finally:
        handle.remove()
    return torch.stack(sums).mean(0)


def operations_of(job: Job, model: Any) -> float:
    """Floating-point operations of one captured call; weights, where torch cannot count them."""
    inputs = job.calls[0]
    try:
        from torch.utils.flop_counter import FlopCounterMode

        with job.torch.no_grad(), FlopCounterMode(display=False) as counter:
            job.answer(model, inputs)
        count = float(counter.get_total_flops())
    except ImportError:
        count = 0.0
    return count or float(sum([p.numel() for p in model.parameters()]))


def step_of(kind: str, size: int) -> int:
    """The least that is worth taking out of so many: run times compute channels in blocks."""
    if kind != "channels":
        return 1
    return 16 if size >= 48 else 8 if size >= 24 else 4 if size >= 12 else 1


def _tried(
    job: Job,
    model: Any,
    kind: str,
    at: str,
    size: int,
    place: int,
    whole: float,
    graph: Graph | None,
) -> Candidate:
    if kind == "layers":
        remove = [place]
    else:
        step = step_of(kind, size)
        count = max(step, int(_TRIAL * size) // step * step)
        if count >= size:
            raise LookupError("nothing would be left of it")
        reads = kind == "heads" or (graph is not None and graph.linear_behind(at))
        remove = least(scores(job, model, kind, at, "output" if reads else "l2", graph), count)
    trial = copy.deepcopy(model)
    apply(job, trial, [{"kind": kind, "at": at, "remove": remove}])
    _check_form(job, trial)
    some = few(job, _LOOKED_AT)
    refresh_norms(trial, job.answer, some)
    refit(job, model, trial, roughly=True)
    harm = teacher_loss(trial, job.answer, some, job.outputs)
    saved = 1 - operations_of(job, trial) / whole
    return Candidate(kind, at, size, saved, harm, place)


def _check_form(job: Job, model: Any) -> None:
    """Raise LookupError where the answers have another form than the teacher's."""
    model.eval()
    with job.torch.no_grad():
        own = job.answer(job.module, job.calls[0])
        found = job.answer(model, job.calls[0])
    if [(n, tuple(t.shape)) for n, t in own.items()] != [
        (n, tuple(t.shape)) for n, t in found.items()
    ]:
        raise LookupError("its answers would have another form")
    if not all(bool(t.isfinite().all()) for t in found.values()):
        raise LookupError("its answers would be no numbers")


def _called(job: Job, inputs: tuple[Any, ...]) -> list[str]:
    """The names of the layers with weights that a call runs, in their order."""
    order: list[str] = []

    def look(name: str) -> Any:
        return lambda *_: order.append(name)

    handles = [
        each.register_forward_hook(look(name))
        for name, each in job.module.named_modules()
        if any(True for _ in each.parameters(recurse=False))
    ]
    try:
        with job.torch.no_grad():
            job.answer(job.module, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return order


def _is_tied_embedding(module: Any, first: str, second: str) -> bool:
    """Whether two names of one weight are those of an embedding and the layer that undoes it."""
    import torch

    owners = [module.get_submodule(name.rpartition(".")[0]) for name in (first, second)]
    kinds = (torch.nn.Embedding, torch.nn.Linear)
    return all(isinstance(each, kinds) for each in owners) and any(
        isinstance(each, torch.nn.Embedding) for each in owners
    )


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]
