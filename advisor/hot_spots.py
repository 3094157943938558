"""Where the CPU time goes outside of the model, by package, and what could save there at most.

From one replay with sampled stacks. A change of the model cannot touch what is found here, and the
alternatives that are named can touch no more than it: where it is most of the work the right
answer is not the model. Shares are of CPU time, which is how the energy of the CPU is split.
"""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from advisor.layer_times import time_by_layer
from advisor.left_behind import number
from frugalwatch.json_files import read_json
from frugalwatch.profile.bounds import Certainty, certainty
from frugalwatch.profile.packages import IMPORTS, MODEL_PARTS, OWN, STDLIB, Packages
from frugalwatch.profile.power import Power
from frugalwatch.profile.recorded import Frame, Process, read_process
from frugalwatch.profile.tree import Amount, build_tree
from frugalwatch.report.window import Span

if TYPE_CHECKING:
    from advisor.replay import Replayer

HZ = 200.0
_Z = 1.96  # 95 %
_TIMER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "in_job", "time_calls.py")
# Packages that compute models: what is inside of them is the model, as torch's calls are.
_MODELS = frozenset({"onnxruntime", "openvino", "tensorflow", "jax", "xgboost", "lightgbm"})
_MODEL = "model"
_NATIVE = "native threads"  # of OpenMP and such, which work for the model in nearly all programs
# What is done once, and what measuring itself takes: no part of the work.
_NO_WORK = (IMPORTS, "start of Python", "FrugalWatch")
_WORTH_NAMING = 0.02
_LEAST_SAMPLES = 100
# Of the CPU time of a replay, for sampling: nobody waits for it, and it is told apart.
_SAMPLING_SHARE = 0.1
_MOST_FUNCTIONS = 3
_ALTERNATIVES = {
    OWN: "numba for loops over numbers, NumPy or polars for what can be done to whole columns",
    "pandas": "whole columns instead of apply() and iterrows(), polars, or a drop-in: FireDucks"
    " (python -m fireducks.pandas), on a GPU cudf.pandas",
    "numpy": "numba for chains of small operations; fewer, larger arrays",
    "json": "orjson or msgspec",
    "re": "one pattern compiled once, str methods, or google-re2",
    "csv": "polars or pyarrow",
    "datetime": "ciso8601, or fromisoformat() instead of strptime()",
    "_strptime": "ciso8601, or fromisoformat() instead of strptime()",
    "tokenizers": "texts tokenized in batches, and once each",
    "transformers": "fast tokenizers (use_fast=True), texts tokenized in batches, and once each",
    "PIL": "pillow-simd or libjpeg-turbo, images stored at the size that is needed",
    "torchvision": "transforms.v2 on tensors, images stored at the size that is needed",
    "sklearn": "scikit-learn-intelex (a drop-in, replayed where it is installed), onnxruntime by"
    " skl2onnx, transformers fitted once",
    "nltk": "tokenizers, or one compiled pattern",
    "spacy": "nlp.pipe() with the components that are needed",
    "data loading": "samples prepared once and stored; DataLoader workers save waiting only",
    "gzip": "zstandard or isal",
    "pickle": "safetensors or npy files",
}
_STDLIB_MODULE = re.compile(r"/lib(?:64)?/python3[^/]*/([^/.]+)")


@dataclass(frozen=True, slots=True)
class Spot:
    """A package's part of the CPU time of the work, with its bounds, all 0 to 1.

    `functions` are those of it that used most. `alternative` is what could save there; empty where
    none is known.
    """

    name: str
    share: float
    low: float
    high: float
    functions: tuple[str, ...] = ()
    alternative: str = ""

    def as_json(self) -> dict[str, object]:
        return {
            "package": self.name,
            "share": self.share,
            "share_low": self.low,
            "share_high": self.high,
            "functions": list(self.functions),
            "alternative": self.alternative,
        }


