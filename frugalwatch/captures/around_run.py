"""What `run --capture` does before the job and after it."""

from __future__ import annotations

import os
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
        mask_arguments(argv, settings.mask),
        cwd,
        storable_environment(environment, settings.environment_allow, settings.mask),
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
    from frugalwatch.captures.afterwards import (
        Stopped,
        export_the_rest,
        remove_halves,
        wait_for_copies,
    )
    from frugalwatch.captures.reading import read_capture
    from frugalwatch.captures.render import PRIVACY, size

    manifest = read_manifest(path)
    write_manifest(path, {**manifest, "exit_code": exit_code})
    try:
        for number, _ in enumerate(wait_for_copies(path)):
            if number == 0 and not quiet:
                _say("storing the captured modules; Ctrl-C ends it")
        key = key_path(os.path.dirname(path))
        for process in export_the_rest(read_capture(path), key, os.environ):
            if not quiet:
                _say(f"exporting the modules of {process}; Ctrl-C ends it")
    except Stopped:
        _let_go(path)
    remove_halves(path)
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
        what = "nothing: no call of a torch model was captured"
    lines = [f"  Captured     {capture.name}: {what}; {size(capture.bytes)}"]
    if modules:
        lines.append(f"               {PRIVACY}")
    expires = str(manifest.get("expires_utc", ""))[:10]
    lines.append(f"               deleted after {expires}; frugalwatch capture show {capture.name}")
    if gone:
        lines.append(f"               expired and deleted: {', '.join(gone)}")
    os.write(2, ("\n".join(lines) + "\n").encode(errors="replace"))


def _let_go(path: str) -> None:
    """Give the copies that were ended a moment to be gone."""
    import time

    from frugalwatch.captures.reading import held_locks

    until_s = time.monotonic() + 1.0
    while held_locks(path) and time.monotonic() < until_s:
        time.sleep(0.02)


def _say(text: str) -> None:
    os.write(2, f"frugalwatch: {text}\n".encode())
