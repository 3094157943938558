"""The weights of a captured module: stored once by the snapshot, and again when they have changed.

Training changes them after the snapshot. So they are written anew at the first call in evaluation
mode after a change, else once a minute, seldom enough to cost the job at most a twentieth of its
time, and at the end of the process if the module is still there: we keep nothing alive.
"""

from __future__ import annotations

import time
import weakref

from .capture_files import BudgetSpentError
from .capture_values import UnstorableError, byte_count, plain_tensor, write_safetensors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .capture_files import Files

_SELDOM = 20  # times what writing them took
_TRAINING_PERIOD_NS = 60_000_000_000
_HEADER_BYTES = 1 << 20


class Weights:
    """The weights of one module. `version` grows each time that a change was seen."""

    def __init__(self, files: Files, number: int, module: Any) -> None:
        self._files = files
        self._name = f"module-{number}/weights.safetensors"
        self.module = weakref.ref(module)
        self.version = 0
        self._state = _state(module)
        self._stored = 0
        self._written_ns = time.monotonic_ns()
        self._next_ns = 0

    def note_version(self, note: dict[str, Any]) -> None:
        """Write into a call's line of the index which weights it was made with."""
        note["weights"] = self._look()

    def _look(self) -> int:
        state = _state(self.module())
        if state != self._state:
            self._state = state
            self.version += 1
        return self.version

    def refresh(self, *, training: bool = False, final: bool = False) -> None:
        """Write them if they have changed since they were written last."""
        module = self.module()
        began_ns = time.monotonic_ns()
        due_ns = self._written_ns + _TRAINING_PERIOD_NS if training else self._next_ns
        if module is None or (began_ns < due_ns and not final):
            return
        if self._look() == self._stored:
            return
        import sys

        try:
            write_weights(sys.modules["torch"], self._files, self._name, module, self.version)
        except (BudgetSpentError, UnstorableError, OSError):  # those of the snapshot stay
            return
        self._stored = self.version
        self._written_ns = time.monotonic_ns()
        self._next_ns = self._written_ns + _SELDOM * (self._written_ns - began_ns)


def write_weights(
    torch: Any, files: Files, name: str, module: Any, version: int, *, replace: bool = True
) -> int:
    """Write all parameters and buffers, by name; returns the bytes.

    Raises BudgetSpentError, UnstorableError, OSError; FileExistsError where it may not replace.
    """
    tensors: dict[str, Any] = {}
    same: dict[str, str] = {}
    seen: dict[int, str] = {}
    for key, value in named_tensors(module):
        first = seen.setdefault(id(value), key)
        if first != key:  # tied weights
            same[key] = first
            continue
        tensors[key] = plain_tensor(torch, value)
    import json

    metadata = {"version": str(version), "tied": json.dumps(same), "t_utc_ns": str(time.time_ns())}
    size = sum([byte_count(tensor) for tensor in tensors.values()]) + _HEADER_BYTES
    put = lambda file: write_safetensors(file, tensors, metadata)  # noqa: E731
    return files.write(name, put, size, replace=replace)


def named_tensors(module: Any) -> list[tuple[str, Any]]:
    """Every parameter and buffer with its name, tied ones under each of their names."""
    return [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]


def _state(module: Any) -> tuple[int, int] | None:
    """What changes whenever a weight does; None where that is not known."""
    try:
        tensors = [value for _, value in named_tensors(module)]
        versions = sum([value._version for value in tensors])
        return versions, sum([value.data_ptr() for value in tensors])
    except Exception:  # noqa: BLE001 - tensors made in inference mode have no version
        return None
