"""The units: what systemd makes of them, and that the rights that they give are enough."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frugalwatch.daemon.install import own_command, set_up, unit
from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.e2e.kit import Frugalwatch
from tests.support.fake_sysfs import PowercapTree, Zone
from tests.support.unprivileged import NOBODY, as_nobody

_ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.parametrize("user", [False, True])
def test_a_unit_starts_this_installation(user: bool) -> None:
    text = unit(user=user)
    assert f"ExecStart={own_command()[0]}" in text
    assert "@" not in text.replace("@system-service", "").replace("@resources", "")
    assert "NoNewPrivileges=yes" in text
    assert len(set_up("frugalwatch", user=user)) == 2


def test_the_command_prints_the_unit_and_nothing_else_into_a_pipe(tmp_path: Path) -> None:
    result = Frugalwatch(tmp_path)("daemon", "install")
    assert (result.returncode, result.stdout.decode(), result.said) == (0, unit(user=False), "")


@pytest.mark.skipif(_ANALYZE is None, reason="no systemd-analyze")
def test_systemd_understands_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    file = tmp_path / "frugalwatch.service"
    file.write_text(unit(user=False))
    assert _ANALYZE is not None
    verified = subprocess.run(
        [_ANALYZE, "verify", file], check=False, capture_output=True, text=True
    )
    complaints = [line for line in verified.stderr.splitlines() if "frugalwatch.service" in line]
    assert complaints == []
    rated = subprocess.run(
        [_ANALYZE, "security", "--offline=true", file], check=False, capture_output=True, text=True
    )
    if "Overall exposure level" not in rated.stdout:
        pytest.skip("this systemd-analyze does not rate files")
    level = float(rated.stdout.rpartition("frugalwatch.service: ")[2].split()[0])
    assert level <= 2.0


@pytest.mark.skipif(os.getuid() != 0, reason="takes rights away, which needs root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_the_one_capability_of_the_unit_reads_counters_that_only_root_may_read(
    tmp_path: Path,
) -> None:
    for place in (tmp_path, *tmp_path.parents[:3]):
        place.chmod(place.stat().st_mode | 0o055)
    with PowercapTree(tmp_path, [Zone("package-0", start_j=5.0)]) as tree:
        counter = tree.energy_file("package-0")
        counter.chmod(0o400)
        assert as_nobody(lambda: os.access(counter, os.R_OK)) is False
        kit = DaemonKit(tmp_path, tree)
        kit.ledger.parent.mkdir()
        os.chown(kit.ledger.parent, NOBODY, NOBODY)
        kit.program.program = (
            *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all,+dac_read_search"),
            *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
            *(sys.executable, "-m", "frugalwatch"),
        )
        if kit.program("--version").returncode != 0:
            pytest.skip("another user cannot run this interpreter")
        try:
            kit.start()
            tree.set_j("package-0", 12.0)
            status, said = kit.end()
        finally:
            kit.close()
        assert (status, said) == (0, "")
        assert kit.rows("SELECT key FROM device") == [("rapl:package-0",)]
        assert kit.rows("SELECT max(energy_uj) FROM sample") == [(7_000_000,)]
        assert kit.ledger.stat().st_uid == NOBODY
