"""The environment that a job gets: its caller's, and where to tell about phases."""

from __future__ import annotations

import os
from collections.abc import Mapping

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
    environment: Mapping[str, str], run_key: str, pipe_path: str | None
) -> dict[str, str]:
    """The caller's environment, plus where to tell about phases (`--no-hook`: nothing)."""
    result = dict(environment)
    if pipe_path is not None:
        result["FRUGALWATCH_PIPE"] = pipe_path
        result["FRUGALWATCH_RUN_KEY"] = run_key
        result.setdefault("FRUGALWATCH_RUN_ID", run_key)
    return result
