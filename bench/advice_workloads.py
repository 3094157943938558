"""The programs that `advisor.py` asks advice on, what they need first, and what is aimed at.

The programs lie in `workloads/` and know nothing of FrugalWatch. What takes long to make (a trained
network) is made once, into a cache folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "workloads")
Kind: TypeAlias = Literal["lossless", "any", "on trace", "no student", "student"]


@dataclass(frozen=True, slots=True)
class Target:
    """What one more request should cost less, as gains: 3.0 is a third of the CPU seconds.

    `kind` says which changes count: lossless ones; all that the quality gate lets through; those
    without a smaller model that learnt, or with one; or those that were replayed on a trace of
    requests. `fair` is against one thread.
    """

    kind: Kind
    gain: float
    fair: float


@dataclass(frozen=True, slots=True)
class Workload:
    """One program with its arguments; `{cache}` in them is the cache folder.

    `options` are of `frugalwatch advise`. `share` names a program run whose output tells the true
    share of preprocessing in the CPU time of requests, in percent. `nothing` is true where nothing
    is worth doing. `tokens` is how many a request has, where that is what people count.
    """

    name: str
    title: str
    program: tuple[str, ...]
    options: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    share: tuple[str, ...] = ()
    nothing: bool = False
    unit: str = "call"
    tokens: int | None = None

    def command(self, python: str, cache: str) -> list[str]:
        """What a user would type."""
        return _filled(python, self.program, cache)


_DIGITS = ("digits_infer.py", "--checkpoint", "{cache}/digits.pt")
_LOG = ("log_scores.py", "--log", "{cache}/sessions.jsonl")
_OUT = ("--out", "{cache}/embeddings.npy")
# The user accepts that one neighbour in ten changes.
_GATE_90 = ("--gate", "overlap>=0.9")

WORKLOADS = (
    Workload(
        "minilm-1",
        "(a) MiniLM, one sentence at a time",
        ("minilm.py", "--batch", "1", *_OUT),
        targets=(Target("lossless", 3.0, 1.8), Target("any", 3.0, 1.8)),
    ),
    Workload(
        "minilm-1-gate90",
        "(a) the same, one neighbour in ten may change",
        ("minilm.py", "--batch", "1", *_OUT),
        options=_GATE_90,
        targets=(Target("any", 6.0, 3.5),),
    ),
    Workload(
        "minilm-32",
        "(a) MiniLM, batches of 32 of mixed length",
        ("minilm.py", "--batch", "32", *_OUT),
        targets=(Target("lossless", 4.0, 1.0), Target("on trace", 4.0, 1.0)),
    ),
    Workload(
        "minilm-32-gate90",
        "(a) the same, one neighbour in ten may change",
        ("minilm.py", "--batch", "32", *_OUT),
        options=_GATE_90,
        targets=(Target("any", 10.0, 5.0), Target("on trace", 10.0, 5.0)),
    ),
    Workload(
        "digits",
        "(b) ResNet of 2.8 M parameters, one image at a time",
        _DIGITS,
        targets=(Target("any", 15.0, 10.0),),
    ),
    Workload("bert-base", "(c) BERT-base's shape, 128 tokens", ("bert_base.py",)),
    Workload("resnet-50", "(c) ResNet-50's shape, 224x224", ("resnet50.py",)),
    Workload(
        "digits-train",
        "(d) training of (b), by the step",
        ("digits_train.py", "--epochs", "1"),
        options=("--stop-after", "25"),
        unit="step",
    ),
    Workload(
        "log-scores",
        "(e) heavy preprocessing, small network",
        _LOG,
        share=(*_LOG, "--timing"),
    ),
    Workload(
        "digits-frugal",
        "(f) already frugal",
        ("digits_frugal.py", "--model", "{cache}/digits.int8.onnx"),
        nothing=True,
    ),
)


# What is made once: the file in the cache, and the program that makes it.
Making: TypeAlias = tuple[str, tuple[str, ...]]
_MADE: tuple[Making, ...] = (
    ("digits.pt", ("digits_train.py", "--checkpoint", "{cache}/{file}")),
    (
        "digits.int8.onnx",
        ("digits_export.py", "--checkpoint", "{cache}/digits.pt", "--out", "{cache}/{file}"),
    ),
    ("sessions.jsonl", ("log_write.py", "--out", "{cache}/{file}")),
)


def prepare(python: str, cache: str, made: Sequence[Making] = _MADE) -> None:
    """Make what the programs read, unless it is there: minutes the first time."""
    os.makedirs(cache, exist_ok=True)
    for file, program in made:
        if os.path.exists(os.path.join(cache, file)):
            continue
        print(f"making {file}", file=sys.stderr)
        words = [word.replace("{file}", file) for word in program]
        subprocess.run(_filled(python, words, cache), check=True, stdout=sys.stderr)


def true_share(workload: Workload, python: str, cache: str) -> float | None:
    """What the program itself says its preprocessing takes of its requests, in percent."""
    if not workload.share:
        return None
    done = subprocess.run(
        _filled(python, workload.share, cache), check=True, capture_output=True, text=True
    )
    word, _, _ = done.stdout.partition(" %")
    return float(word.rsplit(maxsplit=1)[-1])


def _filled(python: str, program: tuple[str, ...] | list[str], cache: str) -> list[str]:
    script, *arguments = program
    words = [word.replace("{cache}", cache) for word in arguments]
    return [python, os.path.join(PROGRAMS, script), *words]
