"""A drop-in accelerator of scikit-learn, where the program's environment has it.

Intel's scikit-learn-intelex puts its own estimators in the place of scikit-learn's, under the same
names, with one call before they are imported: a true drop-in, which the hook makes. Others are not:
modin wants another import, polars other code; FireDucks (`python -m fireducks.pandas`) and
cudf.pandas (`python -m cudf.pandas`) are started as a program of their own. Those are named beside
the share of time that they could touch (advisor.hot_spots) and not replayed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from advisor.techniques.base import Applicability, Change, Facts, Variant

# Compiled modules that every use of scikit-learn maps.
_MAPPED = ("_openmp_helpers.", "_check_build.")
_PACKAGE = "scikit-learn-intelex"
_ASK = "import importlib.util, sys; sys.exit(importlib.util.find_spec('sklearnex') is None)"
_LIMIT_S = 20.0
_CODE = """from sklearnex import patch_sklearn
patch_sklearn()  # before anything of sklearn is imported"""


def _has_sklearnex(python: str, environment: dict[str, str]) -> bool:
    """Whether this interpreter would find it."""
    try:
        done = subprocess.run(
            [python, "-c", _ASK],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class DropIn:
    """scikit-learn-intelex in the place of scikit-learn's own estimators."""

    name = "drop-in accelerator"

    def __init__(self, has_it: Callable[[str, dict[str, str]], bool] = _has_sklearnex) -> None:
        self._has_it = has_it

    def applies(self, facts: Facts) -> Applicability:
        if not facts.has_library(*_MAPPED):
            return Applicability(False, "the program was not seen to use scikit-learn")
        python = _python(facts)
        if not python:
            return Applicability(False, "its command does not begin with a Python interpreter")
        if not self._has_it(python, dict(facts.environment)):
            return Applicability(False, f"needs {_PACKAGE}: pip install {_PACKAGE}")
        return Applicability(True, f"it uses scikit-learn, and {_PACKAGE} is installed")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        return (
            Variant(
                name=_PACKAGE,
                technique=self.name,
                change=Change(switches={"sklearnex": True}),
                needs=_PACKAGE,
                for_good="start it by python -m sklearnex, or patch at the top of the program:",
                code=_CODE,
                risk="other algorithms round otherwise, and importing it takes a second or two",
            ),
        )


def _python(facts: Facts) -> str:
    """The interpreter that the command begins with; empty where that is none."""
    word = facts.argv[0] if facts.argv else ""
    if not os.path.basename(word).startswith("python"):
        return ""
    return shutil.which(word, path=facts.environment.get("PATH")) or ""
