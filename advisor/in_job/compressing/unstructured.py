"""Small weights as zeros, more from step to step, each step learnt again: for the size of a file.

Nothing is computed faster by it: run times multiply zeros as they do other numbers. What gets
smaller is the file once it is compressed, and that is told. With the pattern "2:4" two weights of
any four in a row are zeros, which some GPUs skip.
"""

from __future__ import annotations

import os
import zlib
from typing import Any  # torch and modules are of the job's own version

from .candidates import with_gradients
from .job import CannotCompressError, Job
from .operations import prepared
from .pruning import acceptable
from .recovery import Settings, batch_norms

_SHARES = (0.5, 0.7, 0.8, 0.87, 0.92, 0.95)
_LEAST_WEIGHTS = 1024  # of a layer: smaller ones hold little and matter much
_SMALLER = 0.97  # of the compressed file of the step before


def build(job: Job) -> dict[str, Any]:
    """Set more and more weights to zero, from the last accepted step on.

    `job.options` may name a `pattern` ("2:4") and `epochs`. Returns why it `stopped` and what was
    `rolled_back`.
    """
    pattern = str(job.options.get("pattern") or "")
    epochs = int(job.options.get("epochs") or 2)
    shares = (0.5,) if pattern == "2:4" else _SHARES
    model = prepared(job)
    layers = weighty(model)
    if not layers:
        raise CannotCompressError("it has no layer with enough weights for zeros to matter")
    if job.steps:
        model.load_state_dict(job.state(job.steps[-1]))
    plain = _compressed(os.path.join(str(job.options["base"]), "model.onnx"))
    rolled_back: list[dict[str, Any]] = []

    def ended(why: str) -> dict[str, Any]:
        return {"stopped": why, "rolled_back": rolled_back, "seed": job.seed}

    for number, share in enumerate(shares[len(job.steps) :], start=len(job.steps) + 1):
        if job.out_of_time():
            return ended("its time was up")
        job.say(f"step {number}: {100 * share:.0f} % of the weights become zeros")
        masks = masks_of(job, model, layers, share, pattern)
        _apply(masks)
        rate = 1e-3 if batch_norms(model) else 3e-4
        seed = job.seed + 1000 * number
        learnt = job.recover(
            model, Settings(epochs, rate, seed), after_step=lambda kept=masks: _apply(kept)
        )
        _apply(masks)
        drift = job.drift(model)
        said = f"{100 * drift.value:.1f} % {drift.measure}"
        if not acceptable(job, drift):
            why = f"{said} on {drift.rows} held-out inputs"
            rolled_back.append({"step": number, "ratio": share, "why": why})
            return ended(f"step {number} was rolled back: {why}")
        about = {
            "zeros": zeros_in(model),
            "drift": drift.as_json(),
            "recovery": learnt.as_json(),
            "plain_compressed_bytes": plain,
            "seed": seed,
        }
        step = job.exported(f"step-{number}", model, about)
        place = os.path.join(job.folder, f"{step['name']}.new", "model.onnx")
        step["compressed_bytes"] = _compressed(place)
        before = job.steps[-1]["compressed_bytes"] if job.steps else plain
        if step["compressed_bytes"] > _SMALLER * before:
            job.drop(step)
            return ended(f"step {number} pays nothing: its compressed file is no smaller")
        job.keep(step, model)
        job.say(f"step {number} kept: {step['compressed_bytes'] / plain:.2f} of the file, {said}")
    return ended("all shares were tried")


def weighty(model: Any) -> list[Any]:
    """The layers whose weights may become zeros."""
    import torch

    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd, torch.nn.Embedding)
    return [
        each
        for each in model.modules()
        if isinstance(each, kinds) and each.weight.numel() >= _LEAST_WEIGHTS
    ]


def masks_of(
    job: Job, model: Any, layers: list[Any], share: float, pattern: str
) -> list[tuple[Any, Any]]:
    """Which weights stay, for each layer: those whose loss would change the answers most.

    By size times gradient for a share of all weights together, by size within each four of "2:4".
    """
    import torch

    if pattern == "2:4":
        return [(each, two_of_four(each.weight.detach())) for each in layers]
    with_gradients(job, model)
    scores = []
    for each in layers:
        weight, gradient = each.weight.detach(), each.weight.grad
        slope = weight.abs() * 0 if gradient is None else (weight * gradient).abs()
        # Size alone where no gradient came; both on the layer's own scale.
        scores.append(weight.abs() / weight.abs().mean() + slope / (slope.mean() + 1e-12))
    model.zero_grad(set_to_none=True)
    every = torch.cat([each.reshape(-1) for each in scores])
    count = min(every.numel() - 1, int(share * every.numel()))
    limit = every.kthvalue(max(1, count)).values
    return [(layer, score > limit) for layer, score in zip(layers, scores)]


def two_of_four(weight: Any) -> Any:
    """The two larger of any four weights in a row of what goes into a layer; rests stay."""
    import torch

    rows = weight.reshape(weight.shape[0], -1)
    whole = rows.shape[1] // 4 * 4
    kept = torch.ones_like(rows, dtype=torch.bool)
    fours = rows[:, :whole].abs().reshape(rows.shape[0], -1, 4)
    least = fours.argsort(stable=True, dim=-1)[..., :2]
    mask = torch.ones_like(fours, dtype=torch.bool).scatter_(-1, least, False)
    kept[:, :whole] = mask.reshape(rows.shape[0], whole)
    return kept.reshape(weight.shape)


def zeros_in(model: Any) -> float:
    """The share of all weights that are zero."""
    counts = [(int((p == 0).sum()), p.numel()) for p in model.parameters()]
    found = sum([zeros for zeros, _ in counts]) / max(1, sum([size for _, size in counts]))
    return float(found)


def _apply(masks: list[tuple[Any, Any]]) -> None:
    import torch

    with torch.no_grad():
        for layer, mask in masks:
            layer.weight.mul_(mask.to(layer.weight.dtype))


def _compressed(path: str) -> int:
    """How large a file is once it is compressed, as by gzip."""
    squeeze = zlib.compressobj(6)
    size = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            size += len(squeeze.compress(part))
    return size + len(squeeze.flush())
