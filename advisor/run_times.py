"""Run times that the program's environment lacks, in a throw-away layer (`--install-runtime`).

The option is the user's consent. What is installed lies in the advice's own folder, for the
program's interpreter, and holds only what its environment has not: anything that would need another
version of something that is there is refused. Replays find it at the end of their path, and only
where a replacement asks for it; the environment itself is never written to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any  # what JSON gives back

from frugalwatch.json_files import read_json

if TYPE_CHECKING:
    from advisor.techniques.base import Facts

RUN_TIMES = ("onnxruntime", "openvino", "torchao")
FOLDER = "runtime"  # of an advice's folder
_INSTALLED = "installed.json"
_LIMIT_S = 900.0
_LONGEST_REASON = 300
_HINT = (
    f"{RUN_TIMES[0]} can be tried without a change of the program's environment:"
    f" --install-runtime {RUN_TIMES[0]}"
)


class CannotInstallError(Exception):
    """The text says why, in words for a person."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A folder with what was added, and its versions by name."""

    folder: str
    versions: Mapping[str, str]


def with_run_times(
    facts: Facts, wanted: Sequence[str], advice_folder: str, tell: Callable[[str], None]
) -> tuple[Facts, list[str]]:
    """The facts with a layer of what is wanted and lacks, and notes on what came of it."""
    sample = facts.sample
    if sample is None:
        return facts, []
    if not wanted:
        return facts, [] if _first(facts) else [_HINT]
    lacks = [name for name in wanted if name not in sample.packages]
    if not lacks:
        return facts, [f"{', '.join(wanted)}: in the program's environment already"]
    tell(f"installing {', '.join(lacks)} in a throw-away layer")
    try:
        layer = install(
            lacks, sample.interpreter, os.path.join(advice_folder, FOLDER), facts.environment
        )
    except CannotInstallError as reason:
        return facts, [f"{', '.join(lacks)} cannot be added: {reason}"]
    added = ", ".join(f"{name} {version}" for name, version in layer.versions.items())
    packages = {**sample.packages, **{name: layer.versions.get(name, "?") for name in lacks}}
    found = replace(facts, sample=replace(sample, packages=packages), layer=layer.folder)
    return found, [f"added for the replays, beside the program's environment: {added}"]


def _first(facts: Facts) -> bool:
    """Whether the run time that most swaps need is there, or would be of no use."""
    assert facts.sample is not None
    on_gpu = facts.inside is not None and facts.inside.on_gpu
    return on_gpu or RUN_TIMES[0] in facts.sample.packages


def install(
    packages: Sequence[str], interpreter: str, folder: str, environment: Mapping[str, str]
) -> Layer:
    """Put the packages, and what they need and lack, into `folder`. Raises CannotInstallError.

    What an advise that was cut short has installed there is taken as it is.
    """
    known = read_json(os.path.join(folder, _INSTALLED))
    if set(packages) <= set(known.get("asked", ())):
        return Layer(folder, dict(known["versions"]))
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    try:
        pip = _Pip(interpreter, folder, environment)
        versions = pip.lacking(packages)
        pip.install([f"{name}=={version}" for name, version in versions.items()])
    except CannotInstallError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    with open(os.path.join(folder, _INSTALLED), "w", encoding="utf-8") as file:
        json.dump({"asked": list(packages), "versions": versions}, file)
    return Layer(folder, versions)


class _Pip:
    """The pip of the program's environment, or else ours, told to work for it."""

    def __init__(self, interpreter: str, folder: str, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        for words in (
            [interpreter, "-m", "pip"],
            [sys.executable, "-P", "-m", "pip", "--python", interpreter],
        ):
            self._words = words
            try:
                self._run("--version")
            except CannotInstallError:
                continue
            return
        raise CannotInstallError(
            f"neither its environment nor ours has pip: {interpreter} -m ensurepip"
        )

    def lacking(self, packages: Sequence[str]) -> dict[str, str]:
        """Versions of all that would have to be added, by name."""
        report = os.path.join(self._folder, "report.json")
        self._run(*("install", "--dry-run", "--quiet", "--only-binary", ":all:"),
                  *("--report", report, *packages))  # fmt: skip
        entries: list[Any] = read_json(report).get("install", [])
        os.remove(report)
        wanted = {_plain(e["metadata"]["name"]): str(e["metadata"]["version"]) for e in entries}
        listed = json.loads(self._run("list", "--format", "json"))
        for each in listed:
            name = _plain(each["name"])
            if name in wanted:
                other = f"{name} {wanted[name]}, and the environment has {each['version']}"
                raise CannotInstallError(f"it would need {other}")
        return dict(sorted(wanted.items()))

    def install(self, exact: Sequence[str]) -> None:
        """Put these very versions, and nothing else, into the folder."""
        self._run(*("install", "--quiet", "--no-deps", "--only-binary", ":all:"),
                  *("--target", self._folder, *exact))  # fmt: skip

    def _run(self, *words: str) -> str:
        try:
            done = subprocess.run(
                [*self._words, *words],
                cwd=self._folder,  # an empty one: nothing of the user's is imported from it
                env={**self._environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=_LIMIT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotInstallError(f"pip: {error}") from error
        if done.returncode != 0:
            raise CannotInstallError(_reason(done.stderr))
        return done.stdout


def _reason(text: str) -> str:
    """What pip said last that is an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    said = (errors or lines or ["pip failed without a word"])[-1]
    return said.removeprefix("ERROR:").strip()[:_LONGEST_REASON]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
