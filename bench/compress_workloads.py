"""The programs that `compress.py` asks advice on with `--family all`, and what is aimed at."""

from __future__ import annotations

import os
from dataclasses import dataclass

from advice_workloads import PROGRAMS, Making, Target, Workload

MADE: tuple[Making, ...] = (
    ("digits.pt", ("digits_train.py", "--checkpoint", "{cache}/{file}")),
    ("glyphs.npz", ("glyphs_write.py", "--seed", "2", "--out", "{cache}/{file}")),
    (
        "glyphs-fresh.npz",
        ("glyphs_write.py", "--seed", "3", "--number", "4000", "--out", "{cache}/{file}"),
    ),
    ("glyphs.pt", ("glyphs_train.py", "--checkpoint", "{cache}/{file}")),
    ("patients.pt", ("patients_train.py", "--checkpoint", "{cache}/{file}")),
    ("text.pt", ("text_train.py", "--checkpoint", "{cache}/{file}")),
)


@dataclass(frozen=True, slots=True)
class Compressed:
    """A workload, and the same program on labelled inputs that no advice has seen.

    `fresh` are its arguments then, without `--answers FILE`; empty where there are no labels.
    """

    workload: Workload
    fresh: tuple[str, ...] = ()
    labels: str = ""

    def labelled(self, python: str, cache: str, answers: str) -> list[str]:
        """What a user would type to have every answer checked."""
        script, *words = self.fresh
        filled = [word.replace("{cache}", cache) for word in words]
        return [python, os.path.join(PROGRAMS, script), *filled, "--answers", answers]


_DIGITS = ("digits_infer.py", "--checkpoint", "{cache}/digits.pt")
_GLYPHS = ("glyphs_infer.py", "--checkpoint", "{cache}/glyphs.pt", "--images")
_PATIENTS = ("patients_infer.py", "--checkpoint", "{cache}/patients.pt")
_TEXT = ("--checkpoint", "{cache}/text.pt")
_MINILM = ("minilm.py", "--out", "{cache}/embeddings.npy", "--batch")
_GATE_90 = ("--gate", "overlap>=0.9")
_GATE_75 = ("--gate", "overlap>=0.75")
_TEXT_LENGTH = 128
_MOVED = "the 719 held-out images, moved by a pixel"

WORKLOADS = (
    Compressed(
        Workload(
            "digits",
            "(b) ResNet of 2.8 M parameters on digits, one image at a time",
            _DIGITS,
            targets=(Target("no student", 30.0, 1.0), Target("student", 100.0, 1.0)),
        ),
        (*_DIGITS, "--moved", "1"),
        _MOVED,
    ),
    Compressed(
        Workload(
            "digits-labels",
            "(b) the same, where the accuracy that it prints may move by one point",
            _DIGITS,
            options=("--metric", r"accuracy (\S+)", "--tolerance", "1"),
            targets=(Target("no student", 30.0, 1.0), Target("student", 100.0, 1.0)),
        ),
        (*_DIGITS, "--moved", "1"),
        _MOVED,
    ),
    Compressed(
        Workload(
            "minilm-1-gate90",
            "(a) MiniLM, one sentence at a time, one neighbour in ten may change",
            (*_MINILM, "1"),
            options=_GATE_90,
            targets=(Target("any", 8.0, 1.0),),
        )
    ),
    Compressed(
        Workload(
            "minilm-32-gate90",
            "(a) MiniLM, batches of 32, one neighbour in ten may change",
            (*_MINILM, "32"),
            options=_GATE_90,
            targets=(Target("any", 12.0, 1.0), Target("on trace", 12.0, 1.0)),
        )
    ),
    Compressed(
        Workload(
            "minilm-1-gate75",
            "(a) MiniLM, one sentence at a time, one neighbour in four may change",
            (*_MINILM, "1"),
            options=_GATE_75,
            targets=(Target("any", 8.0, 1.0),),
        )
    ),
    Compressed(
        Workload(
            "minilm-32-gate75",
            "(a) MiniLM, batches of 32, one neighbour in four may change",
            (*_MINILM, "32"),
            options=_GATE_75,
            targets=(Target("any", 12.0, 1.0), Target("on trace", 12.0, 1.0)),
        )
    ),
    Compressed(
        Workload(
            "glyphs",
            "64 drawn glyphs in eight styles with clutter, one image at a time",
            (*_GLYPHS, "{cache}/glyphs.npz"),
        ),
        (*_GLYPHS, "{cache}/glyphs-fresh.npz"),
        "4,000 glyphs drawn anew",
    ),
    Compressed(
        Workload("patients", "a table: three wide layers, one row at a time", _PATIENTS),
        (*_PATIENTS, "--seed", "3"),
        "the 285 held-out patients, measured anew 24 times",
    ),
    Compressed(
        Workload(
            "text-score",
            "a language model of 3.3 M parameters that scores texts, one at a time",
            ("text_score.py", *_TEXT),
            unit="text",
            tokens=_TEXT_LENGTH,
        )
    ),
    Compressed(
        Workload(
            "text-write",
            "the same that writes, by `generate`",
            ("text_write.py", *_TEXT),
            unit="token",
            tokens=1,
        )
    ),
)
