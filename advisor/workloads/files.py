"""Looks at a model file before anything loads it: what it is, and whose."""

from __future__ import annotations

import os
import stat
import zipfile

from frugalwatch.errors import NotFoundError, UsageError


def checked(path: str, what: str) -> str:
    """The whole path of a file that can be read. Raises NotFoundError, UsageError."""
    if not os.path.exists(path):
        raise NotFoundError(f"there is no file {path}", hint=f"the path of {what}")
    if os.path.isdir(path) or not os.access(path, os.R_OK):
        raise UsageError(f"{path} is not a file that can be read")
    return os.path.abspath(path)


def refuse_foreign(path: str) -> None:
    """Raise UsageError unless file and folder are this user's own, and nobody else can write them.

    Loading what torch stores may run code that is in it.
    """
    for place in (path, os.path.dirname(os.path.realpath(path))):
        found = os.stat(place)
        shared = place != path and found.st_mode & stat.S_ISVTX
        if found.st_uid != os.geteuid() and (place == path or not shared):
            if place != path and not found.st_mode & 0o022:
                continue  # a folder of root's or of a colleague's that only he can change
            raise _refused(path, f"{place} is another user's")
        if found.st_mode & stat.S_IWOTH and not shared:
            raise _refused(path, f"{place} can be written by everybody")


def _refused(path: str, why: str) -> UsageError:
    return UsageError(
        f"{path} is not loaded: a file of torch's may run code when it is",
        why=why,
        hint="copy it to a folder of yours, if you trust who made it",
    )


def refuse_pickle(path: str) -> None:
    """Raise UsageError where a .pt or .pth file holds no TorchScript program."""
    names: list[str] = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    if any("/code/" in name for name in names):
        return
    raise UsageError(
        f"{path} holds no TorchScript program",
        why="it looks like weights or a pickled model of torch.save, which does not say how the"
        " model is made and called",
        hint="write a workload.py with load_model() and inputs(), or save it by torch.export",
    )


def refuse_unexported(path: str) -> None:
    """Raise UsageError where a .pt2 file is no archive."""
    if not zipfile.is_zipfile(path):
        raise UsageError(
            f"{path} holds no exported program", hint="torch.export.save(program, FILE) makes one"
        )
