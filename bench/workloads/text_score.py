"""How likely texts are to a small language model, one text at a time, as requests come in.

python text_score.py --checkpoint text.pt
"""

import argparse
from pathlib import Path

import torch
from text_model import model, numbers, texts
from torch.nn import functional


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=600)
    options = parser.parse_args()

    reader = model()
    reader.load_state_dict(torch.load(options.checkpoint, weights_only=True))
    reader.eval()
    pieces = (texts(held=True) + texts(held=False))[: options.texts]
    total = count = 0
    with torch.no_grad():
        for piece in pieces:
            tokens = numbers(piece)
            logits = reader(tokens, use_cache=False).logits
            loss = functional.cross_entropy(logits[0, :-1], tokens[0, 1:], reduction="sum")
            total += float(loss)
            count += tokens.shape[1] - 1
    print(f"{len(pieces)} texts, {count} tokens, {total / count:.4f} nats a token")


if __name__ == "__main__":
    main()
