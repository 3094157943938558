"""Settings from the command line, the environment and files, with where each one came from.

Nothing here stops a job: a value that cannot be used is a `Problem`, and the next weaker place or
the default is used in its stead. `frugalwatch config check` prints the problems and fails on them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from frugalwatch.config import paths
from frugalwatch.config.fields import (
    ENVIRONMENT_PREFIX,
    FIELDS,
    NOT_SETTINGS,
    BadValueError,
    Value,
    check,
    from_text,
    nearest,
)
from frugalwatch.config.files import ConfigFile, read_files
from frugalwatch.config.settings import Settings

COMMAND_LINE = "command line"
ENVIRONMENT = "environment"
DEFAULT = "default"


class Problem(NamedTuple):
    """One thing that cannot be used: where it stands, under which key, why, and what was meant.

    `file` is a path, "command line" or "environment"; `key` is empty where the whole file is the
    problem; `near` is the nearest known word, or empty.
    """

    file: str
    key: str
    message: str
    near: str = ""

    def __str__(self) -> str:
        place = f"{self.file}: {self.key}" if self.key else self.file
        meant = f" (did you mean {self.near}?)" if self.near else ""
        return f"{place}: {self.message}{meant}"


class Loaded(NamedTuple):
    """Settings that can be used whatever was wrong, and the story of each.

    `origins` has every key of `Settings`: "command line", "environment FRUGALWATCH_ZONE", a path,
    or "default". `files` are the files that were looked at, strongest first.
    """

    settings: Settings
    origins: dict[str, str]
    problems: tuple[Problem, ...]
    files: tuple[ConfigFile, ...]


def load(cli: Mapping[str, object], *, cwd: str, environ: Mapping[str, str]) -> Loaded:
    """Every setting by precedence: command line, environment, project, user, default. Never raises.

    `cli` maps keys of `Settings` to values as click gives them or as text; None means not given.
    Relative ledger paths are taken from the folder of the file that names them, else from `cwd`.
    """
    merge = _Merge(environ)
    _from_command_line(merge, cli, cwd)
    _from_environment(merge, environ, cwd)
    files = read_files(cwd, environ)
    for file in files:
        _from_file(merge, file)
    # Any: each value was checked against its field above, which the type checker cannot follow.
    values: dict[str, Any] = merge.values
    origins = {key: merge.origins.get(key, DEFAULT) for key in FIELDS}
    return Loaded(Settings(**values), origins, tuple(merge.problems), tuple(files))


class _Merge:
    """Values so far; who comes first wins, and who comes later is still checked."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.values: dict[str, Value] = {}
        self.origins: dict[str, str] = {}
        self.problems: list[Problem] = []

    def take(self, key: str, value: Value, origin: str, folder: str) -> None:
        """Keep a checked value unless a stronger place had one. Paths are made absolute."""
        if key in self.values:
            return
        if FIELDS[key].kind == "path" and isinstance(value, str):
            if value == "~" or value.startswith("~/"):
                value = paths.home_dir(self.environ) + value[1:]
            value = os.path.normpath(os.path.join(folder, value))
        self.values[key] = value
        self.origins[key] = origin


def _from_command_line(merge: _Merge, cli: Mapping[str, object], cwd: str) -> None:
    for key, value in cli.items():
        if value is None:
            continue
        field = FIELDS.get(key)
        if field is None:
            near = nearest(key, tuple(FIELDS))
            merge.problems.append(Problem(COMMAND_LINE, key, "no such setting", near))
            continue
        try:
            read = from_text(field, value) if isinstance(value, str) else check(field, value)
        except BadValueError as error:
            merge.problems.append(Problem(COMMAND_LINE, key, str(error), error.near))
        else:
            merge.take(key, read, COMMAND_LINE, cwd)


def _from_environment(merge: _Merge, environ: Mapping[str, str], cwd: str) -> None:
    for variable, text in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NOT_SETTINGS or not text:
            continue
        key = variable[len(ENVIRONMENT_PREFIX) :].lower()
        field = FIELDS.get(key)
        if field is None:
            # Other programs may use the prefix: only what looks like a slip is worth a word.
            near = nearest(key, tuple(FIELDS))
            if near:
                meant = ENVIRONMENT_PREFIX + near.upper()
                problem = Problem(ENVIRONMENT, variable, "no such setting", meant)
                merge.problems.append(problem)
            continue
        try:
            value = from_text(field, text)
        except BadValueError as error:
            merge.problems.append(Problem(ENVIRONMENT, variable, str(error), error.near))
        else:
            merge.take(key, value, f"{ENVIRONMENT} {variable}", cwd)


def _from_file(merge: _Merge, file: ConfigFile) -> None:
    if file.problem:
        merge.problems.append(Problem(file.name, "", file.problem))
    for key, raw in (file.table or {}).items():
        field = FIELDS.get(key)
        if field is None:
            near = nearest(key, tuple(FIELDS))
            merge.problems.append(Problem(file.name, key, "no such setting", near))
            continue
        if file.project and not field.project_may_set:
            # A folder that somebody else wrote must not send anything anywhere, start a command,
            # end a job, or make the ledger tell more.
            why = "not taken from a project: set it in your own config.toml"
            merge.problems.append(Problem(file.name, key, why))
            continue
        try:
            value = check(field, raw)
        except BadValueError as error:
            merge.problems.append(Problem(file.name, key, str(error), error.near))
        else:
            merge.take(key, value, file.name, os.path.dirname(file.path))
