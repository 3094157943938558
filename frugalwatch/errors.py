"""Every error that FrugalWatch raises on purpose.

    FrugalWatchError
    ├── UsageError           what was typed cannot be done (exit 2)
    ├── ConfigError          a configuration file has problems, all of them listed (exit 2)
    ├── NotFoundError        no such run, device or zone (exit 1)
    └── LedgerError          the database cannot be used (exit 1)
        └── LedgerNewerError   written by a newer FrugalWatch

Only the outermost command prints one, to stderr, and picks the exit code.
"""

from __future__ import annotations


class FrugalWatchError(Exception):
    """What happened and why, with the next thing to type in `hint`."""

    exit_code = 1

    def __init__(self, message: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error: {self.message}"]
        if self.why:
            lines.append(self.why)
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class UsageError(FrugalWatchError):
    """What was typed cannot be done."""

    exit_code = 2


class ConfigError(FrugalWatchError):
    """A configuration file has problems; `why` lists every one with its file and key."""

    exit_code = 2


class NotFoundError(FrugalWatchError):
    """No such run, device or zone."""


class LedgerError(FrugalWatchError):
    """The database cannot be used."""


class LedgerNewerError(LedgerError):
    """The database was written by a newer FrugalWatch."""
