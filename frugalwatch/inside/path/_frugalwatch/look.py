"""Looks at how the program uses torch, for the advisor: its root modules, its loaders, its outputs.

    {"look": {"folder": "/path"}}

Asked for in a few replays of a program, never in a run that is measured. In the folder each process
writes `look-PID.json`, and what came out of a sample of its root calls as safetensors: calls of two
replays are compared where what went into them has the same digest. Which calls are in the sample
depends on their numbers only, so that it is the same ones each time.
"""

from __future__ import annotations

import json
import os
import sys
import time
import weakref

from . import calls, own_work
from .capture_values import Flat, write_safetensors
from .imports import when_imported
from .look_rows import Inputs, rows_of, size_bytes
from .padding import add_padding, blank_padding
from .root_calls import keep_from_compiler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # torch, its modules and tensors are of the job's own version

    from .line import Line
    from .root_calls import RootCall

# Every one of the first 2048 calls is kept, then every second one up to 4096, every fourth ...
_ALL_UP_TO_BITS = 11
_CALL_BYTES = 16 << 20  # of one call's outputs as they are
_ALL_BYTES = 64 << 20
_ROW_BYTES = 64 << 20  # of the rows that are made of all outputs
_INPUT_BYTES = 64 << 20  # more than that is long to hash
_MOST_ROOTS = 16
_MOST_LOADERS = 16
_MOST_SHAPES = 50
_PERIOD_NS = 1_000_000_000


class Look:
    """What was seen so far in this process."""

    def __init__(self, folder: str, line: Line) -> None:
        self._folder = folder
        self._line = line
        self._restart()
        os.register_at_fork(after_in_child=self._restart)
        line.add_source(self.tell)

    def _restart(self) -> None:
        self._roots: dict[int, _Root] = {}
        self._loaders: list[dict[str, Any]] = []
        self._begun: dict[int, tuple[str, Inputs]] = {}  # by thread: into the call under way
        self._bytes = self._row_bytes = 0
        self._told_ns = 0

    def begin(self, call: RootCall) -> None:
        """Note how a module is called, and what goes in, which the call may change."""
        with own_work.counted():
            self._begin(call)

    def _begin(self, call: RootCall) -> None:
        root = self._root(call)
        if root is None:
            return
        flat, structure = _taken_apart(call)
        root.add(call, flat)
        is_small = flat.size_bytes() <= _INPUT_BYTES
        if is_sampled(call.number) and is_small and not flat.missing:
            inputs = Inputs(calls.own_module(call.module), flat, structure)
            root.seen["padding"] = add_padding(root.seen["padding"], inputs.mask)
            self._begun[call.thread] = flat.digest(structure), inputs

    def end(self, call: RootCall) -> None:
        """Keep what came out, if the call is in the sample: rows of it, and all where it is small.

        A digest of all of it is kept always, so that equal outputs are known to be equal.
        """
        with own_work.counted():
            self._end(call)

    def _end(self, call: RootCall) -> None:
        begun = self._begun.pop(call.thread, None)
        if begun is None or call.error is not None:
            return
        digest, inputs = begun
        flat = Flat(_torch())
        structure = flat.add(call.output, "out")
        blank_padding(flat.tensors, inputs.mask)
        rows = rows_of(_torch(), flat, inputs)
        if not flat.tensors or self._row_bytes + size_bytes(rows) > _ROW_BYTES:
            return
        self._row_bytes += size_bytes(rows)
        kept = dict(rows)
        if flat.size_bytes() <= min(_CALL_BYTES, _ALL_BYTES - self._bytes):
            self._bytes += flat.size_bytes()
            kept.update(flat.tensors)
        about = {
            "inputs": digest,
            "outputs": flat.digest(structure),
            "learning": "yes" if call.training and call.grad else "no",
            "module": _name(calls.own_module(call.module)),
            "items": json.dumps(inputs.items),
            "masked": "no" if inputs.mask is None else "yes",
        }
        folder = os.path.join(self._folder, f"outputs-{os.getpid()}")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{call.number:09d}.safetensors"), "wb") as file:
            write_safetensors(file, kept, about)

    def loader(self, loader: Any) -> None:
        """An iteration over a DataLoader begins."""
        if len(self._loaders) < _MOST_LOADERS:
            seen = {
                "workers": int(loader.num_workers),
                "pin_memory": bool(loader.pin_memory),
                "batch_size": loader.batch_size,
                "dataset": type(loader.dataset).__name__,
                "persistent": bool(getattr(loader, "persistent_workers", False)),
            }
            if seen not in self._loaders:
                self._loaders.append(seen)

    def tell(self, final: bool) -> None:
        """Write down what was seen, at most every second and at the end."""
        now_ns = time.monotonic_ns()
        if not final and now_ns - self._told_ns < _PERIOD_NS:
            return
        if self._roots or self._loaders:
            self._told_ns = now_ns
            path = os.path.join(self._folder, f"look-{os.getpid()}.json")
            with open(path + ".new", "w") as file:
                json.dump(self._seen(), file)
            os.rename(path + ".new", path)

    def _seen(self) -> dict[str, Any]:
        torch = _torch()
        used = torch.cuda.is_initialized()  # asking for more would start CUDA
        return {
            "pid": os.getpid(),
            "torch": str(getattr(torch, "__version__", "")),
            "cuda_capability": list(torch.cuda.get_device_capability()) if used else None,
            "matmul_precision": torch.get_float32_matmul_precision(),
            "cudnn_benchmark": bool(torch.backends.cudnn.benchmark),
            "roots": [root.seen for root in self._roots.values()],
            "loaders": self._loaders,
        }

    def _root(self, call: RootCall) -> _Root | None:
        own = calls.own_module(call.module)
        found = self._roots.get(id(own))
        if found is not None and found.module() is own:
            return found
        if len(self._roots) >= _MOST_ROOTS:
            return None
        found = self._roots[id(own)] = _Root(own, call.module)
        return found


