"""Where what a change needs is built: a kept folder of each advice, and who builds in it.

What needs the program's classes is done by a replay of the program, in its own interpreter and
environment; the rest by processes in ours. Only ONNX, safetensors and JSON cross. What building
used is measured: it is the one-off cost of the change.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any  # what JSON gives back

from advisor.artefacts.manifest import MANIFEST, read_manifest, write_manifest
from advisor.gates.options import GateOptions
from advisor.left_behind import number
from frugalwatch.json_files import read_json

if TYPE_CHECKING:
    from advisor.replay import Replayer
    from advisor.sampling import Sample, SampledModule

_ADVISOR = os.path.dirname(os.path.abspath(__file__))
SWAP = os.path.join(_ADVISOR, "replacements", "onnx_swap.py")
_EXPORTER = os.path.join(_ADVISOR, "in_job", "export_onnx.py")
_EXPORT_LIMIT_S = 600.0
_BUILD_LIMIT_S = 1800.0
# What a recipe of compressing may take where nothing else was said.
COMPRESS_S = 600.0
STEPS = "steps.json"  # in a folder whose accepted steps are all kept
# Captured calls of as many shapes are enough to see that an export copes with them.
_CHECKED_CALLS = 8
_LONGEST_REASON = 400


class CannotBuildError(Exception):
    """The text says why something could not be built, in words for a person."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was used once; joules where the machine has a counter."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    energy_j: float | None = None

    def plus(self, other: Cost) -> Cost:
        """Both; joules only where both know them."""
        joules = None
        if self.energy_j is not None and other.energy_j is not None:
            joules = self.energy_j + other.energy_j
        return Cost(self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, joules)

    def in_words(self, what: str) -> str:
        """For a report: what adopting costs once."""
        return f"{what}: {self.cpu_s:.2g} CPU-seconds, done already"


@dataclass(frozen=True, slots=True)
class Artefact:
    """A folder with what was built, what it cost, and what the builder found out of it."""

    folder: str
    cost: Cost
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InJob:
    """A file whose `make` builds something of a module inside the program, and ends it.

    `swap` is the file of the replacement that it is checked with; `files` go into the artefact, by
    the names that they have there. `verb` and `how` are for a person.
    """

    file: str
    swap: str
    files: Mapping[str, str]
    verb: str
    how: str


_EXPORT = InJob(
    _EXPORTER, SWAP, {"load.py": SWAP}, "exported", "torch.onnx.export in a replay of the program"
)


