"""Compresses the module that the program calls, in a replay of the program itself.

The hook calls `make` in place of a replacement's factory, at the module's first call: its classes
and weights are there, and nothing has to be pickled. The replay ends when that is done. What was
accepted lies in the folder that was named, step by step, so that a replay that is killed loses the
step that it was at and no other. Standard library and torch only; torch-pruning may be lent.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
import traceback
from typing import Any  # torch, modules and tensors are of the job's own version

_PACKAGE = "_frugalwatch_in_job"  # this folder's name inside a job, where ours mean nothing
_LONGEST_REASON = 600


def make(module: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Run `options["recipe"]` on the module, say in result.json what came of it, and end.

    The recipe is a module of `compressing`, or of the `package`, with `build(job) -> dict`;
    `options`, or the JSON file that they name as `order`, are described at `compressing.job.Job`.
    """
    began_s, cpu_s = time.monotonic(), time.process_time()
    if "order" in options:
        with open(str(options["order"]), encoding="utf-8") as file:
            options = json.load(file)
    try:
        _name_package()
        job = importlib.import_module(f"{_PACKAGE}.compressing.job")
        package = str(options.get("package") or "compressing")
        recipe = importlib.import_module(f"{_PACKAGE}.{package}.{options['recipe']}")
        with job.opened(module, args, kwargs, options) as opened:
            found = dict(recipe.build(opened))
    except Exception as error:  # noqa: BLE001 - whatever the module or torch raises
        traceback.print_exc()
        plain = ("CannotCompressError", "CannotExportError", "RefusedError")
        known = type(error).__name__ in plain
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        found = {"why_not": " ".join(reason.split())[:_LONGEST_REASON]}
    found.update(took_s=time.monotonic() - began_s, took_cpu_s=time.process_time() - cpu_s)
    path = os.path.join(str(options["folder"]), "result.json")
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(found, file)
    os.replace(f"{path}.new", path)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the rest of the program would be measured by nobody


def _name_package() -> None:
    """Make this folder importable under a name of ours, in nobody's way."""
    if _PACKAGE in sys.modules:
        return
    folder = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)
