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


def residual_network(width: int = 16) -> Any:
    """A small ResNet: a stem, four blocks with ways around them, a head."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            self.first_norm = nn.BatchNorm2d(after)
            self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
            self.second_norm = nn.BatchNorm2d(after)
            self.around = nn.Sequential()
            if stride != 1 or before != after:
                self.around = nn.Sequential(
                    nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
                )

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.first_norm(self.first(x)))
            return torch.relu(self.second_norm(self.second(y)) + self.around(x))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
            )
            self.stages = nn.Sequential(
                Block(width, width, 1),
                Block(width, width, 1),
                Block(width, 2 * width, 2),
                Block(2 * width, 2 * width, 1),
            )
            self.head = nn.Linear(2 * width, 4)

        def forward(self, x: Any) -> Any:
            return self.head(self.stages(self.stem(x)).mean((2, 3)))

    torch.manual_seed(0)
    return Net()


def transformer(fused: bool = False, tied: bool = False) -> Any:
    """A small text classifier (or, tied, a language model) with attention of its own making."""
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.num_heads, self.head_dim = 4, 8
            if fused:
                self.qkv = nn.Linear(32, 96)
            else:
                self.q_proj, self.k_proj, self.v_proj = (nn.Linear(32, 32) for _ in range(3))
            self.out_proj = nn.Linear(32, 32)

        def forward(self, x: Any) -> Any:
            if fused:
                parts = self.qkv(x).chunk(3, -1)
            else:
                parts = (self.q_proj(x), self.k_proj(x), self.v_proj(x))
            shape = (x.shape[0], x.shape[1], -1, self.head_dim)
            q, k, v = (each.view(shape).transpose(1, 2) for each in parts)
            share = (q @ k.transpose(2, 3) / self.head_dim**0.5).softmax(-1)
            return self.out_proj((share @ v).transpose(1, 2).flatten(2))

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.norm = Attention(), nn.LayerNorm(32)
            self.up, self.down, self.last = nn.Linear(32, 64), nn.Linear(64, 32), nn.LayerNorm(32)

        def forward(self, x: Any) -> Any:
            x = self.norm(x + self.attention(x))
            return self.last(x + self.down(torch.relu(self.up(x))))

    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 32)
            self.layers = nn.ModuleList([Layer() for _ in range(3)])
            self.head = nn.Linear(32, 50 if tied else 5, bias=not tied)
            if tied:
                self.head.weight = self.table.weight

        def forward(self, input_ids: Any) -> dict[str, Any]:
            x = self.table(input_ids)
            for layer in self.layers:
                x = layer(x)
            return {"logits": self.head(x if tied else x.mean(1))}

    torch.manual_seed(0)
    return Text().eval()


def tokens(count: int = 48, length: int = 7, most: int = 50) -> list[tuple[Any, ...]]:
    import torch

    torch.manual_seed(1)
    return [(torch.randint(0, most, (1, length)),) for _ in range(count)]


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
def job(
    folder: Path,
    module: Any,
    calls: list[tuple[Any, ...]],
    *,
    export: bool = True,
    **options: Any,
) -> Iterator[Job]:
    """A job on a module whose calls have these positional tensors: two thirds to learn from.

    The module is exported first, as the tool does.
    """
    base = folder / "base"
    base.mkdir(exist_ok=True)
    args = calls[0]
    if export:
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
