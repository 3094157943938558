"""The network and the data that `patients_train.py` and `patients_infer.py` share."""

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn


class PatientNet(nn.Module):
    """Three wide layers, as tables are often given: 540,000 parameters for 30 numbers."""

    def __init__(self, inputs: int = 30, width: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(width, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(rows))


def patients() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scaled rows and classes to learn from, then those of the patients that are held out."""
    rows, classes = load_breast_cancer(return_X_y=True)
    learn_x, held_x, learn_y, held_y = train_test_split(
        rows, classes, test_size=0.5, random_state=0, stratify=classes
    )
    middle, spread = learn_x.mean(0), learn_x.std(0)
    learn_x, held_x = ((x - middle) / spread for x in (learn_x, held_x))
    return learn_x.astype("float32"), held_x.astype("float32"), learn_y, held_y
