"""Sorts sentences into topics with a small transformer, as many scripts do: it works, and wastes.

Two lines are missing before the loop: `model.eval()`, so dropout draws random numbers and changes
the answers, and `torch.inference_mode()`, so every layer keeps what a backward pass would need.
The weights are random but fixed, which costs the same as trained ones.
"""

import argparse

import torch
from torch import nn

TOPICS = ("sport", "science", "politics", "weather")


class TopicModel(nn.Module):
    """A transformer over token numbers; the mean of its last layer decides."""

    def __init__(self, words: int = 2000, width: int = 64, layers: int = 6) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(width, len(TOPICS))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(self.embed(tokens)).mean(dim=1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sentences", type=int, default=1000)
    wanted = parser.parse_args().sentences

    torch.manual_seed(0)
    model = TopicModel()
    sentences = torch.randint(0, 2000, (wanted, 1, 24))
    found = dict.fromkeys(TOPICS, 0)
    for sentence in sentences:
        scores = model(sentence)
        found[TOPICS[int(scores.argmax())]] += 1
    for topic, count in found.items():
        print(f"{topic}: {count} of {wanted}")


if __name__ == "__main__":
    main()
