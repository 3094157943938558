"""When a student is sure enough to answer alone: a threshold, set on inputs that taught it nothing.

Those are the held-out inputs of the screening part, as they are and changed. Of what it learnt
from, changed or not, a student is surer than it has reason to be. The changed ones are harder than
real ones, so the threshold is on the cautious side.
"""

from __future__ import annotations

from typing import Any  # tensors are of the job's own torch

from .inputs import disturbed

_STRENGTH = 0.4
_TIMES = 4
_MOST_ESCALATED = 0.6  # then the original alone is hardly dearer
_SEED = 2


def rule_of(job: Any, student: Any) -> dict[str, Any] | None:
    """The threshold by which no more answers change than the limit allows; None if none is of use.

    `escalated` is the share of rows under it, `others` of rows above it with another class.
    """
    import torch

    if len(job.outputs) != 1 or job.outputs[0].kind != "scores":
        return None
    name = job.outputs[0].name
    confidences, same = [], []
    generator = torch.Generator().manual_seed(job.seed + _SEED)
    shares = False
    with torch.no_grad():
        for time in range(_TIMES + 1):
            for pair in job.held:
                batch = disturbed(pair.batch, generator, _STRENGTH) if time else pair.batch
                own = job.answer(student, batch.inputs)[name]
                theirs = job.answer(job.module, batch.inputs)[name]
                if own.dim() != 2 or own.shape[1] < 2:
                    return None
                shares = are_shares(theirs)
                confidences.append((own if shares else own.softmax(-1)).max(-1).values)
                same.append(own.argmax(-1) == theirs.argmax(-1))
    confidence, right = torch.cat(confidences), torch.cat(same)
    order = confidence.argsort(descending=True)
    wrong = (~right[order]).cumsum(0)
    allowed = job.limit * len(right)
    ranked = confidence[order]
    # Rows that are equally sure are let through together, or not at all.
    ends = torch.ones_like(right)
    ends[:-1] = ranked[:-1] > ranked[1:]
    usable = (ends & (wrong <= allowed)).nonzero()
    if not len(usable):
        return None
    kept = int(usable[-1]) + 1
    threshold = float(ranked[kept - 1])
    escalated = float((confidence < threshold).float().mean())
    if escalated > _MOST_ESCALATED:
        return None
    return {
        "threshold": threshold,
        "output": name,
        "shares": shares,
        "escalated": escalated,
        "others": int(wrong[kept - 1]) / len(right),
        "rows": len(right),
    }


def are_shares(scores: Any) -> bool:
    """Whether rows are shares that add up to one."""
    sums = scores.sum(-1)
    return bool((scores >= 0).all() and ((sums - 1).abs() < 1e-3).all())