@dataclass(frozen=True, slots=True)
class HotSpots:
    """What is outside of the model, of the work: all CPU time but that of imports and such.

    `imports` is the share of everything that is no work. `samples` is an effective number.
    `layers` are those of the modules that take most time (`advisor.layer_times`).
    """

    outside: Spot
    spots: tuple[Spot, ...]
    imports: float
    cpu_s: float
    samples: float
    layers: tuple[Mapping[str, object], ...] = ()

    @property
    def dominates(self) -> bool:
        """Whether most of the work is surely outside of the model."""
        return self.outside.low > 0.5

    def as_json(self) -> dict[str, object]:
        """The document's key `hot_spots`."""
        return {
            "outside_model": self.outside.as_json(),
            "dominates": self.dominates,
            "packages": [spot.as_json() for spot in self.spots],
            "imports_share": self.imports,
            "cpu_s": self.cpu_s,
            "effective_samples": self.samples,
            "layers": [dict(layer) for layer in self.layers],
            "origin": "attributed",
        }


def find_hot_spots(
    replayer: Replayer, limit_s: float | None = None, *, learns: bool = False
) -> HotSpots | None:
    """One replay with sampled stacks; None where too little was seen to say anything.

    Calls of its modules are timed besides, where nothing `learns`: a backward pass is no call.
    Raises CannotIsolateError and KeyboardInterrupt.
    """
    folder = private(replayer.new_folder("profile"))
    # Without layers: to time those of a small model would make it look larger than it is.
    profile = {"hz": HZ, "share": _SAMPLING_SHARE, "folder": folder, "layers": False}
    asked: dict[str, object] = {"profile": profile}
    if not learns:
        timer = {"factory": f"{_TIMER}:make", "options": {"folder": folder}, "training": True}
        asked["switches"] = {"replace": timer}
    replayer.replay(ask=asked, limit_s=limit_s)
    files = sorted(glob.glob(os.path.join(folder, "**", "*.jsonl"), recursive=True))
    processes = [p for p in map(read_process, files) if p is not None and p.slices]
    found = hot_spots(processes)
    if found is None:
        return None
    calls = glob.glob(os.path.join(folder, "calls-*.json"))
    found = with_timed_model(found, [read_json(path) for path in calls])
    return replace(found, layers=tuple(_layers(replayer, limit_s)))


def with_timed_model(found: HotSpots, timed: Sequence[Mapping[str, object]]) -> HotSpots:
    """The same with the model's share as its calls were timed, in place of how it was sampled.

    `timed` holds `cpu_s` of calls and `process_cpu_s` of each process that made some. What is left
    in doubt is how much of a process is no work, which was sampled.
    """
    model_s = sum(number(each.get("cpu_s")) or 0.0 for each in timed)
    whole_s = sum(number(each.get("process_cpu_s")) or 0.0 for each in timed)
    work_s = whole_s * (1 - found.imports)
    sampled = found.outside.share
    if not 0 < model_s < work_s or sampled <= 0:
        return found
    in_doubt = _Z * math.sqrt(found.imports * (1 - found.imports) / found.samples) * whole_s
    low, high = (max(0.0, 1 - model_s / (work_s + sign * in_doubt)) for sign in (-1, 1))
    share = 1 - model_s / work_s

    def scaled(spot: Spot) -> Spot:
        own, least, most = (
            min(1.0, each * share / sampled) for each in (spot.share, spot.low, spot.high)
        )
        return replace(spot, share=own, low=least, high=most)

    outside = replace(found.outside, share=share, low=low, high=high)
    return replace(found, outside=outside, spots=tuple(scaled(each) for each in found.spots))


def _layers(replayer: Replayer, limit_s: float | None) -> list[dict[str, object]]:
    """Which layers take most of the models' time, from a replay that watches them."""
    asked = {"hz": HZ, "folder": private(replayer.new_folder("layers"))}
    replayer.replay(ask={"profile": asked}, limit_s=limit_s)
    files = glob.glob(os.path.join(str(asked["folder"]), "**", "*.jsonl"), recursive=True)
    return time_by_layer([p for p in map(read_process, sorted(files)) if p is not None])


def private(folder: str) -> str:
    """The folder, which now nobody else can read: the hook writes into no other."""
    os.chmod(folder, 0o700)
    return folder


