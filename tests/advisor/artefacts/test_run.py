"""The process that builds one artefact: it ends with the advise that started it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_BUILDS = """
import sys, time
from advisor.artefacts.run import end_with

end_with(int(sys.argv[1]))
print("building", flush=True)
time.sleep(100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="process descriptors are Linux's")
def test_a_builder_ends_when_its_advise_is_killed() -> None:
    advise = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    builder = subprocess.Popen(
        [sys.executable, "-c", _BUILDS, str(advise.pid)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "building\n"
        advise.kill()
        advise.wait()
        assert builder.wait(timeout=60) == 1
    finally:
        for process in (advise, builder):
            process.kill()
            process.communicate()


def test_techniques_and_commands_import_no_optuna() -> None:
    code = "import sys, advisor.techniques, frugalwatch.cli; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
