"""The environment that a job gets: its caller's, and where to tell about phases."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from frugalwatch.inside import folder

# Python coerces the C locale by setting this in its own environment (PEP 538).
_COERCED = "LC_CTYPE"


def caller_environment() -> dict[str, str]:
    """The environment as our caller gave it, without what Python adds to it at its start."""
    environment = dict(os.environ)
    if _COERCED in environment:
        try:
            with open("/proc/self/environ", "rb") as file:
                given = file.read().split(b"\0")
        except OSError:
            return environment
        del environment[_COERCED]
        for entry in given:
            name, _, value = entry.partition(b"=")
            if name == _COERCED.encode():
                environment[_COERCED] = os.fsdecode(value)
    return environment


def job_environment(
    environment: Mapping[str, str],
    run_key: str,
    pipe_path: str | None,
    hook: Mapping[str, object] | None = None,
) -> dict[str, str]:
    """The caller's environment, plus our hook for Python processes (`--no-hook`: nothing).

    `hook` holds what was asked of it beyond what it always does, by feature.
    """
    result = dict(environment)
    if pipe_path is not None:
        result["FRUGALWATCH_PIPE"] = pipe_path
        result["FRUGALWATCH_RUN_KEY"] = run_key
        result.setdefault("FRUGALWATCH_RUN_ID", run_key)
        result.pop("FRUGALWATCH_HOOK", None)  # that of a run around this one
        if hook:
            result["FRUGALWATCH_HOOK"] = json.dumps(hook)
        result["PYTHONPATH"] = _python_path(result.get("PYTHONPATH", ""))
    return result


def _python_path(given: str) -> str:
    """PYTHONPATH with our folder in front of it.

    In front, since Python takes the first `sitecustomize` it finds, and ours imports the next one.
    An empty variable means no path at all, but an empty entry means the current folder.
    """
    ours = folder()
    entries = given.split(os.pathsep) if given else []
    return os.pathsep.join([ours, *(entry for entry in entries if entry != ours)])
