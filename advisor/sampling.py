"""A sample of what goes into a program's modules and comes out, taken in one replay.

The hook writes it (docs/reference/hook-contract.md, "Capture") into a folder that lives as long as
the replayer's. Nothing is measured meanwhile. It is what calibration takes its inputs from, and
what answers are compared on.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any  # what JSON gives back

from frugalwatch.json_files import read_json, read_json_lines

if TYPE_CHECKING:
    from advisor.replay import Replay, Replayer

# Kept calls of each module, spread over the run: enough to calibrate, to screen and to judge.
CALLS = 2048
BYTES = 1 << 30
SECONDS = 3600


@dataclass(frozen=True, slots=True)
class SampledCall:
    """One call of a module, in the order in which the program made them.

    `inputs_digest` is equal for equal inputs; empty where they were not hashed. `shapes` names each
    tensor that went in with its type and shape. `inputs_path` and `outputs_path` are safetensors
    files, None where the call is not among those that were kept.
    """

    number: int
    t_utc_ns: int
    duration_ns: int
    inputs_digest: str
    shapes: Mapping[str, tuple[str, tuple[int, ...]]]
    inputs_path: str | None
    outputs_path: str | None


@dataclass(frozen=True, slots=True)
class SampledModule:
    """A module that the program calls itself. `kind` is its class, `about` the hook's about.json.

    `folder` is that of the module; `program` and `pickle` are files in it, None where they were not
    stored, with the reason in `about`.
    """

    number: int
    kind: str
    folder: str
    about: Mapping[str, Any]
    calls: tuple[SampledCall, ...]
    program: str | None = None
    pickle: str | None = None

    @property
    def kept(self) -> tuple[SampledCall, ...]:
        """The calls whose inputs and outputs were kept."""
        return tuple(c for c in self.calls if c.inputs_path and c.outputs_path)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one replay showed, of the process that made most calls.

    `folder` is that of the process. `packages` are versions of what its environment has for running
    and building models, as far as it has them.
    """

    folder: str
    modules: tuple[SampledModule, ...]
    interpreter: str = ""
    python: str = ""
    torch: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


def take_sample(replayer: Replayer) -> tuple[Sample | None, Replay]:
    """Replay the program once and keep calls of its modules; None where it made none.

    Raises CannotIsolateError and KeyboardInterrupt, as the replayer does.
    """
    folder = replayer.new_folder("capture")
    asked: dict[str, object] = {
        "capture": {
            "folder": folder,
            "calls": CALLS,
            "bytes": BYTES,
            "seconds": SECONDS,
            "modules": False,
        }
    }
    replay = replayer.replay(ask=asked)
    return read_sample(folder), replay


def read_sample(capture: str) -> Sample | None:
    """What the hook wrote into the folder of a capture; None if there is no call in it."""
    folders = glob.glob(os.path.join(capture, "process-*"))
    found = [sample for each in folders if (sample := _read_process(each)) is not None]
    return max(found, key=lambda s: sum(len(m.calls) for m in s.modules), default=None)


def _read_process(folder: str) -> Sample | None:
    process = read_json(os.path.join(folder, "process.json"))
    calls: dict[int, list[SampledCall]] = {}
    for line in read_json_lines(os.path.join(folder, "calls.jsonl")):
        if "call" in line and "error" not in line:
            calls.setdefault(int(line["module"]), []).append(_call(folder, line))
    modules = tuple(_module(folder, number, of) for number, of in sorted(calls.items()))
    if not modules:
        return None
    return Sample(
        folder=folder,
        modules=modules,
        interpreter=str(process.get("interpreter", "")),
        python=str(process.get("python", "")),
        torch=str(process.get("torch", "")),
        packages={str(k): str(v) for k, v in (process.get("packages") or {}).items()},
    )


def _module(folder: str, number: int, calls: list[SampledCall]) -> SampledModule:
    own = os.path.join(folder, f"module-{number}")
    about = read_json(os.path.join(own, "about.json"))

    def stored(part: str, name: str) -> str | None:
        return os.path.join(own, name) if "file" in (about.get(part) or {}) else None

    return SampledModule(
        number=number,
        kind=str(about.get("class", "")).rpartition(".")[2],
        folder=own,
        about=about,
        calls=tuple(calls),
        program=stored("program", "program.pt2"),
        pickle=stored("pickle", "module.pickle"),
    )


def _call(folder: str, line: Mapping[str, Any]) -> SampledCall:
    number = int(line["call"])

    def kept(part: str) -> str | None:
        path = os.path.join(folder, "calls", f"{number:06d}-{part}.safetensors")
        return path if os.path.exists(path) else None

    return SampledCall(
        number=number,
        t_utc_ns=int(line["t_utc_ns"]),
        duration_ns=int(line.get("duration_ns", 0)),
        inputs_digest=str(line.get("inputs_digest", "")),
        shapes={n: (str(t), tuple(s)) for n, (t, s) in (line.get("inputs") or {}).items()},
        inputs_path=kept("in"),
        outputs_path=kept("out"),
    )
