"""A small network, captured calls of it, and a job on them, without a program around."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from advisor.in_job import export_onnx
from advisor.in_job.compressing.job import Job, opened
from advisor.workshop import SWAP

CALLS = 96


def clusters(count: int, seed: int, channels: int = 1, size: int = 12) -> Any:
    """Pictures of four kinds, with noise: something that a network can be sure of."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    kinds = torch.zeros(4, channels, size, size)
    half = size // 2
    for at in range(4):
        y, x = divmod(at, 2)
        kinds[at, :, y * half : (y + 1) * half, x * half : (x + 1) * half] = 1.0
    chosen = torch.randint(0, 4, (count,), generator=generator)
    noise = torch.randn(count, channels, size, size, generator=generator)
    return kinds[chosen] + 0.3 * noise, chosen


def taught(module: Any, inputs: Any, labels: Any, steps: int = 60) -> Any:
    """The module after some steps on labelled inputs, in evaluation mode."""
    import torch

    torch.manual_seed(0)
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    module.train()
    for at in range(steps):
        part = torch.arange(at * 32, at * 32 + 32) % len(inputs)
        loss = torch.nn.functional.cross_entropy(module(inputs[part]), labels[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval()


@contextlib.contextmanager
def job(folder: Path, module: Any, calls: list[tuple[Any, ...]], **options: Any) -> Iterator[Job]:
    """A job on a module whose calls have these positional tensors: two thirds to learn from.

    The module is exported first, as the tool does.
    """
    base = folder / "base"
    base.mkdir(exist_ok=True)
    args = calls[0]
    export_onnx.exported(module, args, {}, {"folder": str(base), "swap": SWAP})
    results = folder / "results"
    results.mkdir(exist_ok=True)

    def load_call(_process: str, number: int) -> Any:
        return calls[number], {}

    paths = [f"/nowhere/calls/{at:06d}-in.safetensors" for at in range(len(calls))]
    two_thirds = 2 * len(paths) // 3
    known = {
        "folder": str(results),
        "swap": SWAP,
        "base": str(base),
        "learn": paths[:two_thirds],
        "held": paths[two_thirds:],
        "copies": 3,
        "load_call": load_call,
        **options,
    }
    with opened(module, args, {}, known) as found:
        yield found
