"""What `doctor` says about the daemon, and the two lines that it gives to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugalwatch.config.settings import Settings
from frugalwatch.doctor.daemon import daemon_check
from frugalwatch.doctor.examine import SourceFound

_SHUT_OUT = SourceFound("rapl", (), "energy_uj is readable by root only since ...", "", False)
_ABSENT = SourceFound("rapl", (), "this machine shows no RAPL counters", "", False)


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    """Settings of a machine without a daemon."""
    return Settings(
        daemon_ledger=str(tmp_path / "none.db"), daemon_socket=str(tmp_path / "none.sock")
    )


def test_where_a_daemon_would_help_the_two_lines_are_shown(nowhere: Settings) -> None:
    check = daemon_check(nowhere, {}, [_SHUT_OUT])
    assert not check.ok
    for word in ("daemon install", "systemctl enable --now", "usermod -aG frugalwatch"):
        assert word in check.remedy


def test_where_it_would_not_help_the_lack_of_one_is_no_fault(nowhere: Settings) -> None:
    check = daemon_check(nowhere, {}, [_ABSENT])
    assert (check.ok, check.remedy) == (True, "")
