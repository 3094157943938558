"""A workload file: what to load, what to call it with, how good it is, how it is trained.

    frugalwatch advise examples/model_file/workload.py
    frugalwatch advise examples/model_file/workload.py --train

A small network tells digits apart. It is made anew here, with a fixed seed; yours would be loaded.
"""

from __future__ import annotations

import functools

import torch
from sklearn.datasets import load_digits

SEED = 3
TRAINED_ROWS = 1200


def load_model() -> torch.nn.Module:
    """What is called, once for each of `inputs()`."""
    torch.manual_seed(SEED)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU(),
        torch.nn.Linear(256, 10),
    )  # fmt: skip
    train(model, epochs=4)
    return model.eval()


def inputs() -> list[torch.Tensor]:
    """Typical requests, as many different ones as you can give: answers are compared on them."""
    images, _ = digits()
    return list(images[TRAINED_ROWS:].split(1))


def evaluate(model: torch.nn.Module) -> dict[str, float]:
    """How good it is, on rows that it has not seen. The first number is the one that must stay."""
    images, labels = digits()
    with torch.no_grad():
        right = model(images[TRAINED_ROWS:]).argmax(1) == labels[TRAINED_ROWS:]
    return {"accuracy": 100 * float(right.float().mean())}


def train(model: torch.nn.Module, epochs: int = 20) -> None:
    """What `--train` replays."""
    images, labels = digits()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(epochs):
        for first in range(0, TRAINED_ROWS, 32):
            rows = slice(first, min(first + 32, TRAINED_ROWS))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()


@functools.cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """1797 images of 8x8 pixels, and which digit each is."""
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
