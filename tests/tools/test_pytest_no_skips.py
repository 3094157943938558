"""Where a skip is a failure, a skip must fail; anything else is left as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_one.py").write_text(f"import pytest\n\n{test}\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tools.pytest_no_skips", str(folder)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "test",
    [
        "def test_it():\n    pytest.skip('no server')",
        "@pytest.mark.skip\ndef test_it(): pass\n\ndef test_other(): pass",
        "pytest.skip('no server', allow_module_level=True)",
        "pytest.importorskip('no_such_module')",
    ],
)
def test_a_skip_fails_the_run_and_is_named(tmp_path: Path, test: str) -> None:
    result = run_pytest(tmp_path, test)
    assert result.returncode == 1
    assert "skipped, but must run here" in result.stdout
    assert "test_one.py" in result.stdout


@pytest.mark.parametrize(
    "test",
    ["def test_it(): pass", "@pytest.mark.xfail\ndef test_it():\n    raise AssertionError"],
)
def test_a_run_without_skips_passes(tmp_path: Path, test: str) -> None:
    assert run_pytest(tmp_path, test).returncode == 0
