"""`--capture`: keeps samples of root module calls, and the modules, for the advisor to replay.

Bounded in calls, bytes and time, never the default. In the job itself only this is done: inputs and
outputs are hashed and written, before and after the call. Modules are stored and exported by a
forked copy of the process (capture_fork.py), so that nothing of it can reach the job.

Of the calls of a module a sample is kept that is spread evenly over them: every one until there are
as many as allowed, then every second one, every fourth one and so on.
"""

from __future__ import annotations

import _thread
import json
import os
import time

from . import calls
from .capture_files import BudgetSpentError, Files, claim_process
from .capture_values import Flat, containers_copied, write_safetensors
from .capture_weights import Weights
from .imports import when_imported
from .root_calls import keep_from_compiler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # the job's own objects

    from .line import Line
    from .root_calls import RootCall

# Lines of the index; the order of calls beyond is not worth the disk.
_MOST_LINES = 10_000
# Inputs of calls that are not kept are hashed up to this size, to see how many repeat.
_HASHED_BYTES = 4 << 20
_HEADER_BYTES = 160  # of a file for each tensor, about
_MOST_MODULES = 16
_COST = "capture: writing samples and storing modules took part of this run's time and energy"
_RUN_TIMES = (
    *("onnxruntime", "onnxruntime-gpu", "openvino", "nncf", "torchao", "tensorrt", "onnx", "numpy"),
)
_OURS = (__name__, calls.__name__, Files.__module__, Flat.__module__, Weights.__module__)


class _Module:
    """A root module that was met: what is kept of its calls, by way of use."""

    def __init__(self, number: int, weights: Weights) -> None:
        self.number = number
        self.weights = weights
        self.uses = {True: _Use(), False: _Use()}
        self.stored: list[tuple[str, bool]] = []  # signature and mode of calls it was stored at

    def wants_storing(self, signature: str, training: bool, *, whole: bool) -> bool:
        """Whether to store it now: at its first call, and at the first use that looks different.

        What is no tensor is a constant of an exported program, so one made from a training call
        with labels is not the one that is used later without.
        """
        if not self.stored:
            return True
        earlier = self.stored[-1][0]
        return len(self.stored) == 1 and not training and whole and signature != earlier


class _Use:
    """Calls in training mode, or the others: which of them are kept."""

    def __init__(self) -> None:
        self.seen = 0
        self.stride = 1
        self.kept: dict[int, int] = {}  # place among these calls -> number of the call

    def wants_next(self) -> bool:
        """Whether the next call is one to keep; counts it."""
        place, self.seen = self.seen, self.seen + 1
        return place % self.stride == 0

    def keep(self, number: int, most: int) -> list[int]:
        """Note that this call is kept; returns those that have to go for it."""
        self.kept[self.seen - 1] = number
        if len(self.kept) <= most:
            return []
        self.stride *= 2
        going = [place for place in self.kept if place % self.stride]
        return [self.kept.pop(place) for place in going]


