"""What a replayed command calls, where that is a file or a capture and not a program of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias  # Any: what JSON gives back

Kind: TypeAlias = Literal[
    "ONNX file", "exported program", "TorchScript file", "capture", "workload file"
]
# Where the inputs are from: the user's file, made up from the signature, the example in the file,
# calls that were captured, or the workload file's own.
Origin: TypeAlias = Literal["given", "synthesised", "example", "captured", "own"]


@dataclass(frozen=True, slots=True)
class Source:
    """A model, what it is called with, and how often a replay calls it.

    `described` has a line for each input of a call, `sha256` is of the file. `samples_per_call` is
    None where that is not known, `inputs_count` and `calls` are 0 for a training.
    """

    kind: Kind
    path: str
    interpreter: str
    python: str
    inputs: Origin
    inputs_path: str | None = None
    inputs_count: int = 0
    calls: int = 0
    samples_per_call: float | None = None
    described: tuple[str, ...] = ()
    sha256: str | None = None
    trains: bool = False

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    def in_words(self) -> str:
        """What was called with what, for the first lines of a report."""
        if self.trains:
            return f"{self.kind} {self.name}: its train()"
        count = f"{self.inputs_count} input{'' if self.inputs_count == 1 else 's'}"
        where = {
            "given": f"{count} from {os.path.basename(self.inputs_path or '')}",
            "synthesised": f"{count} SYNTHESISED from its signature, not your data",
            "example": "the example input in the file",
            "captured": f"{count} captured",
            "own": f"{count} of its own",
        }[self.inputs]
        part = " (the first of them)" if 0 < self.calls < self.inputs_count else ""
        samples = self.samples_per_call
        each = f" of {samples:g} samples" if samples is not None and samples != 1 else ""
        return f"{self.kind} {self.name}: {self.calls} calls{each}, {where}{part}"

    def warnings(self) -> list[str]:
        """What these inputs cannot tell."""
        if self.inputs == "synthesised":
            return [
                "the inputs are synthesised: they cost what such shapes cost, and say nothing of"
                " how a change affects answers on your data; give real ones: --inputs data.npz"
            ]
        if self.inputs == "example":
            return [
                "one example input is called over and over, which says little of how a change"
                " affects answers; give more: --inputs data.npz"
            ]
        return []

    def as_json(self) -> dict[str, object]:
        """For the document; `from_json` reads it."""
        return {
            "kind": self.kind,
            "file": self.path,
            "sha256": self.sha256,
            "interpreter": self.interpreter,
            "python": self.python,
            "inputs": self.inputs,
            "inputs_file": self.inputs_path,
            "inputs_count": self.inputs_count,
            "described": list(self.described),
            "calls": self.calls,
            "samples_per_call": self.samples_per_call,
            "trains": self.trains,
        }


def from_json(found: object) -> Source | None:
    """What `as_json` made; None for anything else."""
    if not isinstance(found, Mapping) or "file" not in found:
        return None
    stored: Mapping[str, Any] = found
    return Source(
        kind=stored["kind"],
        path=stored["file"],
        sha256=stored["sha256"],
        interpreter=stored["interpreter"],
        python=stored["python"],
        inputs=stored["inputs"],
        inputs_path=stored["inputs_file"],
        inputs_count=stored["inputs_count"],
        described=tuple(stored["described"]),
        calls=stored["calls"],
        samples_per_call=stored["samples_per_call"],
        trains=stored["trains"],
    )
