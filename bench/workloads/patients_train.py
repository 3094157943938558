"""Trains the network of `patients_network.py` on scikit-learn's breast cancer table: seconds.

python patients_train.py --checkpoint patients.pt
"""

import argparse
from pathlib import Path

import torch
from patients_network import PatientNet, patients
from torch.nn import functional


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--checkpoint", type=Path, required=True)
    options = parser.parse_args()

    torch.manual_seed(0)
    learn_x, held_x, learn_y, held_y = (torch.from_numpy(each) for each in patients())
    model = PatientNet(learn_x.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    for _ in range(options.epochs):
        model.train()
        order = torch.randperm(len(learn_x))
        for some in order.split(32):
            if len(some) < 2:
                continue
            noisy = learn_x[some] + 0.1 * torch.randn(len(some), learn_x.shape[1])
            loss = functional.cross_entropy(model(noisy), learn_y[some], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        right = (model(held_x).argmax(1) == held_y).float().mean().item()
    torch.save(model.state_dict(), options.checkpoint)
    print(f"accuracy {100 * right:.2f}")


if __name__ == "__main__":
    main()
