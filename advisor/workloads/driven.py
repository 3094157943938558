"""From a file, a capture or a `workload.py` to the command that replays call it by."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal  # Any: what JSON gives back

from advisor.replay import Isolation, Replay, Replayer
from advisor.setting import private_folder
from advisor.workload import Workload
from advisor.workloads.files import checked, refuse_foreign, refuse_pickle, refuse_unexported
from advisor.workloads.interpreters import Interpreter, ask, choose
from advisor.workloads.source import Kind, Source
from frugalwatch.errors import FrugalWatchError, NotFoundError, UsageError

DriverKind = Literal["onnx", "program", "torchscript", "capture", "workload"]

_DRIVER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "drivers", "drive.py"
)
_KINDS: dict[DriverKind, Kind] = {
    "onnx": "ONNX file",
    "program": "exported program",
    "torchscript": "TorchScript file",
    "capture": "capture",
    "workload": "workload file",
}
_NEEDS: dict[DriverKind, tuple[str, ...]] = {
    "onnx": ("onnxruntime", "numpy"),
    "program": ("torch",),
    "torchscript": ("torch",),
    "capture": ("torch",),
    "workload": (),
}
# The calls of a replay take so long, or as long as loading if that is more: short enough for many
# replays, long enough for the cost of a call to be seen apart from the start.
_LEAST_S, _MOST_S = 2.0, 6.0
_PROBE_S = 1.0
_PROBE_LIMIT_S = 300.0
# A whole pass over the inputs is worth some more time: every one of them is compared then.
_WHOLE_PASS = 3.0
_LEAST_CALLS = 5


class CannotDriveError(FrugalWatchError):
    """The model cannot be loaded or called."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Feeding:
    """What a model is called with and by whom, as the user said; None where he did not.

    `batch` is rows of the arrays for a call, `dims` sizes of open dimensions:
    `batch=1,sequence=64`.
    """

    inputs: str | None = None
    python: str | None = None
    batch: int | None = None
    dims: str = ""
    calls: int | None = None
    train: bool = False


@dataclass(frozen=True, slots=True)
class Driven:
    """The command, and the pattern of the number that its `evaluate` prints, if it has one."""

    workload: Workload
    metric: str | None = None


def drive(
    kind: DriverKind,
    path: str,
    feeding: Feeding,
    isolation: Isolation,
    environment: Mapping[str, str],
) -> Driven:
    """Look at the file, choose an interpreter, call the model for a second, and say how often.

    The call is a replay like all others: isolated. Raises UsageError, NotFoundError,
    MissingPackageError, CannotDriveError and CannotIsolateError.
    """
    _refuse_unfit(kind, feeding)
    path, cwd = _place(kind, path, environment)
    interpreter = _interpreter(kind, path, feeding, environment)
    words = _words(kind, path, feeding, interpreter)
    source = Source(
        _KINDS[kind],
        path,
        interpreter.path,
        interpreter.python,
        "own",
        None if feeding.inputs is None else os.path.abspath(feeding.inputs),
        sha256=_digest(path) if os.path.isfile(path) else None,
        trains=feeding.train,
    )
    if feeding.train:
        return Driven(Workload((*words, "--train"), cwd, environment, source=source))
    seen = _probe(Workload((*words, "--probe", str(_PROBE_S)), cwd, environment), isolation)
    calls = feeding.calls or enough_calls(
        int(seen["inputs_count"]), float(seen["call_s"]), float(seen["load_s"])
    )
    source = replace(
        source,
        inputs=seen["inputs"],
        inputs_count=int(seen["inputs_count"]),
        calls=calls,
        samples_per_call=seen["samples_per_call"],
        described=tuple(seen["described"]),
    )
    workload = Workload((*words, "--calls", str(calls)), cwd, environment, source=source)
    first = next(iter(seen["evaluates"]), None)
    return Driven(workload, None if first is None else rf"^{re.escape(first)}: (\S+)")


def enough_calls(inputs: int, call_s: float, load_s: float) -> int:
    """Calls for a replay of sensible length, whole passes over the inputs where they fit."""
    seconds = min(_MOST_S, max(_LEAST_S, load_s))
    calls = max(_LEAST_CALLS, math.ceil(seconds / max(call_s, 1e-6)))
    if inputs * call_s > _WHOLE_PASS * seconds:
        return calls
    return math.ceil(calls / inputs) * inputs


