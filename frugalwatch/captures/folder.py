"""Where captures lie, who may enter, and when they go.

    captures/            0700
      key                32 random bytes: the seal on what may be unpickled
      C1/                one capture: manifest.json, and a folder for each captured process
        process-1/       process.json, calls.jsonl, notes.jsonl, calls/, module-0/, module-1/ ...

The hook inside the job writes everything below C1 but the manifest. docs/reference/hook-contract.md
describes the files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from frugalwatch.config.paths import state_dir
from frugalwatch.errors import FrugalWatchError, NotFoundError
from frugalwatch.json_files import read_json

if TYPE_CHECKING:
    from frugalwatch.captures.limits import Limits

SCHEMA = "frugalwatch.capture-manifest/1"
_MANIFEST = "manifest.json"
_KEY = "key"
_KEY_BYTES = 32
_NAME = re.compile(r"C[1-9]\d*")
_S_PER_DAY = 86_400.0


def captures_folder(environ: Mapping[str, str]) -> str:
    """The folder of all captures; nothing is created."""
    return os.path.join(state_dir(environ), "captures")


def key_path(folder: str) -> str:
    """The key that seals this user's pickles on this machine."""
    return os.path.join(folder, _KEY)


def new_capture(
    folder: str,
    limits: Limits,
    argv: Sequence[str],
    cwd: str,
    environment: Mapping[str, str | None],
) -> str:
    """Make a capture's folder with its manifest; returns the path.

    `argv` and `environment` as they may be stored. Raises FrugalWatchError where files could not be
    kept to this user.
    """
    from frugalwatch.ledger.paths import private_directory

    try:
        os.makedirs(os.path.dirname(folder), 0o700, exist_ok=True)
        private = private_directory(folder)
        if private:
            _make_key(key_path(folder))
            path = _next_folder(folder)
            now = time.time()
            manifest = {
                "schema": SCHEMA,
                "capture": os.path.basename(path),
                "exit_code": None,
                "created_utc": _utc(now),
                "expires_utc": _utc(now + limits.days * _S_PER_DAY),
                "command": list(argv),
                "cwd": cwd,
                "environment": dict(environment),
                "host": os.uname().nodename,
                "limits": limits._asdict(),
            }
            write_manifest(path, manifest)
            return path
    except OSError as problem:
        raise FrugalWatchError(f"captures cannot be kept in {folder}: {problem.strerror}") from None
    raise FrugalWatchError(
        f"captures cannot be kept in {folder}",
        why="others can enter it, or it is another user's",
        hint=f"chmod 700 {folder}",
    )


def write_manifest(path: str, manifest: Mapping[str, object]) -> None:
    """Replace a capture's manifest. Raises OSError."""
    temporary = os.path.join(path, f"{_MANIFEST}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
    os.rename(temporary, os.path.join(path, _MANIFEST))


def read_manifest(path: str) -> dict[str, object]:
    """A capture's manifest; empty where it cannot be read."""
    return read_json(os.path.join(path, _MANIFEST))


def list_captures(folder: str) -> list[str]:
    """Paths of all captures, the latest first."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    numbers = sorted((int(name[1:]) for name in names if _NAME.fullmatch(name)), reverse=True)
    return [os.path.join(folder, f"C{number}") for number in numbers]


def find_capture(folder: str, name: str) -> str:
    """The path of `C3`, `3` or `last`. Raises NotFoundError."""
    found = list_captures(folder)
    wanted = name.upper() if name.upper().startswith("C") else f"C{name}"
    for path in found:
        if name == "last" or os.path.basename(path) == wanted:
            return path
    raise NotFoundError(
        f"there is no capture {name}",
        why="captures are deleted when they expire" if found else "there are no captures",
        hint="frugalwatch capture list" if found else "frugalwatch run --capture -- COMMAND",
    )


def delete_capture(path: str) -> None:
    """Remove a capture. Raises FrugalWatchError if something of it stays."""
    try:
        shutil.rmtree(path)
    except OSError as problem:
        raise FrugalWatchError(f"{path} could not be deleted", why=str(problem)) from None


def purge_expired(folder: str, now_utc_s: float | None = None) -> list[str]:
    """Delete the captures whose time is over; returns their names. Never raises."""
    now = _utc(time.time() if now_utc_s is None else now_utc_s)
    gone = []
    for path in list_captures(folder):
        expires = read_manifest(path).get("expires_utc")
        if isinstance(expires, str) and expires < now:
            shutil.rmtree(path, ignore_errors=True)
            gone.append(os.path.basename(path))
    return gone


def _make_key(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    try:
        os.write(descriptor, os.urandom(_KEY_BYTES))
    finally:
        os.close(descriptor)


def _next_folder(folder: str) -> str:
    """A new folder, under a number that none had before as far as can be seen."""
    counter = os.path.join(folder, "last")
    try:
        with open(counter, encoding="ascii") as file:
            number = int(file.read(20))
    except (OSError, ValueError):
        number = 0
    newest = next(iter(list_captures(folder)), "C0")
    number = max(number, int(os.path.basename(newest)[1:]))
    while True:
        number += 1
        path = os.path.join(folder, f"C{number}")
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            continue
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(counter, flags, 0o600), "w", encoding="ascii") as file:
            file.write(str(number))
        return path


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