class Capture:
    """Listens to root calls of this process and keeps what the limits allow."""

    def __init__(self, options: dict[str, Any], line: Line) -> None:
        self._folder = str(options["folder"])
        self._calls_limit = int(options.get("calls", 64))
        self._bytes_limit = int(options.get("bytes", 1 << 30))
        self._window_ns = int(float(options.get("seconds", 600)) * 1e9)
        self._key = options.get("key")
        self._stores_modules = bool(options.get("modules", True))
        self._line = line
        self._restart()
        os.register_at_fork(after_in_child=self._restart)

    def _restart(self) -> None:
        self._lock = _thread.RLock()  # a handler of a signal may call a model too
        self._files: Files | None = None
        self._claimed = False
        self._modules: dict[int, _Module] = {}
        self._lines = 0
        self._until_ns = 0
        self._open: dict[int, tuple[Any, Any]] = {}  # by thread: the call that is under way
        self._said: set[str] = set()

    def begin(self, call: RootCall) -> None:
        """Before a call: note what goes in, since the call may change it."""
        with self._lock:
            files = self._place(call)
        if files is None or self._lines >= _MOST_LINES:
            return
        if time.monotonic_ns() > self._until_ns:
            self._done("the time allowed is over")
            return
        with self._lock:
            module = self._module(call)
        if module is None:
            return
        use = module.uses[call.training]
        self._lines += 1
        torch = _torch()
        note: dict[str, Any] = {
            "call": call.number,
            "module": module.number,
            "t_utc_ns": time.time_ns(),
            "thread": call.thread,
            "training": call.training,
            "grad": call.grad,
            "inference_mode": call.inference_mode,
            "autocast": _autocast(torch),
        }
        self._open[call.thread] = note, None
        if getattr(torch._C, "_len_torch_dispatch_stack", int)():
            note["not_kept"] = "inside a torch dispatch mode"
            return
        flat = Flat(torch)
        structure = {
            "args": flat.add(list(call.args), "in"),
            "kwargs": flat.add(dict(call.kwargs), "in"),
        }
        signature = json.dumps(structure)
        if module.wants_storing(signature, call.training, whole=not flat.missing):
            example = containers_copied((call.args, call.kwargs))
            self._open[call.thread] = note, (signature, example)
        size = flat.size_bytes()
        note.update(inputs=flat.shapes(), input_bytes=size)
        wanted = use.wants_next()
        if flat.missing:
            note["missing"] = flat.missing[:20]
        elif wanted or size <= _HASHED_BYTES:
            note["inputs_digest"] = flat.digest(structure)
        if not wanted:
            note["not_kept"] = "not in the sample"
        elif self._keep(f"calls/{call.number:06d}-in", flat, structure, note):
            module.weights.note_version(note)
            for number in use.keep(call.number, self._calls_limit):
                self._forget(number)

    def end(self, call: RootCall) -> None:
        """After the call: note what came out, and store the module if that is still to be done."""
        note, due = self._open.pop(call.thread, (None, None))
        files = self._files
        if note is None or files is None:
            return
        note["duration_ns"] = call.ended_ns - call.began_ns
        if call.error is not None:
            note["error"] = type(call.error).__name__
        elif "not_kept" not in note:
            flat = Flat(_torch())
            structure = {"output": flat.add(call.output, "out")}
            note["outputs"] = flat.shapes()
            if flat.missing:
                note["outputs_missing"] = flat.missing[:20]
            self._keep(f"calls/{call.number:06d}-out", flat, structure, note)
        files.append("calls.jsonl", note)
        if call.error is None:
            self._snapshot(call, due)

    def _place(self, call: RootCall) -> Files | None:
        """Where this process keeps its files; claimed at its first call."""
        if not self._claimed:
            self._claimed = True
            from .start import ranks

            rank = ranks(os.environ)[0]
            if rank:
                self._done(f"rank {rank}: only rank 0 is captured")
                return None
            self._files = claim_process(self._folder, self._bytes_limit)
            if self._files is None:
                self._done("enough processes of this job are captured")
                return None
            self._files.make_folder("calls")
            packages = {} if self._stores_modules else {"packages": _packages()}
            self._files.write_json("process.json", {**_process(), **packages})
            self._until_ns = time.monotonic_ns() + self._window_ns
            self._line.tell("note", _COST)
        return self._files

    def _module(self, call: RootCall) -> _Module | None:
        own = calls.own_module(call.module)
        found = self._modules.get(id(own))
        if found is not None and found.weights.module() is own:
            return found
        assert self._files is not None
        if len(self._modules) >= _MOST_MODULES:
            self._done(f"more than {_MOST_MODULES} root modules", ends=False)
            return None
        number = len(self._modules)
        self._files.make_folder(f"module-{number}")
        weights = Weights(self._files, number, own)
        found = self._modules[id(own)] = _Module(number, weights)
        return found

    def _keep(self, name: str, flat: Flat, structure: object, note: dict[str, Any]) -> bool:
        """Write one file of a sample; where that is not possible, note why."""
        assert self._files is not None
        metadata = {"structure": json.dumps(structure)}
        header = _HEADER_BYTES * (1 + len(flat.tensors)) + 2 * len(metadata["structure"])
        size = flat.size_bytes() + header
        try:
            self._files.write(
                name + ".safetensors",
                lambda file: write_safetensors(file, flat.tensors, metadata),
                size,
            )
        except BudgetSpentError:
            note["not_kept"] = "the bytes allowed are spent"
            self._done("the bytes allowed are spent", ends=False)
            return False
        except OSError as error:
            note["not_kept"] = error.strerror or repr(error)
            self._done(f"files cannot be written: {error.strerror}")
            return False
        return True

    def _forget(self, number: int) -> None:
        assert self._files is not None
        for part in ("in", "out"):
            self._files.remove(f"calls/{number:06d}-{part}.safetensors")

    def _snapshot(self, call: RootCall, due: Any) -> None:
        """Have the module stored if that is `due`, else its weights where they have changed.

        `due` holds the call's signature, and what went into it as it was before it.
        """
        module = self._modules.get(id(calls.own_module(call.module)))
        if module is None or self._files is None:
            return
        if not self._stores_modules:
            if due is not None and not module.stored:
                from .capture_snapshot import describe

                about = describe(_torch(), calls.own_module(call.module), call, ask_settings=False)
                self._files.write_json(f"module-{module.number}/about.json", about)
                module.stored.append((due[0], call.training))
        elif due is not None:
            from .capture_fork import snapshot

            signature, (call.args, call.kwargs) = due
            module.stored.append((signature, call.training))
            again = len(module.stored) > 1
            snapshot(self._files, module.number, call, self._key, again=again)
        else:
            module.weights.refresh(training=call.training)

    def finish(self) -> None:
        """At the end of the process: the weights as they are now."""
        for module in self._modules.values() if self._stores_modules else ():
            module.weights.refresh(final=True)

    def _done(self, why: str, *, ends: bool = True) -> None:
        """Say once why something is not captured; with `ends` nothing more is."""
        if ends and self._files is not None:
            self._lines = _MOST_LINES
        if why not in self._said:
            self._said.add(why)
            self._line.tell("note", "capture: " + why)
            if self._files is not None:
                self._files.append("notes.jsonl", {"note": why, "t_utc_ns": time.time_ns()})


