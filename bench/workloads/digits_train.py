"""Trains the network of `digits_resnet.py` on scikit-learn's digits, and keeps the best of it.

python digits_train.py --epochs 12 --checkpoint digits.pt     # to 99 % and more
python digits_train.py --epochs 1                             # a short run, to measure a step
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from digits_resnet import DigitNet, digits, enlarge
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


def shifted(images: torch.Tensor) -> torch.Tensor:
    """The images, each moved by up to three pixels."""
    padded = functional.pad(images, (3, 3, 3, 3))
    across, down = torch.randint(0, 7, (2, len(images))).tolist()
    return torch.stack(
        [p[:, y : y + 32, x : x + 32] for p, x, y in zip(padded, across, down, strict=True)]
    )


@torch.no_grad()
def accuracy(model: torch.nn.Module, images: torch.Tensor, labels: np.ndarray) -> float:
    """The share of images that are named right."""
    model.eval()
    said = torch.cat([model(part).argmax(1) for part in images.split(128)])
    return float((said.numpy() == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--checkpoint", type=Path)
    options = parser.parse_args()

    torch.manual_seed(0)
    learn_x, held_x, learn_y, held_y = digits()
    data = TensorDataset(enlarge(learn_x), torch.from_numpy(learn_y))
    loader = DataLoader(data, options.batch, shuffle=True, drop_last=True)
    model = DigitNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=options.epochs * len(loader)
    )
    best = 0.0
    for epoch in range(options.epochs):
        model.train()
        for images, labels in loader:
            loss = functional.cross_entropy(model(shifted(images)), labels, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        right = accuracy(model, enlarge(held_x), held_y)
        print(f"epoch {epoch + 1}  loss {loss.item():.3f}  accuracy {100 * right:.2f}", flush=True)
        if options.checkpoint and right > best:
            torch.save(model.state_dict(), options.checkpoint)
        best = max(best, right)
    print(f"best accuracy {100 * best:.2f}")


if __name__ == "__main__":
    main()
