"""Call a model many times: what `frugalwatch advise` replays for a file or a `workload.py`.

    python drive.py onnx model.onnx --inputs data.npz --calls 400
    python drive.py program model.pt2 --calls 400
    python drive.py torchscript model.pt --inputs data.npz --calls 400
    python drive.py capture /path/captures/C3 --calls 400
    python drive.py workload workload.py --calls 400
    python drive.py workload workload.py --train

It prints the number of calls, and what `evaluate` returned. With `--probe SECONDS` it calls for so
long and prints what it saw as one line of JSON instead. It ends with 3 and two lines on stderr
where it cannot: what is wrong, and a hint.

It runs as a file, in a process of its own, and imports nothing of ours but its own folder, under a
private name, so that no module of the user's is hidden.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # a module of this folder, loaded by its file

_PACKAGE = "_frugalwatch_drivers"
_SOURCES = {
    "onnx": "onnx_file",
    "program": "torch_file",
    "torchscript": "torch_file",
    "capture": "captured",
    "workload": "protocol",
}


def main(words: list[str]) -> int:
    """Load, call, print; the exit status."""
    order = _parser().parse_args(words)
    own = os.path.dirname(os.path.abspath(__file__))
    order.path = os.path.abspath(order.path)
    # As `python FILE` would have it; this folder's names are not the user's business.
    sys.path[0] = os.path.dirname(order.path) if order.kind == "workload" else os.getcwd()
    _load_package(own)
    loop = _part("loop")
    try:
        job = _part(_SOURCES[order.kind]).load(order)
        loop.run(job, order)
    except _part("job").UnusableError as problem:
        sys.stdout.flush()
        sys.stderr.write(
            f"error: {problem}\n" + (f"hint: {problem.hint}\n" if problem.hint else "")
        )
        return 3
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drive.py")
    parser.add_argument("kind", choices=sorted(_SOURCES))
    parser.add_argument("path")
    parser.add_argument("--inputs")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--dims", default="")
    parser.add_argument("--calls", type=int)
    parser.add_argument("--probe", type=float)
    parser.add_argument("--train", action="store_true")
    return parser


def _load_package(folder: str) -> None:
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = module
    spec.loader.exec_module(module)


def _part(name: str) -> Any:
    return importlib.import_module(f"{_PACKAGE}.{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
