"""What `run --capture` does before the job and after it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from frugalwatch.captures.folder import (
    captures_folder,
    key_path,
    new_capture,
    purge_expired,
    read_manifest,
    write_manifest,
)
from frugalwatch.captures.limits import Limits

if TYPE_CHECKING:
    from frugalwatch.config.settings import Settings

# A copy of the job's process ends itself before that (LIMIT_S in the hook's capture_fork.py).
_PATIENCE_S = 250.0
_PAUSE_S = 0.1


def begin_capture(
    limits: Limits,
    argv: Sequence[str],
    cwd: str,
    environment: Mapping[str, str],
    settings: Settings,
) -> dict[str, object]:
    """Make the folder; returns what the hook needs to know. Raises FrugalWatchError."""
    from frugalwatch.privacy import mask_arguments, storable_environment

    folder = captures_folder(os.environ)
    path = new_capture(
        folder,
        limits,
        mask_arguments(argv),
        cwd,
        storable_environment(environment, settings.environment_allow),
    )
    return {
        "folder": path,
        "key": key_path(folder),
        "calls": limits.calls,
        "bytes": limits.bytes,
        "seconds": limits.seconds,
    }


def end_capture(path: str, exit_code: int, *, quiet: bool, block: bool) -> None:
    """Wait until the job's modules are stored, and say what the capture holds. Never raises.

    `block`: in words for a person, else as one line. Ctrl-C and a batch system's TERM end the
    waiting: what is whole by then is kept.
    """
    try:
        _finish(path, exit_code, quiet=quiet, block=block)
    except Exception as error:  # noqa: BLE001 - the job has run, and its status is still owed
        os.write(2, f"frugalwatch: capture: {error!r}\n".encode(errors="replace"))


def _finish(path: str, exit_code: int, *, quiet: bool, block: bool) -> None:
    from frugalwatch.captures.reading import read_capture, still_storing
    from frugalwatch.captures.render import PRIVACY, size

    manifest = read_manifest(path)
    write_manifest(path, {**manifest, "exit_code": exit_code})
    until_s = time.monotonic() + _PATIENCE_S
    said = False
    while still_storing(path) and time.monotonic() < until_s:
        if not said and not quiet:
            os.write(2, b"frugalwatch: storing the captured modules; Ctrl-C ends it\n")
        said = True
        if _asked_to_stop():
            break
    gone = purge_expired(captures_folder(os.environ))
    if quiet:
        return
    capture = read_capture(path)
    modules = capture.modules
    kept = sum(module.kept for module in modules)
    if not block:
        line = f"frugalwatch: capture={capture.name} modules={len(modules)} calls={kept}"
        os.write(2, f"{line} bytes={capture.bytes}\n".encode())
        return
    if modules:
        what = (
            f"{len(modules)} module{'s' * (len(modules) > 1)}, {kept} calls with inputs and outputs"
        )
    else:
        what = "nothing: no call of a torch module was seen"
    lines = [f"  Captured     {capture.name}: {what}; {size(capture.bytes)}"]
    if modules:
        lines.append(f"               {PRIVACY}")
    expires = str(manifest.get("expires_utc", ""))[:10]
    lines.append(f"               deleted after {expires}; frugalwatch capture show {capture.name}")
    if gone:
        lines.append(f"               expired and deleted: {', '.join(gone)}")
    os.write(2, ("\n".join(lines) + "\n").encode(errors="replace"))


def _asked_to_stop() -> bool:
    """Wait a moment; whether somebody asked us to end meanwhile. Our signals are blocked by now."""
    ending = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        return signal.sigtimedwait(ending, _PAUSE_S) is not None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
