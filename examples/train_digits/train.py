"""Train a small residual network on scikit-learn's handwritten digits.

An ordinary training script: it knows nothing of FrugalWatch.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a way around them."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels_out)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels_out)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.around = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return functional.relu(y + self.around(x))


def digits_network(width: int) -> nn.Sequential:
    """A network for 8x8 grey images of ten classes, `width` channels in its first stage."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        ResidualBlock(width, width, stride=1),
        ResidualBlock(width, 2 * width, stride=2),
        ResidualBlock(2 * width, 4 * width, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )


def load_data(limit: int | None) -> tuple[TensorDataset, TensorDataset]:
    """The digits as training and test sets, a fifth of them for the test."""
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16.0
    y = torch.tensor(labels, dtype=torch.int64)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:limit]
    x, y = x[order], y[order]
    test_size = len(x) // 5
    return TensorDataset(x[test_size:], y[test_size:]), TensorDataset(x[:test_size], y[:test_size])


def train_epoch(
    model: nn.Module, loader: DataLoader[tuple[Tensor, ...]], optimizer: torch.optim.Optimizer
) -> float:
    """One pass over the training set; returns its mean loss."""
    model.train()
    total, seen = 0.0, 0
    for x, y in loader:
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(x)
        seen += len(x)
    return total / seen


@torch.inference_mode()
def accuracy_on(model: nn.Module, data: TensorDataset) -> float:
    """The share of `data` that the model names right."""
    model.eval()
    x, y = data.tensors
    return (model(x).argmax(dim=1) == y).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16, help="channels in the first stage")
    parser.add_argument("--limit", type=int, help="use only so many images")
    options = parser.parse_args()

    torch.manual_seed(0)
    train_set, test_set = load_data(options.limit)
    loader = DataLoader(train_set, options.batch_size, shuffle=True)
    model = digits_network(options.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(1, options.epochs + 1):
        loss = train_epoch(model, loader, optimizer)
        accuracy = accuracy_on(model, test_set)
        print(f"epoch {epoch:2d}  loss {loss:.4f}  accuracy {accuracy:.1%}", flush=True)


if __name__ == "__main__":
    main()
