"""Which things a person wants gone: by age, by name, by the words of their command, or all."""

from __future__ import annotations

import re
from dataclasses import dataclass

from frugalwatch.errors import UsageError

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(h|d|w|y)")
_SECONDS = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0, "y": 365.25 * 86_400.0}


@dataclass(frozen=True, slots=True)
class Choice:
    """What to delete. `before_utc_s`: what ended before then; `text`: what has it in its command.

    `runs` are keys of runs; None: those that the other two choose. `keep_totals`: runs stay, with
    their totals and without anything about their command.
    """

    runs: tuple[str, ...] | None
    before_utc_s: float | None
    text: str | None
    keep_totals: bool

    def takes(self, command: tuple[str, ...], ended_utc_s: float) -> bool:
        """Whether something with this command that ended then is chosen, names aside."""
        if self.before_utc_s is not None and ended_utc_s >= self.before_utc_s:
            return False
        return self.text is None or self.text.lower() in " ".join(command).lower()

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return self.runs is None and self.before_utc_s is None and self.text is None


def parse_age_s(text: str) -> float:
    """Seconds of `90d`, `12h`, `8w` or `2y`. Raises UsageError."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no age", hint="write 12h, 90d, 8w or 2y")
    return float(found[1]) * _SECONDS[found[2]]