def _refuse_unfit(kind: DriverKind, feeding: Feeding) -> None:
    """Raise UsageError for an option that means nothing for this kind of workload."""
    own = kind in ("capture", "workload")
    unfit = [
        ("--inputs", own and feeding.inputs is not None),
        ("--batch", (own or feeding.inputs is None) and feeding.batch is not None),
        ("--dims", (kind != "onnx" or feeding.inputs is not None) and bool(feeding.dims)),
        ("--train", kind != "workload" and feeding.train),
    ]
    for option, is_unfit in unfit:
        if is_unfit:
            raise UsageError(
                f"{option} means nothing here",
                hint={
                    "--inputs": "a capture and a workload.py have inputs of their own",
                    "--batch": "it is the number of rows of --inputs for a call",
                    "--dims": "it sets open dimensions of an ONNX file whose inputs are made up",
                    "--train": "it calls train() of a workload.py",
                }[option],
            )
    if feeding.inputs is not None and not os.path.exists(feeding.inputs):
        raise NotFoundError(
            f"there is no {feeding.inputs}", hint="--inputs is an .npz or .npy file, or a folder"
        )


def _place(kind: DriverKind, path: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The whole path, and the folder that the command runs in."""
    if kind == "capture":
        from frugalwatch.captures.folder import captures_folder, find_capture, read_manifest

        found = find_capture(captures_folder(environment), path)
        cwd = str(read_manifest(found).get("cwd") or "")
        return found, cwd if os.path.isdir(cwd) else os.getcwd()
    found = checked(path, f"the {_KINDS[kind]}")
    if kind in ("program", "torchscript"):
        refuse_foreign(found)
    if kind == "program":
        refuse_unexported(found)
    if kind == "torchscript":
        refuse_pickle(found)
    return found, os.getcwd()


def _interpreter(
    kind: DriverKind, path: str, feeding: Feeding, environment: Mapping[str, str]
) -> Interpreter:
    needs = _NEEDS[kind]
    if feeding.inputs is not None and "numpy" not in needs:
        needs = (*needs, "numpy")
    named = feeding.python
    if kind == "capture" and named is None:
        named = _that_captured(path, environment)
    return choose(needs, named, environment, os.path.basename(path))


def _that_captured(path: str, environment: Mapping[str, str]) -> str:
    """The interpreter of the captured program: its pickles are of its torch and its packages."""
    from frugalwatch.captures.reading import read_capture

    capture = read_capture(path)
    if not capture.modules:
        raise UsageError(
            f"{capture.name} holds no model",
            hint="frugalwatch capture show says why; advise on the command itself",
        )
    found = str(capture.processes[0].about.get("interpreter") or "")
    if not found or ask(found, (), environment) is None:
        raise UsageError(
            f"the Python that {capture.name} was made with is gone: {found or 'unknown'}",
            hint="name one that has the same packages: --python PATH",
        )
    return found


def _words(
    kind: DriverKind, path: str, feeding: Feeding, interpreter: Interpreter
) -> tuple[str, ...]:
    words = [interpreter.path, _DRIVER, kind, path]
    if feeding.inputs is not None:
        words += ["--inputs", os.path.abspath(feeding.inputs)]
    if feeding.batch is not None:
        words += ["--batch", str(feeding.batch)]
    if feeding.dims:
        words += ["--dims", feeding.dims]
    return tuple(words)


def _probe(workload: Workload, isolation: Isolation) -> dict[str, Any]:
    """What a driver saw when it called the model for a second."""
    with private_folder() as folder:
        replay = Replayer(workload, isolation, folder).replay(limit_s=_PROBE_LIMIT_S)
        if replay.state in ("ok", "unmeasured"):
            lines = replay.text().splitlines()
            for line in reversed(lines):
                if line.startswith('{"name"'):
                    found: dict[str, Any] = json.loads(line)
                    return found
        raise _refused(workload, replay)


def _refused(workload: Workload, replay: Replay) -> CannotDriveError:
    """The driver's own words, or the end of what the model's code said."""
    if replay.state == "timeout":
        return CannotDriveError(
            f"one call takes longer than {_PROBE_LIMIT_S:g} s",
            hint="a model file is called many times; try smaller inputs",
        )
    lines = replay.tail().splitlines()
    said = [line for line in lines if line.startswith("error: ")]
    hints = [line[6:] for line in lines if line.startswith("hint: ")]
    if replay.exit_code == 3 and said:
        return CannotDriveError(said[-1][7:], hint=hints[-1] if hints else "")
    tail = "\n".join(f"  | {line[:200]}" for line in lines[-3:])
    return CannotDriveError(
        f"{os.path.basename(workload.argv[3])} fails in {workload.argv[0]}",
        why=f"it ended with status {replay.exit_code}\n{tail}",
        hint="replays reach no network (--allow-network) and write to throw-away layers"
        " (--replay-in-place); another Python: --python PATH",
    )


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
