"""What the copy of a process stores of a module: weights, a pickle, an exported program, settings.

Each part is tried by itself, and `about.json` is written anew after each: what could not be stored
says why.
"""

from __future__ import annotations

import os
import sys
import time

from .calls import own_module
from .capture_files import BudgetSpentError
from .capture_fork import LIMIT_S
from .capture_values import byte_count, class_name
from .capture_weights import named_tensors, write_weights

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .capture_files import Files
    from .root_calls import RootCall

_LONGEST_REASON = 1000
_ENDED = f"ended before it was done, or longer than {LIMIT_S} s"


def store_in_place(
    files: Files, number: int, call: RootCall, key: str | None, why_no_copy: str
) -> None:
    """Store what the job's own process can without a trace: weights and a pickle."""
    torch = sys.modules["torch"]
    module, name = own_module(call.module), f"module-{number}/"
    about: dict[str, Any] = {**describe(torch, module, call, ask_settings=False)}
    about["program"] = {"why_not": why_no_copy, "later": True, "call": call.number}
    attempt(files, name, about, "weights", lambda: _weights(torch, files, name, module))
    pickled = lambda: _pickle(torch, files, name, module, key, load=False)  # noqa: E731
    attempt(files, name, about, "pickle", pickled)


def store(files: Files, number: int, call: RootCall, key: str | None) -> None:
    """Store everything of the call's module. To be called in a copy of the process only."""
    torch = sys.modules["torch"]
    torch.set_num_threads(1)  # the threads of the job did not survive the fork
    module = own_module(call.module)
    name = f"module-{number}/"
    earlier = _read(files.path(name + "about.json"))
    about = describe(torch, module, call)
    about.update({key: part for key, part in earlier.items() if key in ("weights", "pickle")})
    files.write_json(name + "about.json", {**earlier, **about})

    def part(what: str, function: Callable[[], dict[str, Any]]) -> None:
        attempt(files, name, about, what, function)

    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        if not earlier:
            part("weights", lambda: _weights(torch, files, name, module))
            part("pickle", lambda: _pickle(torch, files, name, module, key))
        part("program", lambda: store_program(torch, files, name, module, call, key))
    before = earlier.get("program", {})
    if "file" in before and "file" not in about["program"]:  # the one of the first use stays
        about["program"] = {**before, "not_for_later_use": about["program"]["why_not"]}
        files.write_json(name + "about.json", about)


def _read(path: str) -> dict[str, Any]:
    """What was written at an earlier call; empty at the first."""
    import json

    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def attempt(
    files: Files,
    name: str,
    about: dict[str, Any],
    what: str,
    function: Callable[[], dict[str, Any]],
) -> None:
    """Store one part, and write what became of it."""
    began = time.monotonic()
    about[what] = {"why_not": _ENDED, "pending": True}
    files.write_json(name + "about.json", about)
    try:
        about[what] = function()
    except BudgetSpentError:
        about[what] = {"why_not": "larger than what is left of the bytes allowed"}
    except Exception as error:  # noqa: BLE001 - whatever the module does when it is looked at
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        about[what] = {"why_not": reason}
    about[what]["took_s"] = round(time.monotonic() - began, 3)
    files.write_json(name + "about.json", about)


def describe(
    torch: Any, module: Any, call: RootCall, *, ask_settings: bool = True
) -> dict[str, Any]:
    """What the module is, and what it ran with."""
    tensors = {id(value): value for _, value in named_tensors(module)}.values()
    parameters = {id(value): value for value in module.parameters()}.values()
    return {
        "class": class_name(module),
        "called_as": class_name(call.module),
        "training": call.training,
        "parameters": sum([int(value.numel()) for value in parameters]),
        "weights_bytes": sum([byte_count(value) for value in tensors]),
        "dtypes": sorted({str(value.dtype) for value in tensors}),
        "devices": sorted({str(value.device) for value in tensors}),
        "layers": _layers(module),
        "settings": settings(torch) if ask_settings else {},
        "t_utc_ns": time.time_ns(),
    }


def _layers(module: Any) -> dict[str, int]:
    """How many modules of each class without modules of their own."""
    found: dict[str, int] = {}
    for each in module.modules():
        if not any(True for _ in each.children()):
            name = type(each).__name__
            found[name] = found.get(name, 0) + 1
    return found


def settings(torch: Any) -> dict[str, Any]:
    """Threads and precision, as the job has set them. Read in the copy: some of these warn."""
    backends = torch.backends
    looks: dict[str, Callable[[], Any]] = {
        "interop_threads": torch.get_num_interop_threads,
        "default_dtype": lambda: str(torch.get_default_dtype()),
        "float32_matmul_precision": torch.get_float32_matmul_precision,
        "allow_tf32_matmul": lambda: backends.cuda.matmul.allow_tf32,
        "allow_tf32_cudnn": lambda: backends.cudnn.allow_tf32,
        "cudnn_benchmark": lambda: backends.cudnn.benchmark,
        "cudnn_deterministic": lambda: backends.cudnn.deterministic,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled,
        "mkldnn": lambda: backends.mkldnn.enabled,
    }
    found: dict[str, Any] = {}
    for name, look in looks.items():
        try:
            found[name] = look()
        except Exception as error:  # noqa: BLE001 - another version has it elsewhere
            found[name] = f"unknown: {error!r}"[:200]
    return found


def _weights(torch: Any, files: Files, name: str, module: Any) -> dict[str, Any]:
    file = name + "weights.safetensors"
    try:
        size = write_weights(torch, files, file, module, 0, replace=False)
    except FileExistsError:  # newer ones, by the job itself
        size = os.stat(files.path(file)).st_size
    return {"file": file, "bytes": size}


def _pickle(
    torch: Any, files: Files, name: str, module: Any, key: str | None, *, load: bool = True
) -> dict[str, Any]:
    from .capture_pickle import dumps

    data, how = dumps(torch, module, load=load)
    file = name + "module.pickle"
    size = files.write(file, lambda out: out.write(data), len(data))
    return {"file": file, "bytes": size, "by": how, "seal": _sealed(key, "module.pickle", data)}


def store_program(
    torch: Any, files: Files, name: str, module: Any, call: RootCall, key: str | None
) -> dict[str, Any]:
    from .capture_export import export

    """Export the module with the inputs of this call. Raises what exporting raises."""
    if sum([byte_count(value) for _, value in named_tensors(module)]) > files.left_bytes():
        raise BudgetSpentError
    temporary = files.path(name + f"program.{os.getpid()}.pt2")
    found = export(torch, module, call, temporary)
    with open(temporary, "rb") as file:
        data = file.read()
    size = files.adopt(temporary, name + "program.pt2")
    seal = _sealed(key, "program.pt2", data)
    about = {"file": name + "program.pt2", "bytes": size, "seal": seal, "call": call.number}
    return {**about, **found}


def _sealed(key: str | None, name: str, data: bytes) -> str:
    if key is None:
        return ""
    from .seal import seal

    return seal(key, name, data)
