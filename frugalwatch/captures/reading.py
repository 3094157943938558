"""What a capture holds, read from its files: nothing is unpickled, and no tensor is loaded.

A capture of a job that was killed may end in the middle of a line; whatever is whole counts.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from dataclasses import dataclass
from statistics import quantiles

from frugalwatch.captures.folder import read_manifest
from frugalwatch.json_files import read_json, read_json_lines

SCHEMA = "frugalwatch.capture/1"
_Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor that goes in or comes out: its type, and each dimension's smallest and largest."""

    name: str
    dtype: str
    shape: tuple[tuple[int, int], ...] | None

    def as_json(self) -> _Json:
        """`shape` is null where calls differ in the number of dimensions."""
        shape = None if self.shape is None else [list(each) for each in self.shape]
        return {"name": self.name, "dtype": self.dtype, "shape_low_high": shape}


@dataclass(frozen=True, slots=True)
class Module:
    """One root module and its calls. `about` is what the copy of the process wrote of it."""

    path: str
    number: int
    about: _Json
    storing: bool
    calls: int
    training_calls: int
    kept: int
    failed: int
    repeated: int
    hashed: int
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    missing: tuple[str, ...]
    p50_s: float | None
    weights_version: int

    @property
    def repeat_rate(self) -> float | None:
        """The part of the calls whose inputs had been seen before; None: none was looked at."""
        return self.repeated / self.hashed if self.hashed else None

    def part(self, name: str) -> _Json:
        """What is stored as `weights`, `pickle` or `program`, or why it is not (`why_not`)."""
        found = self.about.get(name)
        if isinstance(found, dict) and not (self.storing and found.get("pending")):
            return found
        if self.storing:
            return {"why_not": "still being stored"}
        reason = self.about.get("why_not", "the job ended before it could be stored")
        return {"why_not": str(reason)}

    def as_json(self) -> _Json:
        """For `capture show --json`."""
        return {
            "module": self.number,
            "about": {k: v for k, v in self.about.items() if k not in _PARTS},
            **{name: _without_seal(self.part(name)) for name in _PARTS},
            "storing": self.storing,
            "calls": self.calls,
            "training_calls": self.training_calls,
            "kept_calls": self.kept,
            "failed_calls": self.failed,
            "repeat_rate": self.repeat_rate,
            "hashed_calls": self.hashed,
            "call_p50_s": self.p50_s,
            "inputs": [slot.as_json() for slot in self.inputs],
            "outputs": [slot.as_json() for slot in self.outputs],
            "not_stored_inputs": list(self.missing),
            "weights_version": self.weights_version,
        }


_LOCKS = ("storing.lock", "storing-again.lock")
_PARTS = ("weights", "pickle", "program")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the job."""

    path: str
    about: _Json
    modules: tuple[Module, ...]
    notes: tuple[str, ...]
    order: tuple[int, ...]  # of modules, as they were called

    def as_json(self) -> _Json:
        """For `capture show --json`."""
        return {
            **self.about,
            "modules": [module.as_json() for module in self.modules],
            "notes": list(self.notes),
            "call_order": _runs(self.order),
        }


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture. `bytes` is what its files take."""

    path: str
    manifest: _Json
    processes: tuple[Process, ...]
    bytes: int

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def run_id(self) -> str | None:
        """The run that it belongs to; None where no process has captured anything."""
        found = (process.about.get("run_id") for process in self.processes)
        return next((str(each) for each in found if each), None)

    @property
    def modules(self) -> list[Module]:
        """Those of all processes."""
        return [module for process in self.processes for module in process.modules]

    def as_json(self) -> _Json:
        """For `capture show --json`."""
        return {
            **self.manifest,
            "schema": SCHEMA,
            "capture": self.name,
            "run_id": self.run_id,
            "folder": self.path,
            "size_bytes": self.bytes,
            "processes": [process.as_json() for process in self.processes],
        }


def read_capture(path: str) -> Capture:
    """Everything but the tensors. Files that cannot be read count as missing."""
    names = [name for name in sorted(_listed(path)) if name.startswith("process-")]
    processes = tuple(_process(os.path.join(path, name)) for name in names)
    return Capture(path, read_manifest(path), processes, size_bytes(path))


