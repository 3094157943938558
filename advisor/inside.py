"""What the hook saw inside a program's Python processes in a replay that looked for it."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from frugalwatch.json_files import read_json


@dataclass(frozen=True, slots=True)
class Padding:
    """What the masks among a module's inputs said: of `tokens` positions `padded` are no input.

    `right`: in every row the padding came last. `rows` are those of all `calls` together.
    """

    calls: int
    rows: int
    tokens: int
    padded: int
    right: bool

    @property
    def share(self) -> float:
        """Of all positions that were computed."""
        return self.padded / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, slots=True)
class Root:
    """A module that the program calls itself, and how it does.

    `calls` counts them by "training grad", "training no_grad", "evaluation grad" and "evaluation
    no_grad". `mode_dependent` are the classes inside it that compute something else in training.
    """

    name: str
    calls: Mapping[str, int]
    parameters: int = 0
    dtypes: tuple[str, ...] = ("float32",)
    devices: tuple[str, ...] = ("cpu",)
    convolutions_2d: int = 0
    channels_last: bool = False
    mode_dependent: tuple[str, ...] = ()
    compiled: bool = False
    autocast: str | None = None
    images_in: bool = False
    shapes_count: int = 1
    padding: Padding | None = None

    @property
    def on_gpu(self) -> bool:
        return "cuda" in self.devices

    def called(self, mode: str, grad: str | None = None) -> int:
        """Calls in "training" or "evaluation" mode, with "grad", "no_grad" or either."""
        wanted = [grad] if grad else ["grad", "no_grad"]
        return sum(self.calls.get(f"{mode} {each}", 0) for each in wanted)


@dataclass(frozen=True, slots=True)
class Session:
    """An ONNX Runtime session that the program made.

    `model` is its file, None for one from memory. `threads` 0: as many as cores. `inputs` are name,
    type and shape, whose open dimensions are texts.
    """

    model: str | None
    calls: int
    bytes: int | None = None
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    threads: int = 0
    spinning: bool = True
    optimization: str = "ORT_ENABLE_ALL"
    inputs: tuple[tuple[str, str, tuple[int | str, ...]], ...] = ()
    shapes_count: int = 1

    @property
    def on_gpu(self) -> bool:
        return any(name.startswith(("CUDA", "Tensorrt", "ROCM")) for name in self.providers[:1])


@dataclass(frozen=True, slots=True)
class Loader:
    """A DataLoader that the program iterated over."""

    workers: int
    batch_size: int | None
    pin_memory: bool
    dataset: str


@dataclass(frozen=True, slots=True)
class Inside:
    """All of it. `learns`: there was an optimizer step or a backward pass.

    `unit` is what its work is counted in, None where nothing was counted; `shares` are the parts of
    its wall time by activity.
    """

    roots: tuple[Root, ...] = ()
    loaders: tuple[Loader, ...] = ()
    sessions: tuple[Session, ...] = ()
    learns: bool = False
    steps: int = 0
    unit: str | None = None
    units: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    cuda_capability: tuple[int, ...] = ()
    torch: str = ""
    matmul_precision: str = "highest"
    cudnn_benchmark: bool = False

    @property
    def on_gpu(self) -> bool:
        return any(root.on_gpu for root in self.roots)


# What work is counted in: the first of these that was seen.
_UNITS = ("step", "generate", "call", "request", "batch")


def read_inside(folder: str, run: Mapping[str, Any]) -> Inside | None:
    """What the hook wrote into `folder` and told in the run object.

    None if it saw no torch used, and no session of ONNX Runtime.

    Several processes are taken together.
    """
    seen = [read_json(path) for path in sorted(glob.glob(os.path.join(folder, "look-*.json")))]
    seen = [each for each in seen if each]
    sessions = _sessions(folder)
    if not seen and not sessions:
        return None
    counts = {unit["unit"]: int(unit["count"]) for unit in run.get("units") or ()}
    parts = (run.get("activities") or {}).get("parts", ())
    shares = {part["activity"]: float(part["share"] or 0.0) for part in parts}
    steps = counts.get("step", 0)
    unit = next((name for name in _UNITS if counts.get(name)), None)
    return Inside(
        roots=tuple(_root(each) for process in seen for each in process["roots"]),
        loaders=tuple(_loader(each) for process in seen for each in process["loaders"]),
        sessions=sessions,
        learns=steps > 0 or "backward" in shares,
        steps=steps,
        unit=unit,
        units=counts.get(unit, 0) if unit else 0,
        shares=shares,
        cuda_capability=next(
            (tuple(p["cuda_capability"]) for p in seen if p["cuda_capability"]), ()
        ),
        torch=str(seen[0]["torch"]) if seen else "",
        matmul_precision=str(seen[0]["matmul_precision"]) if seen else "highest",
        cudnn_benchmark=any(each["cudnn_benchmark"] for each in seen),
    )


def _root(seen: Mapping[str, Any]) -> Root:
    return Root(
        name=str(seen["class"]),
        calls=dict(seen["calls"]),
        parameters=int(seen["parameters"]),
        dtypes=tuple(seen["dtypes"]),
        devices=tuple(seen["devices"]),
        convolutions_2d=int(seen["convolutions_2d"]),
        channels_last=bool(seen["channels_last"]),
        mode_dependent=tuple(seen["mode_dependent"]),
        compiled=bool(seen["compiled"]),
        autocast=seen["autocast"],
        images_in=bool(seen["images_in"]),
        shapes_count=int(seen["shapes_count"]),
        padding=None if seen.get("padding") is None else Padding(**seen["padding"]),
    )


def _sessions(folder: str) -> tuple[Session, ...]:
    """Those that answered something, the busiest first."""
    files = [read_json(path) for path in sorted(glob.glob(os.path.join(folder, "sessions-*.json")))]
    found = [_session(each) for file in files for each in file.get("sessions", ())]
    return tuple(sorted((s for s in found if s.calls), key=lambda s: -s.calls))


def _session(seen: Mapping[str, Any]) -> Session:
    return Session(
        model=seen["model"],
        calls=int(seen["calls"]),
        bytes=seen["bytes"],
        providers=tuple(seen["providers"]),
        threads=int(seen["threads"]),
        spinning=bool(seen["spinning"]),
        optimization=str(seen["optimization"]),
        inputs=tuple((name, kind, tuple(shape)) for name, kind, shape in seen["inputs"]),
        shapes_count=int(seen["shapes_count"]),
    )


def _loader(seen: Mapping[str, Any]) -> Loader:
    return Loader(
        workers=int(seen["workers"]),
        batch_size=seen["batch_size"],
        pin_memory=bool(seen["pin_memory"]),
        dataset=str(seen["dataset"]),
    )
