"""Which Python runs a driver: the one that the user names, or the first that has what it takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frugalwatch.errors import FrugalWatchError, UsageError

_LEAST = (3, 9)
_PATIENCE_S = 60
_ASK = """
import importlib.util, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        found[name] = False
print(json.dumps({"version": list(sys.version_info[:3]), "has": found}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that answers. `missing` are the packages of those asked for that it lacks."""

    path: str
    version: tuple[int, ...]
    missing: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        """3.12.1"""
        return ".".join(map(str, self.version))


class MissingPackageError(FrugalWatchError):
    """No interpreter at hand can load the model."""

    exit_code = 1


def choose(
    needs: Sequence[str], named: str | None, environment: Mapping[str, str], what: str
) -> Interpreter:
    """The interpreter that has what `what` takes.

    `named` alone if there is one; else `python` as a shell here would find it, then our own.
    Raises UsageError for one that does not answer, MissingPackageError if none has it.
    """
    paths = [named] if named is not None else _usual(environment)
    asked = []
    for path in paths:
        found = ask(path, needs, environment)
        if found is None:
            if named is not None:
                raise UsageError(
                    f"--python {named} is no Python that works here",
                    hint="the path of an interpreter: --python .venv/bin/python",
                )
            continue
        if not found.missing and found.version >= _LEAST:
            return found
        asked.append(found)
    raise MissingPackageError(
        f"no Python here can load {what}",
        why="\n".join(f"{each.path} (Python {each.python}) {_lacks(each)}" for each in asked),
        hint=f"{_remedy(asked, needs)}, or name another Python: --python PATH",
    )


def ask(path: str, needs: Sequence[str], environment: Mapping[str, str]) -> Interpreter | None:
    """What an interpreter is and lacks; None if it does not answer."""
    full = shutil.which(os.path.expanduser(path), path=environment.get("PATH"))
    if full is None:
        return None
    # Not resolved: a link of a virtual environment is what makes it one.
    full = os.path.abspath(full)
    try:
        done = subprocess.run(
            [full, "-c", _ASK, *needs],
            cwd="/",  # a folder of the user's called torch is no torch
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        seen = json.loads(done.stdout)
        version, has = tuple(seen["version"]), dict(seen["has"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None
    return Interpreter(full, version, tuple(name for name in needs if not has.get(name)))


def _usual(environment: Mapping[str, str]) -> list[str]:
    search = environment.get("PATH")
    first = shutil.which("python", path=search) or shutil.which("python3", path=search)
    return [first, sys.executable] if first and first != sys.executable else [sys.executable]


def _lacks(found: Interpreter) -> str:
    if found.version < _LEAST:
        return "is older than 3.9"
    return f"lacks {' and '.join(found.missing)}"


def _remedy(asked: Sequence[Interpreter], needs: Sequence[str]) -> str:
    usable = [each for each in asked if each.version >= _LEAST]
    if not usable:
        return f"install Python 3.9 or later with {' and '.join(needs)}"
    return f"{usable[0].path} -m pip install {' '.join(usable[0].missing)}"
