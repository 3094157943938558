"""What an artefact is made of: schema `frugalwatch.artefact/1`, beside the files it speaks of.

Like a bill of materials: versions, the SHA-256 of every file, how it was made, from which
calibration inputs (by their digest, never their content), and for which CPU.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from typing import Any  # what JSON gives back

from advisor.left_behind import digest
from frugalwatch.json_files import read_json

SCHEMA = "frugalwatch.artefact/1"
MANIFEST = "manifest.json"
_LOAD = """from load import load  # this folder's load.py; needs torch, numpy and onnxruntime

model = load()
output = model(...)  # as the torch module is called
"""


def write_manifest(
    folder: str,
    *,
    how: str,
    cost: Mapping[str, object],
    about: Mapping[str, object],
    versions: Mapping[str, str],
    calibration: Mapping[str, object] | None = None,
) -> None:
    """Write the manifest of what lies in `folder`, last of all: with it the artefact is whole."""
    from advisor.setting import cpu_flags

    files = {
        name: {
            "sha256": digest(os.path.join(folder, name)),
            "bytes": os.stat(os.path.join(folder, name)).st_size,
        }
        for name in sorted(os.listdir(folder))
        if name != MANIFEST and os.path.isfile(os.path.join(folder, name))
    }
    manifest = {
        "schema": SCHEMA,
        "made_utc_ns": time.time_ns(),
        "how": how,
        "versions": dict(versions),
        "machine": platform.machine(),
        "cpu_flags": sorted(cpu_flags()),
        "calibration": None if calibration is None else dict(calibration),
        "cost": dict(cost),
        "files": files,
        "load": _LOAD,
        "about": dict(about),
    }
    path = os.path.join(folder, MANIFEST)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=2)
    os.rename(f"{path}.new", path)


def read_manifest(folder: str) -> dict[str, Any] | None:
    """The manifest, if it is there and every file is the one that it speaks of."""
    found = read_json(os.path.join(folder, MANIFEST))
    files = found.get("files")
    if found.get("schema") != SCHEMA or not isinstance(files, dict):
        return None
    for name, entry in files.items():
        try:
            if digest(os.path.join(folder, str(name))) != entry["sha256"]:
                return None
        except OSError:
            return None
    return found


def inputs_digest(digests: list[str]) -> str:
    """One digest of many inputs, whatever their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