def _torch() -> Any:
    import sys

    return sys.modules["torch"]


def _autocast(torch: Any) -> str | None:
    """The type that autocast computes in on the CPU or the GPU, None where it is off."""
    if hasattr(torch, "get_autocast_dtype"):  # torch 2.4; the older names warn since then
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                return str(torch.get_autocast_dtype(device))
        return None
    if torch.is_autocast_cpu_enabled():
        return str(torch.get_autocast_cpu_dtype())
    return str(torch.get_autocast_gpu_dtype()) if torch.is_autocast_enabled() else None


def _process() -> dict[str, Any]:
    """Which process this is. Its arguments are in the manifest, where secrets are masked."""
    import sys

    return {
        "pid": os.getpid(),
        "run_id": os.environ.get("FRUGALWATCH_RUN_KEY"),
        "started_utc_ns": time.time_ns(),
        "program": os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else "",
        "interpreter": sys.executable,
        "python": ".".join([str(part) for part in sys.version_info[:3]]),
        "torch": str(getattr(_torch(), "__version__", "")),
        "cwd": os.getcwd(),
    }


def _packages() -> dict[str, str]:
    """Versions of what runs and builds models, as far as the job's environment has it."""
    from importlib import metadata

    found = {}
    for name in _RUN_TIMES:
        try:
            found[name] = metadata.version(name)
        except Exception:  # noqa: BLE001 - not there, or installed by halves
            continue
    return found


def start(options: dict[str, Any], line: Line) -> None:
    """Capture root calls into the folder of `options`."""
    import atexit

    capture = Capture(options, line)
    calls.registry.tell_problem = line.problem
    calls.listen(capture)
    atexit.register(capture.finish)
    when_imported("torch", lambda torch: keep_from_compiler(torch, *_OURS))
