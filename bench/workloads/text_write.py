"""Goes on with the beginnings of texts, by the library's own `generate`, one at a time.

python text_write.py --checkpoint text.pt
"""

import argparse
from pathlib import Path

import torch
from text_model import model, numbers, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=48, help="written for each")
    options = parser.parse_args()

    writer = model()
    writer.load_state_dict(torch.load(options.checkpoint, weights_only=True))
    writer.eval()
    written = 0
    for piece in texts(held=True)[: options.texts]:
        begin = numbers(piece[:32])
        found = writer.generate(
            begin, max_new_tokens=options.tokens, min_new_tokens=options.tokens, do_sample=False,
            attention_mask=torch.ones_like(begin), pad_token_id=0,
        )  # fmt: skip
        written += found.shape[1] - begin.shape[1]
        print(bytes(found[0].tolist()).decode("utf-8", "replace").replace("\n", " "))
    print(f"{written} tokens written")


if __name__ == "__main__":
    main()
