"""Counts and times copies of torch tensors between devices, for `--count transfers`.

`to`, `cuda`, `cpu` and `copy_` of `torch.Tensor` are ours meanwhile, and follow what they bring to
another device. A copy to a GPU may go on behind the program's back: its time is that for which the
program waited. What compiled code copies by itself is not seen.
"""

import functools
import os
import time

from .imports import when_imported
from .root_calls import keep_from_compiler
from .torch_steps import is_compiling_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any  # the job's own objects

    from .line import Line

_METHODS = ("to", "cuda", "cpu", "copy_")


class _Moved:
    """How much went which way, which is told at the end."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._moved: "dict[tuple[str, str], list[int]]" = {}
        os.register_at_fork(after_in_child=self._moved.clear)

    def add(self, source: str, target: str, size: int, took_ns: int) -> None:
        """One copy of so many bytes."""
        found = self._moved.setdefault((source, target), [0, 0, 0])
        found[0] += 1
        found[1] += size
        found[2] += took_ns

    def tell(self, final: bool) -> None:
        """Say it at the end of the process."""
        if not final:
            return
        for (source, target), (copies, size, took_ns) in list(self._moved.items()):
            what = f"{size / 2**20:.3g} MiB, {took_ns / 1e9:.3g} s of the program's time"
            self._line.tell("note", f"{copies} transfers from {source} to {target}: {what}")
        self._moved.clear()


def follow(torch: "ModuleType", line: "Line") -> None:
    """Count transfers from now on; `torch` is the job's."""
    moved = _Moved(line)
    line.add_source(moved.tell)
    kinds = (torch.Tensor, torch.nn.Parameter)  # no subclass: those that trace move nothing
    monotonic_ns, is_compiling = time.monotonic_ns, is_compiling_in(torch)

    def followed(name: str) -> "Any":
        method = getattr(torch.Tensor, name)

        @functools.wraps(method)
        def moving(self: "Any", *args: "Any", **kwargs: "Any") -> "Any":
            if is_compiling():  # a constant to torch.compile, which knows the method by its name
                return getattr(self, name)(*args, **kwargs)
            if type(self) not in kinds:
                return method(self, *args, **kwargs)
            begun_ns = monotonic_ns()
            result = method(self, *args, **kwargs)
            try:
                source = _source(name, self, args, kwargs)
                if source is not None and source.device != result.device:
                    took_ns = monotonic_ns() - begun_ns
                    size = source.nelement() * source.element_size()
                    moved.add(str(source.device), str(result.device), size, took_ns)
            except Exception as error:  # noqa: BLE001 - the job's copy was made
                line.problem("transfer", error)
            return result

        return moving

    keep_from_compiler(torch, __name__)
    for name in _METHODS:
        setattr(torch.Tensor, name, followed(name))


def _source(name: str, tensor: "Any", args: "Any", kwargs: "Any") -> "Any":
    """What the call copies from."""
    if name != "copy_":
        return tensor
    return args[0] if args else kwargs.get("other")


def start(line: "Line") -> None:
    """Follow once torch is there."""
    when_imported("torch", lambda torch: follow(torch, line))