class _Root:
    """One root module: what it is made of, and how it is called."""

    def __init__(self, own: Any, called: Any) -> None:
        self.module = weakref.ref(own)
        parameters = list(own.parameters())
        images = [each for each in parameters if each.dim() == 4]
        torch = _torch()
        self._shapes: set[str] = set()
        self.seen: dict[str, Any] = {
            "class": type(own).__name__,
            "parameters": sum([each.numel() for each in parameters]),
            "dtypes": sorted({str(each.dtype)[6:] for each in parameters}),
            "devices": sorted({each.device.type for each in parameters}),
            "convolutions_2d": len(images),
            "channels_last": bool(images)
            and all(each.is_contiguous(memory_format=torch.channels_last) for each in images),
            "mode_dependent": sorted({_name(m) for m in own.modules() if _depends_on_mode(m)}),
            "compiled": type(called).__name__ == "OptimizedModule"
            or getattr(own, "_compiled_call_impl", None) is not None,
            "autocast": None,
            "images_in": False,
            "calls": {},
            "shapes_count": 0,
            "padding": None,
        }

    def add(self, call: RootCall, inputs: Flat) -> None:
        """Count a call, by the modes that it is made in."""
        from .capture import _autocast

        modes = ("training" if call.training else "evaluation", "grad" if call.grad else "no_grad")
        key = " ".join(modes)
        counts = self.seen["calls"]
        counts[key] = counts.get(key, 0) + 1
        self.seen["autocast"] = self.seen["autocast"] or _autocast(_torch())
        if len(self._shapes) < _MOST_SHAPES:
            shapes = inputs.shapes()
            self._shapes.add(json.dumps(shapes))
            self.seen["shapes_count"] = len(self._shapes)
            if any(len(shape) == 4 for _, shape in shapes.values()):
                self.seen["images_in"] = True


def _taken_apart(call: RootCall) -> tuple[Flat, dict[str, Any]]:
    """What goes into a call, in the form that a capture has it, so that digests are the same.

    An empty cache, which transformers make to fill it, is as good as none.
    """
    flat = Flat(_torch())
    kwargs = {key: each for key, each in call.kwargs.items() if not _is_empty_cache(each)}
    args = flat.add(list(call.args), "in")
    return flat, {"args": args, "kwargs": flat.add(kwargs, "in")}


def _is_empty_cache(value: Any) -> bool:
    length = getattr(value, "get_seq_length", None)
    return type(value).__name__.endswith("Cache") and length is not None and length() == 0


def is_sampled(number: int) -> bool:
    """Whether the outputs of the call with this number are kept."""
    return number % (1 << max(0, number.bit_length() - _ALL_UP_TO_BITS)) == 0


def _name(module: Any) -> str:
    return type(module).__name__


def _depends_on_mode(module: Any) -> bool:
    """Whether a module of torch's own computes something else in training mode."""
    batch_norm = getattr(_torch().nn.modules.batchnorm, "_NormBase", None)
    if batch_norm is not None and isinstance(module, batch_norm):
        return True
    if isinstance(module, _torch().nn.modules.dropout._DropoutNd):
        return bool(module.p > 0)
    dropout = getattr(module, "dropout", 0)  # of recurrent layers and of attention
    return _name(module) == "RReLU" or (isinstance(dropout, float) and dropout > 0)


def _torch() -> Any:
    return sys.modules["torch"]


def start(options: dict[str, Any], line: Line) -> None:
    """Look at root calls and loaders of this process."""
    look = Look(str(options["folder"]), line)
    calls.registry.tell_problem = line.problem
    calls.listen(look)
    when_imported("torch", lambda torch: keep_from_compiler(torch, __name__))

    def watch_loaders(module: Any) -> None:
        kind = module.DataLoader
        own = kind.__iter__

        def __iter__(self: Any) -> Any:  # noqa: N807
            try:
                look.loader(self)
            except Exception as error:  # noqa: BLE001 - the job's iteration goes on
                line.problem("look", error)
            return own(self)

        kind.__iter__ = __iter__

    when_imported("torch.utils.data.dataloader", watch_loaders)
