"""The program as a fixture, as the tests from end to end have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch


@pytest.fixture
def frugalwatch(tmp_path: Path) -> Frugalwatch:
    """The program with private folders, no counters and no GPU."""
    return Frugalwatch(tmp_path)
