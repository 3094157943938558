"""Answers a request for each of 899 images, one at a time.

python infer.py --weights digits.pt
"""

import argparse

import torch
from network import DigitNetwork, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="digits.pt")
    parser.add_argument("--times", type=int, default=5, help="how often each image is asked for")
    options = parser.parse_args()

    model = DigitNetwork()
    model.load_state_dict(torch.load(options.weights, weights_only=True))
    model.eval()
    images, digits = load(learning=False)
    right = 0
    for _ in range(options.times):
        for image, digit in zip(images, digits, strict=True):
            right += int(model(image[None]).argmax() == digit)
    requests = options.times * len(images)
    print(f"{requests} requests, accuracy {100 * right / requests:.1f} %")


if __name__ == "__main__":
    main()
