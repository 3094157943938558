"""The mark by which a pickle is known to be this user's own, made on this machine.

A pickle runs code when it is loaded. So ours are sealed with a key that lies in a file of the
user's, together with the machine's identity: a capture that came from elsewhere has no valid seal,
whoever owns its files now. (A seal is no defence against who can read the user's own files.)
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat

_MACHINE_ID = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_LEAST_KEY_BYTES = 32


class NotOursError(Exception):
    """The file must not be loaded; the text says why."""


def machine() -> bytes:
    """What tells this machine from others: its id, or else its name."""
    for path in _MACHINE_ID:
        try:
            with open(path, "rb") as file:
                found = file.read(64).strip()
        except OSError:
            continue
        if found:
            return found
    return os.uname().nodename.encode()


def seal(key_path: str, name: str, data: bytes) -> str:
    """The mark for a file of this name and content.

    Raises NotOursError if the key is not the user's.
    """
    text = b"\0".join([machine(), str(os.geteuid()).encode(), name.encode(), _digest(data)])
    return hmac.new(_read_own(key_path), text, hashlib.sha256).hexdigest()


def read_sealed(key_path: str, path: str, name: str, mark: str) -> bytes:
    """The content of a file that this user made on this machine. Raises NotOursError, OSError.

    What was checked is what comes back: nobody can exchange the file in between.
    """
    data = _read_own(path)
    if not mark or not hmac.compare_digest(seal(key_path, name, data), mark):
        raise NotOursError(f"{path} was not made by this user on this machine, or was changed")
    return data


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _read_own(path: str) -> bytes:
    """A file that nobody else could have written or replaced."""
    folder = os.lstat(os.path.dirname(path))
    if not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.geteuid() or folder.st_mode & 0o077:
        raise NotOursError(f"the folder of {path} is open to others, or another user's")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise NotOursError(f"{path} is another user's")
        if found.st_mode & 0o077:
            raise NotOursError(f"{path} can be read or written by others")
        return file.read()