class Workshop:
    """Builds artefacts of one advice in `folder`, each once; `tell` gets progress in words."""

    def __init__(
        self,
        folder: str,
        sample: Sample | None,
        replayer: Replayer,
        tell: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.sample = sample
        self.replayer = replayer
        self.tell = tell
        self.spent = Cost(energy_j=0.0)
        self.compress_s = COMPRESS_S
        self.student = ""  # FILE.py:function of the user's that makes a smaller model
        self.interrupted = False  # by Ctrl-C, while something was built whose steps are kept
        self.gate = GateOptions()
        self.seed = 0
        self.search_s = COMPRESS_S / 4
        self.storage: str | None = None  # database URL of the search; None: a file in `folder`
        self.curve: dict[str, object] | None = None  # what that search found, for the report
        self._made: dict[str, Artefact | str] = {}

    def once(
        self, name: str, make: Callable[[str], Artefact], *, goes_on: bool = False
    ) -> Artefact:
        """The artefact of this name; made in an empty folder of that name if it is not there yet.

        With `goes_on` what an advise that was cut short left in the folder is there still. Raises
        CannotBuildError with the same reason each time.
        """
        found = self._made.get(name)
        if found is None:
            found = self._found_or_made(name, make, goes_on)
            self._made[name] = found
        if isinstance(found, str):
            raise CannotBuildError(found)
        return found

    def export(self, module: SampledModule, *, training: bool = False, layer: str = "") -> Artefact:
        """The module as an ONNX model of 32-bit floats. Raises CannotBuildError.

        `training`: the program calls it in training mode, without an effect. `layer` is where run
        times lie that its environment lacks.
        """
        told = {"path": layer} if layer else {}
        return self.in_job(f"onnx-{module.number}", module, _EXPORT, told, training=training)

    def build(
        self, name: str, builder: str, order: Mapping[str, object], *, goes_on: bool = False
    ) -> Artefact:
        """What `advisor.artefacts.BUILDER.build` makes of an order, in a process of its own.

        `goes_on` as in `once`. Raises CannotBuildError.
        """
        make = functools.partial(self._build, builder, order)
        return self.once(name, make, goes_on=goes_on)

    def _found_or_made(
        self, name: str, make: Callable[[str], Artefact], goes_on: bool
    ) -> Artefact | str:
        folder = os.path.join(self.folder, name)
        kept = read_manifest(folder)
        if kept is not None:  # by an advise that was cut short
            cost = kept["cost"]
            used = Cost(cost.get("cpu_s", 0.0), cost.get("wall_s", 0.0), cost.get("energy_j"))
            self.spent = self.spent.plus(used)
            return Artefact(folder, used, kept["about"])
        if not goes_on:
            shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.tell(f"building {name}")
        try:
            made = make(folder)
        except CannotBuildError as reason:
            shutil.rmtree(folder, ignore_errors=True)
            return str(reason)
        return made

    def in_job(
        self,
        name: str,
        module: SampledModule,
        maker: InJob,
        options: Mapping[str, object] = MappingProxyType({}),
        *,
        training: bool = False,
    ) -> Artefact:
        """What a file of `advisor/in_job` makes of the module in a replay of the program.

        `options` are told to it beside where to write and what to check on. Raises
        CannotBuildError.
        """
        return self.once(name, lambda to: self._in_job(module, maker, options, training, to))

    def _in_job(
        self,
        module: SampledModule,
        maker: InJob,
        options: Mapping[str, object],
        training: bool,
        folder: str,
    ) -> Artefact:
        place = self.replayer.new_folder("export")
        told = {**options, "folder": place, "swap": maker.swap, "samples": _samples(module)}
        switch = {"factory": f"{maker.file}:make", "class": module.kind, "options": told}
        ask = {"switches": {"replace": {**switch, "training": training}}}
        replay = self.replayer.replay(ask=ask, limit_s=_EXPORT_LIMIT_S)
        found = read_json(os.path.join(place, "result.json"))
        cost = Cost(replay.cpu_s or 0.0, replay.wall_s or 0.0, replay.energy_j)
        self.spent = self.spent.plus(cost)
        cannot = f"{module.kind} cannot be {maker.verb}"
        if not found:
            why = "took too long" if replay.state == "timeout" else "ended before it was done"
            raise CannotBuildError(f"{cannot}: it {why}")
        if "why_not" in found:
            raise CannotBuildError(f"{cannot}: {found['why_not']}")
        for name in os.listdir(place):
            if name != "result.json":
                shutil.move(os.path.join(place, name), os.path.join(folder, name))
        for name, source in maker.files.items():
            shutil.copyfile(source, os.path.join(folder, name))
        self._write_manifest(folder, maker.how, cost, found, {"torch": self._of_job("torch")})
        return Artefact(folder, cost, found)

    def _build(self, builder: str, order: Mapping[str, object], folder: str) -> Artefact:
        base = os.path.join(self.replayer.new_folder("build"), "build")
        with open(f"{base}.order", "w", encoding="utf-8") as file:
            json.dump({**order, "folder": folder, "ends_with": os.getpid()}, file)
        command = [
            *(sys.executable, "-P", "-m", "frugalwatch", "run", "--no-hook", "--quiet"),
            *("--summary", "none", "--budget", "none", "--alert", "none"),
            *("--json", f"{base}.run", "--ledger", f"{base}.db", "--"),
            *(sys.executable, "-P", "-m", "advisor.artefacts.run"),
            *(builder, f"{base}.order", f"{base}.result"),
        ]
        log = f"{base}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=os.path.dirname(base),  # quantizers leave files where they are
                env={**os.environ, "OMP_NUM_THREADS": "1", "FRUGALWATCH_LIVE_GRID": "off"},
                start_new_session=True,
            )
        try:
            process.wait(_BUILD_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise CannotBuildError(f"{builder} took longer than {error.timeout:g} s") from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        run, found = read_json(f"{base}.run"), read_json(f"{base}.result")
        cost = Cost(
            number(run.get("cpu_s")) or 0.0,
            number(run.get("wall_s")) or 0.0,
            number(run.get("energy_j")),
        )
        self.spent = self.spent.plus(cost)
        if not found or "why_not" in found:
            raise CannotBuildError(str(found.get("why_not") or _last_line(log)))
        if not os.path.exists(os.path.join(folder, "load.py")):
            shutil.copyfile(SWAP, os.path.join(folder, "load.py"))
        how = str(found.pop("how", builder))
        versions: Any = found.pop("versions", {})
        inputs: Any = found.pop("calibration", None)
        self._write_manifest(folder, how, cost, found, versions, inputs)
        return Artefact(folder, cost, found)

    def _write_manifest(  # noqa: PLR0917 - one call, all of it needed
        self,
        folder: str,
        how: str,
        cost: Cost,
        about: Mapping[str, object],
        versions: Mapping[str, str],
        calibration: Mapping[str, object] | None = None,
    ) -> None:
        write_manifest(
            folder,
            how=how,
            cost={"cpu_s": cost.cpu_s, "wall_s": cost.wall_s, "energy_j": cost.energy_j},
            about=about,
            versions={**versions, "job_python": self._of_job("python")},
            calibration=calibration,
        )

    def _of_job(self, name: str) -> str:
        return str(getattr(self.sample, name, "")) if self.sample else ""


def advice_folder(conn: sqlite3.Connection, advice: int) -> str:
    """The kept folder of an advice, beside the ledger that holds it; made if it is not there.

    One of the same number that belongs to another ledger is left alone.
    """
    ledger = next(str(row[2]) for row in conn.execute("PRAGMA database_list") if row[1] == "main")
    row = conn.execute("SELECT advice_key FROM advice WHERE id = ?", (advice,)).fetchone()
    key = str(row[0])
    parent = os.path.join(os.path.dirname(os.path.realpath(ledger)), "advice")
    os.makedirs(parent, mode=0o700, exist_ok=True)
    attempt = 1
    while True:
        name = f"A{advice}" if attempt == 1 else f"A{advice}-{attempt}"
        path = os.path.join(parent, name)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if read_json(os.path.join(path, "advice.json")).get("key") == key:
                return path
            attempt += 1
            continue
        with open(os.path.join(path, "advice.json"), "w", encoding="utf-8") as file:
            json.dump({"schema": "frugalwatch.advice-folder/1", "key": key}, file)
        return path


def keep_only(folder: str, kept: Collection[str]) -> None:
    """Delete the artefacts in an advice's folder that are not among `kept`; the folder if none is.

    `kept` are folders in it.
    """
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        # Steps of compressing are kept all, so that the user may pick.
        if path not in kept and os.path.isdir(path) and not _has_steps(path):
            shutil.rmtree(path, ignore_errors=True)
    remove_if_empty(folder)


def remove_if_empty(folder: str) -> None:
    """Take an advice's folder away if nothing was built in it."""
    built = [os.path.join(folder, each) for each in os.listdir(folder) if each != "advice.json"]
    if not any(os.path.exists(os.path.join(e, MANIFEST)) or _has_steps(e) for e in built):
        shutil.rmtree(folder, ignore_errors=True)


def _has_steps(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, STEPS))


def _samples(module: SampledModule) -> list[list[str]]:
    """Files of captured calls, [inputs, outputs], of as many shapes as there are."""
    by_shape: dict[str, list[str]] = {}
    for call in module.kept:
        key = json.dumps(dict(call.shapes), sort_keys=True)
        by_shape.setdefault(key, [str(call.inputs_path), str(call.outputs_path)])
    found = sorted(by_shape.items(), key=lambda each: (len(each[0]), each[0]))
    step = max(1, len(found) // _CHECKED_CALLS)
    return [paths for _, paths in found[::step]][: _CHECKED_CALLS + 1]


def _last_line(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return (lines[-1] if lines else "it ended without a word")[:_LONGEST_REASON]
