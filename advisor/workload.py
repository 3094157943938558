"""What is replayed: a command, as it was typed, recorded, or made for a model file."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frugalwatch.config.load import load
from frugalwatch.errors import UsageError
from frugalwatch.privacy import MASK, mask_arguments

if TYPE_CHECKING:
    from advisor.workloads.source import Source
    from frugalwatch.ledger.advice import StoredAdvice
    from frugalwatch.ledger.queries import RunRow


@dataclass(frozen=True, slots=True)
class Workload:
    """A whole command and where it runs. `stdin_path` is what every replay reads.

    `source` is the model file, capture or workload file that the command calls; None: it is one.
    """

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    stdin_path: str = os.devnull
    run_id: int | None = None
    source: Source | None = None

    @property
    def masked(self) -> tuple[str, ...]:
        """The words as they may be stored and shown."""
        patterns = load({}, cwd=self.cwd, environ=os.environ).settings.mask
        return tuple(mask_arguments(self.argv, patterns))


def from_command(
    argv: tuple[str, ...], environment: Mapping[str, str], stdin_file: str | None
) -> Workload:
    """A command as it was typed, in this folder. Raises UsageError for an unreadable stdin file."""
    return Workload(argv, os.getcwd(), environment, _stdin(stdin_file))


def from_run(
    run: RunRow, cwd: str, environment: Mapping[str, str], stdin_file: str | None
) -> Workload:
    """The command of a recorded run, in its folder, with the environment of now.

    Raises UsageError where the ledger does not hold the whole command, or the folder is gone.
    """
    refuse_masked(run.command, f"run {run.number}")
    if not os.path.isdir(cwd):
        raise UsageError(f"run {run.number} ran in {cwd}, which is no longer there")
    return Workload(run.command, cwd, environment, _stdin(stdin_file), run.number)


def from_advice(
    advice: StoredAdvice, environment: Mapping[str, str], stdin_file: str | None
) -> Workload:
    """The command that an advice was made for. Raises UsageError as `from_run` does."""
    from advisor.workloads.source import from_json

    refuse_masked(advice.command, f"advice {advice.name}")
    if not os.path.isdir(advice.cwd):
        raise UsageError(f"advice {advice.name} ran in {advice.cwd}, which is no longer there")
    stdin = _stdin(stdin_file or advice.stdin_path)
    source = from_json(advice.result.get("workload"))
    return Workload(advice.command, advice.cwd, environment, stdin, source=source)


def refuse_masked(command: tuple[str, ...], what: str) -> None:
    """Raise UsageError if secrets were masked in a stored command: it cannot be repeated."""
    if any(MASK in word for word in command):
        raise UsageError(
            f"{what} cannot be replayed from the ledger",
            why="its command held something that looks like a secret, which was not stored",
            hint="type the command again after `--`",
        )


def refuse_unrepeatable_stdin() -> None:
    """Raise UsageError if our stdin holds data, which could be read only once.

    A terminal or /dev/null is fine: replays then read /dev/null.
    """
    try:
        found = os.fstat(0)
    except OSError:  # closed: there is nothing to lose
        return
    if os.isatty(0) or (
        stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev
    ):
        return
    raise UsageError(
        "standard input can be read only once, and replays need it many times",
        why="it is neither a terminal nor /dev/null",
        hint="save it in a file and name it: --stdin FILE (or --stdin /dev/null)",
    )


def _stdin(file: str | None) -> str:
    if file is None:
        return os.devnull
    path = os.path.abspath(file)
    if not os.access(path, os.R_OK) or os.path.isdir(path):
        raise UsageError(f"{file} cannot be read as standard input")
    return path
