"""Reading the configuration files: at most three, each absent, good, or a named problem.

A wrapped job starts only after this, so nothing here can block or raise: a FIFO in the place of a
file is refused unread, a file of many megabytes too. `tomllib` costs 15 to 30 ms to import and is
loaded only where a file exists that can hold settings of ours.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

from frugalwatch.config import paths

_MOST_BYTES = 1_000_000
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class ConfigFile(NamedTuple):
    """One file that was looked at: its table, or why it could not be used, or neither (absent)."""

    path: str
    name: str  # what a person reads: the path, with the table's name for pyproject.toml
    project: bool
    table: Mapping[str, object] | None = None
    problem: str = ""


def read_files(cwd: str, environ: Mapping[str, str]) -> list[ConfigFile]:
    """The places where settings may stand, strongest first. Never raises, never waits."""
    own = os.path.join(cwd, "frugalwatch.toml")
    shared = os.path.join(cwd, "pyproject.toml")
    user = os.path.join(paths.config_dir(environ), "config.toml")
    return [
        _read(own, own, project=True),
        _read(shared, f"{shared} [tool.frugalwatch]", project=True, section=True),
        _read(user, user, project=False),
    ]


def _read(path: str, name: str, *, project: bool, section: bool = False) -> ConfigFile:
    try:
        content = _content(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return ConfigFile(path, name, project)
        return ConfigFile(path, name, project, problem=f"cannot be read: {error.strerror}")
    except ValueError as error:  # a NUL in the path
        return ConfigFile(path, name, project, problem=f"cannot be read: {error}")
    if isinstance(content, str):
        return ConfigFile(path, name, project, problem=content)
    if section and b"frugalwatch" not in content:
        return ConfigFile(path, name, project)  # somebody else's file: spare the parser
    parsed, problem = _parse(content)
    if parsed is None:
        return ConfigFile(path, name, project, problem=problem)
    if section:
        return _section(ConfigFile(path, name, project), parsed)
    return ConfigFile(path, name, project, parsed)


def _content(path: str) -> bytes | str:
    """The file's bytes, or a sentence that says why they are not a configuration."""
    # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever, and the job with it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            return "is a folder, not a file"
        if not stat.S_ISREG(status.st_mode):
            return "is not a regular file"
        if status.st_size > _MOST_BYTES:
            return f"is larger than {_MOST_BYTES // 1000} kB"
        return os.read(handle, _MOST_BYTES)
    finally:
        os.close(handle)


def _parse(content: bytes) -> tuple[dict[str, object] | None, str]:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return None, f"is not UTF-8 text (line {line})"
    import tomllib

    try:
        return tomllib.loads(text), ""
    except RecursionError:  # nested too deeply for the parser on Python 3.11 and 3.12
        return None, "is not valid TOML: nested too deeply"
    except ValueError as error:  # TOMLDecodeError, and numbers too long for int()
        return None, f"is not valid TOML: {error}"


def _section(file: ConfigFile, whole: Mapping[str, object]) -> ConfigFile:
    tool = whole.get("tool")
    if not isinstance(tool, dict) or "frugalwatch" not in tool:
        return file
    table = tool["frugalwatch"]
    if not isinstance(table, dict):
        return file._replace(problem="must be a table")
    return file._replace(table=table)
