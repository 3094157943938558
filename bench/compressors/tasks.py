"""The tasks that all tools get: a model, 100 inputs to tune with, and 300 others to judge by.

Runs in each tool's own environment, which has torch, transformers and scikit-learn.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any  # torch's and each tool's own objects

import numpy as np

_WORKLOADS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "workloads")
Arrays = dict[str, np.ndarray]
Answer = Callable[[Arrays], np.ndarray]
CALIBRATION, JUDGED = 100, 300
_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Task:
    """A model with its requests. `labelled` are inputs with their classes, to learn from."""

    name: str
    model: Any
    calibration: list[Arrays]
    requests: list[Arrays]
    labelled: tuple[np.ndarray, np.ndarray] | None = None

    def export(self, path: str, model: Any = None) -> None:
        """Write the model, or what was made of it, as ONNX, with any length of its inputs."""
        import torch

        example = {k: torch.from_numpy(v) for k, v in self.requests[0].items()}
        names = list(example)
        axes = {n: {0: "batch", 1: "length"} for n in names} if self.name == "minilm" else {}
        inputs = (example,) if self.name == "minilm" else tuple(example.values())
        torch.onnx.export(
            model or self.model, inputs, path,
            dynamo=False, opset_version=17, input_names=names, output_names=["answer"],
            dynamic_axes={**axes, "answer": axes["input_ids"]} if axes else None,
        )  # fmt: skip

    def eager(self) -> Answer:
        """The model as a program would call it."""
        import torch

        def answer(request: Arrays) -> np.ndarray:
            with torch.no_grad():
                found = self.model(**{k: torch.from_numpy(v) for k, v in request.items()})
            return (found[0] if self.name == "minilm" else found).numpy()

        return answer

    def likeness(self, answer: Answer, reference: Answer) -> str:
        """How far answers agree with the model's own on requests that nothing was tuned with."""
        ours = np.stack([self._judged(answer(r), r) for r in self.requests])
        own = np.stack([self._judged(reference(r), r) for r in self.requests])
        if self.name != "minilm":
            return f"{100 * (ours.argmax(1) == own.argmax(1)).mean():.1f} % of classes"
        kept = [len(a & b) / _NEIGHBOURS for a, b in zip(_near(ours), _near(own), strict=True)]
        return f"{100 * float(np.mean(kept)):.1f} % of neighbours"

    def _judged(self, answer: np.ndarray, request: Arrays) -> np.ndarray:
        if self.name != "minilm":
            return answer[0]
        mean = answer[0][request["attention_mask"][0].astype(bool)].mean(0)
        return mean / np.linalg.norm(mean)


def _near(vectors: np.ndarray) -> list[set[int]]:
    likeness = vectors[:256] @ vectors[:256].T
    np.fill_diagonal(likeness, -1)
    return [set(row[-_NEIGHBOURS:]) for row in np.argsort(likeness, axis=1)]


def load(name: str, cache: str) -> Task:
    """The task of that name: "minilm", "digits" or "glyphs"."""
    sys.path.insert(0, _WORKLOADS)
    if name == "minilm":
        return _minilm()
    return _digits(cache) if name == "digits" else _glyphs(cache)


def _minilm() -> Task:
    from minilm import model_folder
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    # Fusions of ONNX tools match this form of attention only; it is the best for all of them.
    model = AutoModel.from_pretrained(model_folder(), attn_implementation="eager").eval()
    model.config.return_dict = False
    with open(os.path.join(_WORKLOADS, "sentences.txt"), encoding="utf-8") as file:
        texts = file.read().splitlines()[: CALIBRATION + JUDGED]
    found = [
        {k: v.astype("int64") for k, v in tokenizer(t, return_tensors="np").items()} for t in texts
    ]
    names = ("input_ids", "attention_mask", "token_type_ids")
    found = [{n: each[n] for n in names} for each in found]
    return Task("minilm", model, found[:CALIBRATION], found[CALIBRATION:])


def _digits(cache: str) -> Task:
    import torch
    from digits_resnet import DigitNet, digits, enlarge

    model = DigitNet()
    model.load_state_dict(torch.load(os.path.join(cache, "digits.pt"), weights_only=True))
    learn, held, kinds, _ = digits()

    def requests(images: np.ndarray) -> list[Arrays]:
        return [{"images": enlarge(image[None]).numpy()} for image in images]

    labelled = (enlarge(learn).numpy(), kinds)
    asked = requests(held[:JUDGED])
    return Task("digits", model.eval(), requests(learn[:CALIBRATION]), asked, labelled)


def _glyphs(cache: str) -> Task:
    import torch
    from glyphs_drawing import draw
    from glyphs_network import GlyphNet

    model = GlyphNet()
    model.load_state_dict(torch.load(os.path.join(cache, "glyphs.pt"), weights_only=True))
    images, _ = draw(CALIBRATION + JUDGED, seed=2)
    asked = [{"images": image[None]} for image in images]
    labelled = draw(4096, seed=100)
    return Task("glyphs", model.eval(), asked[:CALIBRATION], asked[CALIBRATION:], labelled)
