"""Profiles written by hand, in the format of the job's side."""

from __future__ import annotations

import json
from pathlib import Path

OWN = "/home/me/job/train.py"
PANDAS = "/env/lib/python3.11/site-packages/pandas/core/frame.py"
NUMPY = "/env/lib/python3.11/site-packages/numpy/core/numeric.py"
TORCH = "/env/lib/python3.11/site-packages/torch"
STDLIB = "/usr/lib/python3.11"
SECOND = 10**9

Stack = tuple[tuple[str, str, int], ...]  # file, function, line


class Recording:
    """The file of one process: stacks with their CPU and wall seconds in slices of time."""

    def __init__(self, began_s: float = 100.0, pid: int = 7) -> None:
        facts = {"python": "3.11.7", "hz": 100, "stdlib": STDLIB, "prefixes": ["/usr"]}
        self.pid = pid
        self.began_ns = round(began_s * SECOND)
        self.lines: list[object] = [["start", 1, pid, self.began_ns, facts]]
        self._codes: dict[tuple[str, str], int] = {}
        self._nodes: dict[tuple[int, int, int], int] = {}

    def slice(self, begin_s: float, end_s: float, *stacks: tuple[Stack, float, float]) -> Recording:
        """Stacks outermost first, with CPU and wall seconds; 100 samples a second."""
        cells = [
            [self._node(stack), round(wall * SECOND), round(cpu * SECOND), 0, round(wall * 100)]
            for stack, cpu, wall in stacks
        ]
        length = end_s - begin_s
        facts = {
            "samples": round(length * 100),
            "working_ns": round(length * SECOND),
            "squares": round(length * 100 * (0.01 * SECOND) ** 2 / 1e6),
        }
        self.lines.append(["s", round(begin_s * SECOND), round(end_s * SECOND), cells, facts])
        return self

    def say(self, *line: object) -> Recording:
        self.lines.append(list(line))
        return self

    def text(self) -> str:
        return "".join(json.dumps(line) + "\n" for line in self.lines)

    def write(self, folder: Path) -> str:
        path = folder / f"{self.pid}-{self.began_ns}.jsonl"
        path.write_text(self.text())
        return str(path)

    def _node(self, stack: Stack) -> int:
        node = 0
        for filename, function, line in stack:
            code = self._codes.get((filename, function))
            if code is None:
                code = self._codes[filename, function] = len(self._codes)
                self.lines.append(["c", code, filename, function, 1])
            key = (node, code, line)
            if key not in self._nodes:
                self._nodes[key] = len(self._nodes) + 1
                self.lines.append(["n", self._nodes[key], node, code, line])
            node = self._nodes[key]
        return node
