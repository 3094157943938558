"""Turns a fresh fork of the supervisor into a sampler."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from typing import NoReturn

from frugalwatch.sampler.context import RunContext

_PR_SET_NAME = 15
_CRASHED = 70  # EX_SOFTWARE


def become_sampler(context: RunContext, *, control: int, result: int, replaces: int) -> NoReturn:
    """Sample until the run is over, then exit. Never returns and never raises.

    The process stays in the job's group with the forwarded signals blocked (see
    `supervisor/signals.py`). It holds none of the job's descriptors, so that a pipe that the job
    closes is closed.
    """
    status = 0
    try:
        _detach()
        from frugalwatch.sampler.readers import start_readers

        readers = start_readers(context)
        from frugalwatch.sampler.loop import Sampler

        Sampler(context, readers, control=control, result=result, replaces=replaces).run()
    except BaseException:  # noqa: BLE001 - the edge of the process: record it and go
        status = _CRASHED
        _record_crash(context)
    finally:
        os._exit(status)


def _detach() -> None:
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z stops the job, not its measurement
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    try:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"fw-sampler", 0, 0, 0)
    except (OSError, AttributeError):
        return


def _record_crash(context: RunContext) -> None:
    """Keep the traceback beside the ledger, for whoever looks into it."""
    try:
        path = os.path.join(os.path.dirname(context.ledger_path), "sampler-crash.log")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        text = f"run {context.run_key}\n{''.join(traceback.format_exception(*sys.exc_info()))}\n"
        os.write(descriptor, text.encode(errors="replace"))
        os.close(descriptor)
    except OSError:
        return
