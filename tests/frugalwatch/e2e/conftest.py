"""The program as a fixture: `frugalwatch(...)` runs it, `.measure(...)` reads the run object."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, program_as_nobody, public_copy
from tests.support.unprivileged import NOBODY


@pytest.fixture
def frugalwatch(tmp_path: Path) -> Frugalwatch:
    """The program with private folders, no counters and no GPU."""
    return Frugalwatch(tmp_path)


@pytest.fixture
def as_nobody() -> Iterator[Frugalwatch]:
    """The program run by a user without rights, in folders that are that user's."""
    # pytest's own temporary folder is closed to other users.
    folder = Path(tempfile.mkdtemp(prefix="fw-nobody-"))
    try:
        folder.chmod(0o755)
        (folder / "own").mkdir()
        program = program_as_nobody(public_copy(folder / "copy"))
        fixture = Frugalwatch(folder / "own", program=program)
        if os.getuid() == 0:
            for path in (folder / "own", *(folder / "own").iterdir()):
                os.chown(path, NOBODY, NOBODY)
        yield fixture
    finally:
        shutil.rmtree(folder, ignore_errors=True)
