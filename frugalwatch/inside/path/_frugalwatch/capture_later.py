"""Exports programs when the job is over, from what it could store itself.

    python -I -c '...import capture_later; capture_later.main(FOLDER, KEY)'

In the job's own interpreter, started by `frugalwatch run`, for modules whose process could not be
copied: `about.json` says `later` of them.
"""

from __future__ import annotations

import json
import os

from .capture_files import Files
from .capture_load import load_call, load_module
from .capture_snapshot import attempt, store_program
from .root_calls import RootCall


def main(process: str, key: str, limit_bytes: int) -> None:
    """Export every module of this process's folder that waits for it."""
    import torch

    torch.set_num_threads(1)
    capture, name = os.path.split(process)
    files = Files(capture, name, limit_bytes)
    for folder in sorted(os.listdir(process)):
        path = os.path.join(process, folder, "about.json")
        if not folder.startswith("module-") or not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        waiting = about.get("program", {})
        if not waiting.get("later") or "file" not in about.get("pickle", {}):
            continue

        def export(folder: str = folder, number: int = waiting["call"]) -> dict[str, object]:
            module = load_module(os.path.join(process, folder), key)
            args, kwargs = load_call(process, number)
            call = RootCall(module, args, kwargs, number, torch)
            return store_program(torch, files, folder + "/", module, call, key)

        with torch.no_grad():
            attempt(files, folder + "/", about, "program", export)
