"""Names images of 224x224 with a network of ResNet-50's shape and random weights.

The cost is that of the real one; the answers mean nothing.
"""

import argparse

import torch
from transformers import ResNetConfig, ResNetForImageClassification


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=60)
    options = parser.parse_args()

    torch.manual_seed(0)
    model = ResNetForImageClassification(ResNetConfig(num_labels=1000)).eval()
    total = 0.0
    with torch.no_grad():
        for _ in range(options.requests):
            image = torch.rand(1, 3, 224, 224)
            total += float(model(pixel_values=image).logits.abs().mean())
    print(f"{options.requests} requests, mean of the answers {total / options.requests:.2f}")


if __name__ == "__main__":
    main()
