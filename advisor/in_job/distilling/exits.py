"""The recipe: heads on the states in the middle of the module, and when they are sure enough.

A head is one linear layer on the pooled states after some of the blocks; the blocks keep their
weights. It learns from the module's own answers.
"""

from __future__ import annotations

from typing import Any  # modules are of the job's own torch

from ..compressing.job import CannotCompressError  # noqa: TID252 - another name in a job
from ..compressing.recovery import Settings, judged  # noqa: TID252
from ..compressing.work import multiplications  # noqa: TID252
from . import shallow
from .confidence import rule_of
from .inputs import learning_set
from .like import NoStandardError, like

_COPIES = 7
_EPOCHS = 30
_RATE = 3e-3
_PARTS = 4  # exits that are tried: after a quarter of the blocks, and so on


class _Reached(Exception):  # noqa: N818 - no error: the rest of the module is not asked
    """The states after the last block that is asked."""

    def __init__(self, states: Any) -> None:
        super().__init__()
        self.states = states


def build(job: Any) -> dict[str, Any]:
    """Teach a head for some depths; those with a threshold are kept.

    Raises CannotCompressError where the module has no blocks, or no head gets sure enough.
    """
    try:
        name, places = shallow.row_of_blocks(job.module)
    except shallow.CannotDropError as error:
        raise CannotCompressError(str(error)) from error
    learn = learning_set(job, _COPIES)
    before, job.learn = job.learn, learn
    depths = sorted({max(1, round(len(places) * part / _PARTS)) for part in range(1, _PARTS)})
    known = {step["name"] for step in job.steps}
    for depth in depths:
        if f"exit-{depth}" in known or job.out_of_time():
            continue
        job.say(f"a head after {depth} of {len(places)} blocks")
        try:
            model = exit_after(job, name, places[depth - 1])
        except (NoStandardError, RuntimeError) as error:
            raise CannotCompressError(f"no head fits in the middle: {error}") from error
        job.recover(model, Settings(_EPOCHS, _RATE, job.seed))
        job.learn, taught = before, job.learn
        rule = rule_of(job, model)
        job.learn = taught
        if rule is None:
            continue
        drift = judged(model, job.answer, job.held, job.outputs)
        about = {
            "kind": "exit",
            "student": f"after {depth} of {len(places)} blocks",
            "work": multiplications(job, model) / multiplications(job, job.module),
            "drift": drift.as_json(),
            "limit": job.limit_of(drift.measure),
            "cascade": rule,
            "passes": False,
            "seed": job.seed,
        }
        step = job.exported(f"exit-{depth}", model, about)
        job.keep(step)
    if not job.steps:
        raise CannotCompressError("no head in the middle is sure enough of its answers")
    return {"stopped": "all depths were tried"}


def exit_after(job: Any, name: str, place: int) -> Any:
    """The module up to one block of its longest row, with a head. Raises NoStandardError."""
    import torch

    if len(job.outputs) != 1 or job.outputs[0].kind != "scores":
        raise NoStandardError("its answers are no scores of classes")
    copy = job.copy()
    block = copy.get_submodule(name)[place]
    whole = block.forward

    def reached(*args: Any, **kwargs: Any) -> Any:
        states = whole(*args, **kwargs)
        raise _Reached(states[0] if isinstance(states, tuple) else states)

    block.forward = reached
    for each in copy.parameters():
        each.requires_grad_(False)
    flat, mask = job.flat, job.learn[0].batch.mask

    def states_of(inputs: Any) -> Any:
        args, kwargs = flat.with_tensors(inputs)
        try:
            copy(*args, **kwargs)
        except _Reached as found:
            return _pooled(found.states, None if mask is None else inputs[mask])
        raise NoStandardError("its blocks are not called")

    with torch.no_grad():
        width = int(states_of(flat.tensors()).shape[-1])
        answer = job.answer(job.module, flat.tensors())[job.outputs[0].name]
    torch.manual_seed(job.seed)

    class Exit(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = copy
            self.norm = torch.nn.BatchNorm1d(width)
            self.head = torch.nn.Linear(width, int(answer.shape[-1]))

        def forward(self, *inputs: Any) -> Any:
            return self.head(self.norm(states_of(inputs)))

    return like(job, Exit())


def _pooled(states: Any, mask: Any) -> Any:
    """One row for each input: the mean over places of a map, or over the words that count."""
    if states.dim() == 4:
        return states.mean((2, 3))
    if states.dim() == 3:
        if mask is None or mask.dim() != 2:
            return states.mean(1)
        kept = mask.unsqueeze(-1).to(states.dtype)
        return (states * kept).sum(1) / kept.sum(1).clamp(min=1e-9)
    return states.flatten(1)
