"""The bench counts what the kernel knows, so it is checked against jobs whose cost is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The bench is a script with modules beside it; it is used as its users do, in a process of its own.
MEASURE = """
import dataclasses, json, os, sys
_, bench, program, folder = sys.argv
sys.path.insert(0, bench)
from metering import measure
cost = measure([sys.executable, "-c", program], environment=dict(os.environ), folder=folder,
               output=os.path.join(folder, "output"), memory_hz=50.0, job_name="sleep")
print(json.dumps(dataclasses.asdict(cost)))
"""


def measure(program: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-c", MEASURE, str(ROOT / "bench"), program, str(folder)]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    cost: dict[str, float] = json.loads(result.stdout)
    return cost


BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
DETACHED_BURN = f"""
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        exec({BURN!r})
    os._exit(0)
os.wait()
"""


def test_cpu_time_of_the_command_is_counted(tmp_path: Path) -> None:
    assert 0.4 <= measure(BURN, tmp_path)["cpu_s"] < 0.8


def test_cpu_time_of_a_helper_that_outlives_the_command_is_counted(tmp_path: Path) -> None:
    cost = measure(DETACHED_BURN, tmp_path)
    assert 0.4 <= cost["cpu_s"] < 0.8
    assert cost["lingering_s"] > 0.3


def test_memory_of_all_processes_is_added_without_the_jobs_own(tmp_path: Path) -> None:
    hold = "import os, time; b = bytearray(os.urandom(1)) * (30 << 20); time.sleep(0.6)"
    program = (
        "import subprocess, sys\n"
        # First: until it is `sleep`, a child of Python is another Python.
        "all = [subprocess.Popen(['sleep', '0.7'])]\n"
        f"all += [subprocess.Popen([sys.executable, '-c', {hold!r}]) for _ in range(2)]\n"
        "[one.wait() for one in all]\n"
    )
    cost = measure(program, tmp_path)
    assert 60 * 1024 < cost["peak_pss_kib"] < 110 * 1024
    assert 30 * 1024 < cost["largest_rss_kib"] < 55 * 1024
    assert cost["processes"] == 3  # the parent and the two that hold memory, not `sleep`


def test_exit_status_of_a_signal_is_128_and_its_number(tmp_path: Path) -> None:
    assert measure("import os; os.kill(os.getpid(), 15)", tmp_path)["exit_code"] == 143


def test_the_tools_output_does_not_reach_ours(tmp_path: Path) -> None:
    measure("import sys; print('out'); print('err', file=sys.stderr)", tmp_path)
    assert sorted((tmp_path / "output").read_text().split()) == ["err", "out"]
    assert os.listdir(tmp_path) == ["output"]


def test_steady_share_leaves_out_start_and_end(tmp_path: Path) -> None:
    # A tenth of a core in the middle, all of it at both ends.
    program = (
        "import time\n"
        "def burn(s):\n"
        "    end = time.process_time() + s\n"
        "    while time.process_time() < end: pass\n"
        "burn(0.5)\n"
        "for _ in range(40):\n"
        "    burn(0.01); time.sleep(0.09)\n"
        "burn(0.4)\n"
    )
    cost = measure(program, tmp_path)
    assert 0.08 < cost["steady_cpu_share"] < 0.14
    assert cost["cpu_s"] > 1.2
