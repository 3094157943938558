"""What a person chose on the screen, kept for the next time: theme and units, nothing else.

A small file of its own beside the ledger, since the configuration is a person's and the ledger is
only read here. Where it cannot be read or written the screen starts as it always did.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import NamedTuple

from frugalwatch.config.paths import state_dir
from frugalwatch.json_files import read_json

_NAME = "screen.json"


class Choices(NamedTuple):
    """Names as the screen knows them; empty: never chosen."""

    theme: str = ""
    unit: str = ""


class Memory:
    """Reads and writes `$XDG_STATE_HOME/frugalwatch/screen.json`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = os.path.join(state_dir(environ), _NAME)

    def read(self) -> Choices:
        """What was chosen last; nothing where that is not known or not readable."""
        found = read_json(self._path)
        return Choices(*(str(found.get(name, "")) for name in Choices._fields))

    def write(self, choices: Choices) -> None:
        """Keep this, in one step, so that two screens never write half of each."""
        partial = f"{self._path}.{os.getpid()}"
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            with open(partial, "w", encoding="utf-8") as file:
                json.dump(choices._asdict(), file)
            os.replace(partial, self._path)
