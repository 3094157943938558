"""Trains the network and keeps its weights: about ten seconds.

python train.py --out digits.pt
"""

import argparse

import torch
from network import DigitNetwork, load
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", default="digits.pt")
    options = parser.parse_args()

    torch.manual_seed(0)
    model = DigitNetwork()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(*load(learning=True)), batch_size=32, shuffle=True)
    for epoch in range(options.epochs):
        for images, digits in loader:
            loss = functional.cross_entropy(model(images), digits)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}  loss {loss.item():.3f}", flush=True)
    torch.save(model.state_dict(), options.out)


if __name__ == "__main__":
    main()