def hot_spots(processes: Sequence[Process]) -> HotSpots | None:
    """What these recorded processes show; None with too few samples."""
    if not processes:
        return None
    packages = Packages(processes)
    amounts: dict[str, Amount] = {}
    functions: dict[str, dict[str, float]] = {}
    for stack in build_tree(processes, _WITHOUT_POWER).walk():
        amount = stack[-1].own
        if not amount.cpu_s:
            continue
        frames = [node.frame for node in stack[1:]]
        name = _spot(frames, packages)
        amounts.setdefault(name, Amount()).add(amount)
        function = _function(frames, name, packages)
        if function:
            of = functions.setdefault(name, {})
            of[function] = of.get(function, 0.0) + amount.cpu_s
    everything = Amount()
    for amount in amounts.values():
        everything.add(amount)
    imports = Amount()
    for name in _NO_WORK:
        imports.add(amounts.pop(name, Amount()))
    work = Amount()
    for amount in amounts.values():
        work.add(amount)
    known = certainty(processes, everything).samples
    if known < _LEAST_SAMPLES or work.cpu_s <= 0:
        return None
    sure = Certainty(known * work.cpu_s / everything.cpu_s, work)
    return _found(amounts, functions, sure, imports.cpu_s / everything.cpu_s)


def _found(
    amounts: Mapping[str, Amount],
    functions: Mapping[str, Mapping[str, float]],
    sure: Certainty,
    imports: float,
) -> HotSpots:
    outside = Amount()
    spots = []
    for name, amount in amounts.items():
        if name == _MODEL:
            continue
        outside.add(amount)
        spot = _spot_of(name, amount, sure, functions.get(name, {}))
        if spot.share >= _WORTH_NAMING:
            spots.append(spot)
    return HotSpots(
        _spot_of("outside the model", outside, sure, {}),
        tuple(sorted(spots, key=lambda each: -each.share)),
        imports,
        sure.everything.cpu_s,
        sure.samples,
    )


def _spot_of(name: str, amount: Amount, sure: Certainty, functions: Mapping[str, float]) -> Spot:
    bounds = sure.of(amount)
    most = sorted(functions, key=lambda each: -functions[each])[:_MOST_FUNCTIONS]
    share = amount.cpu_s / sure.everything.cpu_s
    return Spot(name, share, bounds.low, bounds.high, tuple(most), _ALTERNATIVES.get(name, ""))


def _spot(frames: Sequence[Frame], packages: Packages) -> str:
    """The package that a stack belongs to; modules of the standard library by their own names."""
    part = packages.part(frames)
    if part in MODEL_PARTS or part in _MODELS or part == _NATIVE:
        return _MODEL
    if part != STDLIB:
        return part
    files = [f.filename for f in frames if f.filename and packages.of_file(f.filename) == STDLIB]
    for file in reversed(files):
        found = _STDLIB_MODULE.search(file)
        if found:
            return found.group(1)
    return STDLIB


def _function(frames: Sequence[Frame], name: str, packages: Packages) -> str:
    """The function of the program's own code that led there, or for its own code its innermost."""
    own = [f for f in frames if f.filename and packages.of_file(f.filename) == OWN]
    if not own or name == _MODEL:
        return ""
    frame = own[-1]
    return f"{os.path.basename(frame.filename)}:{frame.first_line} {frame.function}"


_WITHOUT_POWER = Power(
    window=Span(0, 1),
    devices=(),
    busy=None,
    job_cpu_s=None,
    job_measured=None,
    job_estimated=None,
    device_measured_j=None,
    device_estimated_j=None,
    gpu=None,
    idle_known=False,
)


def in_words(found: Mapping[str, object]) -> list[str]:
    """What the document's `hot_spots` say, a sentence each; the first is the answer."""
    outside, spots = found["outside_model"], found["packages"]
    assert isinstance(outside, Mapping)
    assert isinstance(spots, list)
    share = _share(outside)
    if found["dominates"]:
        lines = [
            f"Not the model: {share} of the CPU time of the work is outside of it, which no change"
            " of the model can touch"
        ]
    else:
        lines = [f"{share} of the CPU time of the work is outside of the model"]
    for spot in spots:
        where = f" (in {', '.join(spot['functions'])})" if spot["functions"] else ""
        line = f"{spot['package']}: {_share(spot)}{where}"
        if spot["alternative"]:
            line += f"; at most that could be saved by {spot['alternative']}"
        lines.append(line)
    return lines


def _share(spot: Mapping[str, object]) -> str:
    value, low, high = (float(str(spot[k])) * 100 for k in ("share", "share_low", "share_high"))
    return f"{value:.0f} % [{low:.0f}, {high:.0f}]"
