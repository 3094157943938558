"""Names scikit-learn's held-out digits one at a time, as requests come in.

python digits_infer.py --checkpoint digits.pt
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from digits_resnet import DigitNet, digits, enlarge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--moved", type=int, default=0, help="images, by so many pixels")
    parser.add_argument("--answers", type=Path, help="keep which were right, as .npy")
    options = parser.parse_args()

    model = DigitNet()
    model.load_state_dict(torch.load(options.checkpoint, weights_only=True))
    model.eval()
    _, images, _, labels = digits()
    said = []
    with torch.no_grad():
        for image in images:
            shown = enlarge(image[None])
            if options.moved:
                shown = shown.roll(options.moved, dims=3)
            said.append(int(model(shown).argmax()))
    right = np.array(said) == labels
    if options.answers:
        np.save(options.answers, right)
    print(f"{len(labels)} images, accuracy {100 * right.mean():.2f} %")


if __name__ == "__main__":
    main()
