"""Answers requests of 128 tokens with a network of BERT-base's shape and random weights.

The cost is that of the real one; the answers mean nothing.
"""

import argparse

import torch
from transformers import BertConfig, BertModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=40)
    options = parser.parse_args()

    torch.manual_seed(0)
    model = BertModel(BertConfig()).eval()
    tokens = torch.randint(1000, 20000, (options.requests, 1, 128))
    total = 0.0
    with torch.no_grad():
        for each in tokens:
            output = model(input_ids=each, attention_mask=torch.ones_like(each))
            total += float(output.pooler_output.mean())
    print(f"{options.requests} requests, mean of the answers {total / options.requests:.2f}")


if __name__ == "__main__":
    main()
