"""Names scikit-learn's held-out digits one at a time, as requests come in.

python digits_infer.py --checkpoint digits.pt
"""

import argparse
from pathlib import Path

import torch
from digits_resnet import DigitNet, digits, enlarge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    options = parser.parse_args()

    model = DigitNet()
    model.load_state_dict(torch.load(options.checkpoint, weights_only=True))
    model.eval()
    _, images, _, labels = digits()
    right = 0
    with torch.no_grad():
        for image, label in zip(images, labels, strict=True):
            scores = model(enlarge(image[None]))
            right += int(scores.argmax()) == label
    print(f"{len(labels)} images, accuracy {100 * right / len(labels):.2f} %")


if __name__ == "__main__":
    main()
