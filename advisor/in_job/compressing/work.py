"""How much a model computes, and how much can be learnt in a time: planned, not measured.

So the same seed and the same budget give the same models, whatever else the machine does.
"""

from __future__ import annotations

from typing import Any  # modules are of the job's own torch

# Multiplications a second of one thread, in layers that are wide enough for copies to be a burden.
_A_SECOND = 2e10
_EPOCHS = 3
_SHARE = 0.5  # of a recipe's time: for learning once


def multiplications(job: Any, model: Any) -> int:
    """Those of convolutions and linear layers in one call like the first."""
    import torch

    total = [0]

    def count(module: Any, _inputs: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor):
            weight = module.weight
            total[0] += output.numel() * int(weight.numel() // weight.shape[0])

    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    handles = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, kinds)]
    try:
        with torch.no_grad():
            job.answer(model, job.flat.tensors())
    finally:
        for each in handles:
            each.remove()
    return max(1, total[0])


def affordable_copies(work: float, time_s: float, threads: int) -> int:
    """How many changed copies of all inputs can be learnt from, beside these; one at least.

    `work` is the multiplications of one call for each of the inputs, added up.
    """
    once = 3 * _EPOCHS * work  # there, and back twice
    return max(1, int(_SHARE * time_s * threads * _A_SECOND / once) - 1)
