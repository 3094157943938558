"""A command of the user's: its words are given as they are, without a shell between."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

LIMIT_S = 10.0
_VARIABLES = ("kind", "subject", "message", "run_id", "host", "utc", "value", "limit", "unit")


def call(argv: Sequence[str], notice: Mapping[str, object], *, limit_s: float = LIMIT_S) -> str:
    """Run it with the notice as JSON on its input; empty if it ended with 0 in time, else why not.

    Its environment is ours and FRUGALWATCH_EVENT_KIND, _SUBJECT, _MESSAGE, _RUN_ID, _HOST, _UTC,
    _VALUE, _LIMIT and _UNIT. What it prints goes nowhere.
    """
    added = {
        f"FRUGALWATCH_EVENT_{name.upper()}": "" if notice[name] is None else str(notice[name])
        for name in _VARIABLES
    }
    problem = run_limited(list(argv), json.dumps(notice).encode(), added, limit_s=limit_s)
    return f"command: {problem}" if problem else ""


def run_limited(
    argv: Sequence[str], given: bytes, added: Mapping[str, str], *, limit_s: float
) -> str:
    """Run a command in a session of its own and end that after `limit_s`; why it failed, or ""."""
    name = os.path.basename(argv[0])
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **added},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"{name}: {getattr(error, 'strerror', None) or error}"
    try:
        process.communicate(given, timeout=limit_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # ours, not the job's
        process.wait()
        return f"{name} was ended after {limit_s:g} s"
    except OSError:  # it did not read what it was given, which is its own business
        process.wait()
    return f"{name} ended with {process.returncode}" if process.returncode else ""
