"""The same kind of training, telling FrugalWatch about its epochs, its steps and its accuracy.

Three calls are added. They do nothing, in microseconds, when the script runs without
`frugalwatch run`, so they can stay in the code.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import frugalwatch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=512)
    options = parser.parse_args()

    torch.manual_seed(0)
    with frugalwatch.phase("load"):
        images, labels = load_digits(return_X_y=True)
        x = torch.tensor(images, dtype=torch.float32) / 16.0
        y = torch.tensor(labels, dtype=torch.int64)
        (train_x, test_x), (train_y, test_y) = x.split([1500, 297]), y.split([1500, 297])

    model = nn.Sequential(
        nn.Linear(64, options.hidden),
        nn.ReLU(),
        nn.Linear(options.hidden, options.hidden),
        nn.ReLU(),
        nn.Linear(options.hidden, 10),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    for epoch in range(1, options.epochs + 1):
        with frugalwatch.phase("epoch", epoch):
            for batch in torch.randperm(len(train_x)).split(32):
                optimizer.zero_grad(set_to_none=True)
                functional.cross_entropy(model(train_x[batch]), train_y[batch]).backward()
                optimizer.step()
                frugalwatch.step()
        with torch.inference_mode():
            accuracy = (model(test_x).argmax(dim=1) == test_y).float().mean().item()
        frugalwatch.metric("accuracy", accuracy)
        print(f"epoch {epoch:2d}  accuracy {accuracy:.1%}", flush=True)


if __name__ == "__main__":
    main()
