"""Starts what the hook does in this process; whatever fails is told and left out."""

import os
import sys

from . import imports
from .line import Line, process_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

HOOK_VARIABLE = "FRUGALWATCH_HOOK"

# Always on, since none can change what the job computes: by the module whose import starts it.
DEFAULT_FEATURES = (
    ("torch", "torch_steps"),
    ("torch", "torch_backward"),
    ("torch.utils.data.dataloader", "torch_data"),
    ("sklearn.base", "sklearn"),
    ("transformers.generation.utils", "transformers"),
    ("onnxruntime.capi.onnxruntime_inference_collection", "onnxruntime"),
)
# Asked for by name in FRUGALWATCH_HOOK. Each has `start(options, line)`.
OPTIONAL_FEATURES = {
    "metric": ("printed",),
    "profile": ("stacks", "modules"),
    "capture": ("capture",),
    "count": ("calls",),
    "switches": ("switches",),
    "marks": ("marks",),
    "stop": ("stop",),
    "look": ("look", "look_sessions"),
}
_RANKS = (
    ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    ("PMI_RANK", "MPI_LOCALRANKID", "PMI_SIZE"),
)
_NAME_LENGTH = 200

_started: "list[bool]" = []


def start() -> None:
    """Say hello and start the features; called once in each process, by `sitecustomize`."""
    line = process_line()
    if line is None or _started:
        return
    _started.append(True)
    imports.begin(line.problem)
    options = _options(line)
    say_hello(line, options)
    os.register_at_fork(after_in_child=lambda: say_hello(line, options))
    for name, feature in DEFAULT_FEATURES:
        imports.when_imported(name, _starter(feature, line))
    for key in options:
        modules = OPTIONAL_FEATURES.get(key)
        if modules is None:
            line.problem("start", "unknown feature " + key)
        for feature in modules or ():
            _start_optional(feature, options[key], line)


def _start_optional(feature: str, options: object, line: Line) -> None:
    try:
        _module(feature).start(options, line)
    except Exception as error:  # noqa: BLE001 - the job goes on without it
        line.problem(feature, error)


def say_hello(line: Line, options: "dict[str, object]") -> None:
    """Tell which process this is: interpreter, rank, program."""
    try:
        version = ".".join([str(part) for part in sys.version_info[:3]])
        line.tell("hello", version, *ranks(os.environ), _program_name(), sorted(options))
    except Exception as error:  # noqa: BLE001
        line.problem("hello", error)


def ranks(environment: "os._Environ[str]") -> "tuple[int | None, int | None, int | None]":
    """Rank, rank on this machine and number of ranks, as the launcher has set them."""
    for names in _RANKS:
        rank, local, size = [_number(environment.get(name)) for name in names]
        if rank is not None:
            return rank, local, size
    return None, None, None


def _number(text: "str | None") -> "int | None":
    return int(text) if text is not None and text.isdigit() else None


def _program_name() -> str:
    """What the process runs. `-m` and `-c` have not been replaced yet when `site` runs."""
    given = getattr(sys, "orig_argv", None) or getattr(sys, "argv", None) or [""]
    name = (getattr(sys, "argv", None) or [""])[0]
    if name == "-m" and "-m" in given:
        following = given[given.index("-m") + 1 :]
        name = "-m " + following[0] if following else "-m"
    return str(os.path.basename(name))[:_NAME_LENGTH]


def _options(line: Line) -> "dict[str, object]":
    text = os.environ.get(HOOK_VARIABLE)
    if not text:
        return {}
    try:
        import json  # only where something was asked for: it takes 5 ms

        found = json.loads(text)
        if isinstance(found, dict):
            return found
        raise ValueError("not an object")
    except ValueError as error:
        line.problem("options", error)
        return {}


def _starter(feature: str, line: Line) -> "Callable[[ModuleType], None]":
    return lambda module: _module(feature).start(module, line)


def _module(feature: str) -> "ModuleType":
    package = __name__.rpartition(".")[0]
    __import__(package + "." + feature)
    return sys.modules[package + "." + feature]
