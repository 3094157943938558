"""The network and the images that `train.py` and `infer.py` share."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional


class DigitNetwork(nn.Module):
    """Convolutions over 8x8 grey images of handwritten digits; 370,000 weights."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.second = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.third = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n * width) for n in (1, 2, 4))
        self.head = nn.Linear(4 * width, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images
        for layer, norm in zip((self.first, self.second, self.third), self.norms, strict=True):
            x = functional.relu(norm(layer(x)))
        return self.head(x.mean((2, 3)))


def load(learning: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and their digits: half of them to learn from, the others for requests."""
    images, digits = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    y = torch.tensor(digits)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    half = len(x) // 2
    chosen = order[:half] if learning else order[half:]
    return x[chosen], y[chosen]
