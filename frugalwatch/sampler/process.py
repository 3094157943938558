"""Turns a fresh fork of the supervisor into a sampler."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import NoReturn

from frugalwatch.descriptors import let_go
from frugalwatch.sampler.context import JobStart, Plan, RunContext

_PR_SET_NAME = 15
_CRASHED = 70  # EX_SOFTWARE


def become_sampler(
    plan: Plan,
    start: JobStart | None,
    *,
    control: int,
    result: int,
    replaces: int,
    inherited: tuple[int, ...] = (),
) -> NoReturn:
    """Sample until the run is over, then exit. Never returns and never raises.

    Without a `start` it loads what it needs and waits to be told that the job has started; if the
    control pipe ends before that, there is no job, and nothing is recorded. `inherited` are the
    descriptors that are the job's.

    The process stays in the job's group with the forwarded signals blocked (see
    `supervisor/signals.py`). It holds none of the job's descriptors, so that a pipe that the job
    closes is closed.
    """
    status = 0
    try:
        _detach(inherited)
        from frugalwatch.sampler.readers import start_readers

        readers = start_readers(plan)
        from frugalwatch.sampler.loop import Sampler

        if start is None:
            from frugalwatch.report import settle  # noqa: F401 - needed at the end; now is time

            start = _hear_of_the_start(control)
        if start is not None:
            context = RunContext(plan, start)
            Sampler(context, readers, control=control, result=result, replaces=replaces).run()
    except BaseException:  # noqa: BLE001 - the edge of the process: record it and go
        status = _CRASHED
        _record_crash(plan)
    finally:
        os._exit(status)


def _hear_of_the_start(control: int) -> JobStart | None:
    """The first message on the control pipe, which a length of four bytes precedes."""
    length = int.from_bytes(_exactly(control, 4), "little")
    return JobStart.unpacked(_exactly(control, length)) if length else None


def _exactly(descriptor: int, count: int) -> bytes:
    """`count` bytes; empty if the pipe ends before."""
    data = b""
    while len(data) < count:
        chunk = os.read(descriptor, count - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


def _detach(inherited: tuple[int, ...]) -> None:
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z stops the job, not its measurement
    let_go({*inherited, 0, 1, 2})
    try:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"fw-sampler", 0, 0, 0)
    except (OSError, AttributeError):
        return


def _record_crash(plan: Plan) -> None:
    """Keep the traceback beside the ledger, for whoever looks into it."""
    import traceback

    try:
        path = os.path.join(os.path.dirname(plan.ledger_path), "sampler-crash.log")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        text = f"run {plan.run_key}\n{''.join(traceback.format_exception(*sys.exc_info()))}\n"
        os.write(descriptor, text.encode(errors="replace"))
        os.close(descriptor)
    except OSError:
        return
