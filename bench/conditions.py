"""Under what conditions a bench of advices runs, and where it leaves what it found."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from machine import Machine, describe

# What decides how fast the programs are, as they were and after a change.
_PACKAGES = ("torch", "transformers", "onnxruntime", "openvino")
_ASK = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": ".".join(map(str, sys.version_info[:3]))}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The machine, what an advice may take, and what the programs' environment has."""

    machine: Machine
    budget: str
    programs: Mapping[str, str]

    def __str__(self) -> str:
        words = ", ".join(f"{name} {version}" for name, version in self.programs.items())
        return f"On {self.machine}. The programs: {words}. Budget of each advice: {self.budget}."

    def as_json(self) -> dict[str, object]:
        """What `results.json` says of them."""
        return {
            "machine": asdict(self.machine),
            "programs": dict(self.programs),
            "budget": self.budget,
        }


def conditions(python: str, budget: str) -> Conditions:
    """Those of now, where `python` runs the programs."""
    command = [python, "-c", _ASK, *_PACKAGES]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return Conditions(describe(simulated_rapl=False), budget, json.loads(found.stdout))


def write(folder: str, document: Mapping[str, object], text: str) -> str:
    """Write results.json and results.md; returns the text."""
    contents = {"results.json": json.dumps(document, indent=2), "results.md": text}
    for name, content in contents.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(content)
    return text
