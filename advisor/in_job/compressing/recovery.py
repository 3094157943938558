"""A changed model learns from the teacher's cached answers: a plain loop, the same for a seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple  # torch and modules are of the job's own version

from .losses import Drift, Output, drift, loss
from .samples import Pair

_LEAST_ROWS_FOR_NORMS = 8  # statistics of fewer rows would be noise
_LONGEST_STEP = 1.0  # of the gradient, all weights together

Answer = Callable[[Any, "tuple[Any, ...]"], "dict[str, Any]"]


class Settings(NamedTuple):
    """How long and how fast to learn: `rate` is the highest one, and falls to zero by a cosine."""

    epochs: int = 3
    rate: float = 1e-3
    seed: int = 0


class Recovered(NamedTuple):
    """`loss` is the mean of the last epoch; `ended_early` where there was no time for all of it."""

    loss: float
    steps: int
    cpu_s: float
    wall_s: float
    ended_early: bool

    def as_json(self) -> dict[str, Any]:
        return dict(self._asdict())


def recover(
    model: Any,
    answer: Answer,
    learn: list[Pair],
    outputs: list[Output],
    settings: Settings,
    out_of_time: Callable[[], bool] = lambda: False,
    extra_loss: Callable[[dict[str, Any], Pair], Any] | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> Recovered:
    """Let `model` learn to answer as the teacher did, in place; it is in evaluation mode after.

    `answer(model, inputs)` gives its outputs by name. `extra_loss(answer, pair)` is added to each
    loss; `after_step` is called after each change of the weights. The order of batches depends on
    the seed alone.
    """
    import torch

    began_s, cpu_s = time.monotonic(), time.process_time()
    weights = [p for p in model.parameters() if p.requires_grad]
    total = max(1, settings.epochs * len(learn))
    warm = max(1, min(20, total // 10))
    optimizer = torch.optim.Adam(weights, lr=settings.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda at: min(1.0, (at + 1) / warm) * 0.5 * (1 + math.cos(math.pi * at / total)),
    )
    generator = torch.Generator().manual_seed(settings.seed)
    made, mean, early = 0, math.nan, False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        for _ in range(settings.epochs):
            losses = []
            for at in torch.randperm(len(learn), generator=generator).tolist():
                if out_of_time():
                    early = True
                    break
                pair = learn[at]
                learning_mode(model, pair.batch.rows)
                found = answer(model, pair.batch.inputs)
                value = loss(outputs, found, pair.answer, pair.batch.kept)
                if extra_loss is not None:
                    value = value + extra_loss(found, pair)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                torch.nn.utils.clip_grad_norm_(weights, _LONGEST_STEP)
                optimizer.step()
                schedule.step()
                after_step()
                losses.append(float(value.detach()))
                made += 1
            mean = sum(losses) / len(losses) if losses else mean
            if early:
                break
    optimizer.zero_grad(set_to_none=True)
    model.eval()
    return Recovered(mean, made, time.process_time() - cpu_s, time.monotonic() - began_s, early)


def learning_mode(model: Any, rows: int) -> None:
    """Evaluation mode, but for batch norms that see enough rows: dropout would only blur."""
    model.eval()
    if rows >= _LEAST_ROWS_FOR_NORMS:
        for each in batch_norms(model):
            each.train()


def refresh_norms(model: Any, answer: Answer, learn: list[Pair]) -> None:
    """Give batch norms the means and spreads that they see now; other modules have none."""
    import torch

    norms = batch_norms(model)
    if not norms:
        return
    before = [each.momentum for each in norms]
    for each in norms:
        each.reset_running_stats()
        each.momentum = None  # a plain mean over all batches
    with torch.no_grad():
        for pair in learn:
            learning_mode(model, pair.batch.rows)
            answer(model, pair.batch.inputs)
    for each, momentum in zip(norms, before):
        each.momentum = momentum
    model.eval()


def batch_norms(model: Any) -> list[Any]:
    """Its batch norms that keep statistics."""
    import torch

    kinds = torch.nn.modules.batchnorm._BatchNorm
    return [m for m in model.modules() if isinstance(m, kinds) and m.track_running_stats]


def judged(model: Any, answer: Answer, held: list[Pair], outputs: list[Output]) -> Drift:
    """How far a model's answers to held-out inputs are from the teacher's."""
    import torch

    model.eval()
    with torch.no_grad():
        found = [answer(model, pair.batch.inputs) for pair in held]
    return drift(outputs, found, [p.answer for p in held], [p.batch.kept for p in held])


def teacher_loss(model: Any, answer: Answer, some: list[Pair], outputs: list[Output]) -> float:
    """The mean loss of a model on some batches, without learning."""
    import torch

    model.eval()
    with torch.no_grad():
        values = [
            float(loss(outputs, answer(model, p.batch.inputs), p.answer, p.batch.kept))
            for p in some
        ]
    return sum(values) / max(1, len(values))
