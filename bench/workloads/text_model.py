"""A small language model that reads bytes, and the texts that it learns from: this project's docs.

`text_train.py`, `text_score.py` and `text_write.py` share it.
"""

from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

_ROOT = Path(__file__).resolve().parents[2]
LENGTH = 128


def model() -> GPT2LMHeadModel:
    """GPT-2's architecture, with 3.3 million parameters."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=256, n_positions=2 * LENGTH, n_embd=256, n_layer=4, n_head=8,
            bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip


def texts(*, held: bool) -> list[bytes]:
    """Pieces of 128 bytes of the docs: every eighth is held out."""
    pages = [page.read_bytes() for page in sorted((_ROOT / "docs").rglob("*.md"))]
    whole = b"\n".join(pages)
    pieces = [whole[at : at + LENGTH] for at in range(0, len(whole) - LENGTH, LENGTH)]
    return [piece for number, piece in enumerate(pieces) if (number % 8 == 0) == held]


def numbers(piece: bytes) -> torch.Tensor:
    """A text as a batch of one: 64-bit integers."""
    return torch.tensor([list(piece)])