def size_bytes(path: str) -> int:
    """What the files below a folder take."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


def held_locks(path: str) -> list[str]:
    """Locks that copies of the job's processes hold while they store the capture's modules."""
    found = []
    for process in _listed(path):
        for name in _listed(os.path.join(path, process)):
            if name.startswith("module-"):
                locks = [os.path.join(path, process, name, lock) for lock in _LOCKS]
                found += [lock for lock in locks if _held(lock)]
    return found


def _process(path: str) -> Process:
    calls = read_json_lines(os.path.join(path, "calls.jsonl"))
    kept = {name.partition("-")[0] for name in _listed(os.path.join(path, "calls"))}
    numbers = [int(name[7:]) for name in _listed(path) if name[7:].isdigit()]
    modules = [
        _module(path, number, [c for c in calls if c.get("module") == number], kept)
        for number in sorted(numbers)
        if os.path.isdir(os.path.join(path, f"module-{number}"))
    ]
    notes = [str(line.get("note")) for line in read_json_lines(os.path.join(path, "notes.jsonl"))]
    order = tuple(_whole(call.get("module")) for call in calls)
    about = read_json(os.path.join(path, "process.json"))
    return Process(path, about, tuple(modules), tuple(notes), order)


def _module(process: str, number: int, calls: list[_Json], kept: set[str]) -> Module:
    path = os.path.join(process, f"module-{number}")
    digests = [str(call["inputs_digest"]) for call in calls if "inputs_digest" in call]
    missing = Counter(
        str(each) for call in calls for each in _listed_in(call, "missing", "outputs_missing")
    )
    durations = [_whole(call.get("duration_ns")) / 1e9 for call in calls if "error" not in call]
    return Module(
        path=path,
        number=number,
        about=read_json(os.path.join(path, "about.json")),
        storing=_locked(path),
        calls=len(calls),
        training_calls=sum(bool(call.get("training")) for call in calls),
        kept=sum(f"{_whole(call.get('call')):06d}" in kept for call in calls),
        failed=sum("error" in call for call in calls),
        repeated=len(digests) - len(set(digests)),
        hashed=len(digests),
        inputs=_slots(calls, "inputs"),
        outputs=_slots(calls, "outputs"),
        missing=tuple(missing),
        p50_s=_median(durations),
        weights_version=max((_whole(call.get("weights")) for call in calls), default=0),
    )


def _slots(calls: list[_Json], key: str) -> tuple[Slot, ...]:
    """Tensors by name, with the range of every dimension over all calls."""
    found: dict[str, Slot] = {}
    for call in calls:
        tensors = call.get(key)
        for name, described in tensors.items() if isinstance(tensors, dict) else ():
            dtype, shape = str(described[0]), tuple((int(n), int(n)) for n in described[1])
            before = found.get(name)
            if before is None:
                found[name] = Slot(name, dtype, shape)
                continue
            merged = None
            if before.shape is not None and len(before.shape) == len(shape):
                pairs = zip(before.shape, shape, strict=True)
                merged = tuple((min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs)
            kinds = before.dtype if before.dtype == dtype else f"{before.dtype}|{dtype}"
            found[name] = Slot(name, kinds, merged)
    return tuple(found.values())


def _median(values: list[float]) -> float | None:
    if not values:
        return None
    return values[0] if len(values) == 1 else quantiles(values, n=2)[0]


def _runs(order: tuple[int, ...]) -> list[list[int]]:
    """Run-length: [module, how many calls of it in a row], the first thousand."""
    found: list[list[int]] = []
    for module in order:
        if found and found[-1][0] == module:
            found[-1][1] += 1
        elif len(found) < 1000:
            found.append([module, 1])
        else:
            break
    return found


def _locked(module: str) -> bool:
    return any(_held(os.path.join(module, name)) for name in _LOCKS)


def _held(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _listed_in(call: _Json, *keys: str) -> list[object]:
    found: list[object] = []
    for key in keys:
        value = call.get(key)
        found += value if isinstance(value, list) else []
    return found


def _without_seal(part: _Json) -> _Json:
    return {key: value for key, value in part.items() if key != "seal"}


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
