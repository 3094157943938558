"""Switches that concern a whole process: threads, precision, how data is loaded."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any  # torch's own objects

    from .switches import Notes


def _threads(torch: Any, value: Any, name: str, notes: Notes) -> None:
    """Threads of one operation; what the program sets itself is not heard."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(value))
    own = torch.set_num_threads

    def set_num_threads(count: int) -> None:
        """Checked as torch checks it, and then left at what the switch says."""
        if isinstance(count, int) and count > 0:
            if count != int(value):
                notes.applied(name, f"the program asked for {count}")
            own(int(value))
        else:
            own(count)

    torch.set_num_threads = set_num_threads
    notes.applied(name, f"was {before}")


def _interop_threads(torch: Any, value: Any, name: str, notes: Notes) -> None:
    """Threads between operations. torch takes them once, before the first parallel work."""
    before = torch.get_num_interop_threads()
    torch.set_num_interop_threads(int(value))
    own = torch.set_num_interop_threads

    def set_num_interop_threads(count: int) -> None:
        if not isinstance(count, int) or count < 1:
            own(count)
        notes.applied(name, f"the program asked for {count}")

    torch.set_num_interop_threads = set_num_interop_threads
    notes.applied(name, f"was {before}")


def _cudnn_benchmark(torch: Any, value: Any, name: str, notes: Notes) -> None:
    """Have cuDNN try its ways of a convolution (unverified on hardware)."""
    if not _has_gpu(torch, name, notes):
        return
    torch.backends.cudnn.benchmark = bool(value)
    notes.applied(name)


def _tf32(torch: Any, _: Any, name: str, notes: Notes) -> None:
    """TensorFloat-32 in matrix products and convolutions (unverified on hardware)."""
    if not _has_gpu(torch, name, notes):
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    notes.applied(name, f"precision of products was {before}")


def _has_gpu(torch: Any, name: str, notes: Notes) -> bool:
    if torch.version.cuda is None:
        notes.refused(name, "this torch is built without CUDA")
    elif not torch.cuda.is_available():
        notes.refused(name, "no GPU")
    else:
        return True
    return False


_LOADER_OPTIONS = {
    "workers": "num_workers",
    "pin_memory": "pin_memory",
    "prefetch": "prefetch_factor",
    "persistent": "persistent_workers",
}


def _loader(module: Any, value: Any, name: str, notes: Notes) -> None:
    """How a DataLoader loads: workers, pinned memory, prefetching, workers that stay."""
    import inspect

    wanted = {_LOADER_OPTIONS[key]: each for key, each in value.items() if key in _LOADER_OPTIONS}
    unknown = [key for key in value if key not in _LOADER_OPTIONS]
    if unknown or not wanted:
        notes.refused(name, f"of a loader {sorted(_LOADER_OPTIONS)} can be set, not {unknown}")
        return
    kind = module.DataLoader
    own = kind.__init__
    signature = inspect.signature(own)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError:
            own(self, *args, **kwargs)  # its own message
            return
        changed = {**bound.arguments, **wanted}
        if not changed.get("num_workers"):  # torch refuses these without workers
            for key in ("prefetch_factor", "persistent_workers"):
                if not (key == "prefetch_factor" and changed.get(key) is None):
                    changed.pop(key, None)
        reason = _unloadable(changed)
        if reason:
            notes.refused(name, reason)
            own(self, *args, **kwargs)
            return
        changed.pop("self", None)
        own(self, **changed)
        before = [f"{key} was {bound.arguments.get(key, 'not given')}" for key in wanted]
        notes.applied(name, ", ".join(before))

    __init__.__doc__, __init__.__wrapped__ = own.__doc__, own  # type: ignore[attr-defined]
    kind.__init__ = __init__
    notes.expect(name, "the program made no DataLoader")


def _unloadable(changed: dict[str, Any]) -> str:
    """Why workers would not do here; empty if they would."""
    if not changed.get("num_workers"):
        return ""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.current_process().daemon:
        return "a process that is a worker itself may have none"
    return ""


SWITCHES: dict[str, tuple[str, Callable[[Any, Any, str, Notes], None]]] = {
    "threads": ("torch", _threads),
    "interop_threads": ("torch", _interop_threads),
    "cudnn_benchmark": ("torch", _cudnn_benchmark),
    "tf32": ("torch", _tf32),
    "loader": ("torch.utils.data.dataloader", _loader),
}
