"""Every Python process of a job has the hook, and what it counted is told however it ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.frugalwatch.inside.kit import run_inside

COUNT = """
import os, sys, time
from _frugalwatch.line import process_line
from _frugalwatch.tallies import tallies_of
tally = tallies_of(process_line()).tally("call")
def work(count):
    for _ in range(count): tally.add(time.monotonic_ns())
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("1 / 0", 1),
        ("os.abort()", -6),
        ("os.execv('/bin/true', ['true'])", 0),
        ("os.execvp('sh', ['sh', '-c', 'exit 5'])", 5),
        ("os.execle('/bin/sh', 'sh', '-c', 'exit $A', {'A': '6'})", 6),
        ("from multiprocessing import Process; p = Process(target=work, args=(5,), daemon=True);"
         "p.start(); p.join()", 0),
    ],
)  # fmt: skip
def test_what_was_counted_is_told_however_the_process_ends(ending: str, code: int) -> None:
    ran = run_inside(f"{COUNT}\nwork(7)\n{ending}\n")
    assert ran.returncode == code, ran.stderr
    if code == -6:  # nothing runs then; what a tenth of a second has counted is lost
        assert ran.counts()["call"] in range(1, 8)
    else:
        assert ran.counts() == {"call": 12 if "Process" in ending else 7}


def test_a_way_out_that_fails_leaves_everything_as_it_was() -> None:
    ran = run_inside(
        COUNT + "import inspect, pickle\n"
        "work(2)\n"
        "for call in (lambda: os.execv('/nowhere', ['x']), lambda: os._exit('x')):\n"
        "    try: call()\n"
        "    except (OSError, TypeError) as error: print(error)\n"
        "work(1)\nprint(os._exit, inspect.signature(os._exit), os._exit.__name__)\n"
        "print(pickle.loads(pickle.dumps(os._exit)))\n"
    )
    plain = run_inside(
        "import os, inspect, pickle\n"
        "for call in (lambda: os.execv('/nowhere', ['x']), lambda: os._exit('x')):\n"
        "    try: call()\n"
        "    except (OSError, TypeError) as error: print(error)\n"
        "print(os._exit, inspect.signature(os._exit), os._exit.__name__)\n"
        "print(pickle.loads(pickle.dumps(os._exit)))\n",
        hooked=False,
    )
    assert (ran.returncode, ran.stdout) == (0, plain.stdout), ran.stderr
    assert ran.counts() == {"call": 3}


def test_a_program_that_becomes_another_one_says_hello_again(tmp_path: Path) -> None:
    script = tmp_path / "second.py"
    script.write_text(f"{COUNT}\nwork(2)")
    text = f"{COUNT}\nwork(3)\nos.execv({sys.executable!r}, ['python', {str(script)!r}])"
    ran = run_inside(text)
    assert ran.returncode == 0
    first, second = ran.told("hello")
    assert first[0] == second[0], "the same process"
    assert [first[6], second[6]] == ["-c", "second.py"]
    assert [message[3] for message in ran.told("count")][-1] == 2, "counted from its own start"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_have_the_hook(tmp_path: Path, method: str) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import multiprocessing as m, os, sys\n"
        "def child():\n"
        "    os.write(1, f\"{os.getpid()} {'_frugalwatch' in sys.modules}\\n\".encode())\n"
        "if __name__ == '__main__':\n"
        f"    context = m.get_context({method!r})\n"
        "    children = [context.Process(target=child) for _ in range(2)]\n"
        "    [c.start() for c in children]; [c.join() for c in children]\n"
    )
    ran = run_inside([sys.executable, str(script)])
    assert (ran.returncode, ran.stderr) == (0, "")
    children = {int(line.split()[0]) for line in ran.stdout.splitlines()}
    assert all(line.endswith("True") for line in ran.stdout.splitlines())
    assert children <= {message[0] for message in ran.told("hello")}


def test_console_scripts_and_children_of_shells_have_the_hook(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text(f"#!{sys.executable}\nprint('tool')\n")
    script.chmod(0o755)
    text = (
        "import subprocess, sys\n"
        f"subprocess.run([{str(script)!r}], check=True)\n"
        f"subprocess.run('{sys.executable} -c pass', shell=True, check=True)\n"
        "subprocess.run([sys.executable, '-c', 'pass'], env={}, check=True)\n"  # has none
    )
    ran = run_inside(text)
    assert ran.stdout == "tool\n"
    assert [message[6] for message in ran.told("hello")] == ["-c", "tool", "-c"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}, [3, 1, 4]),
        ({"SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_NTASKS": "8"}, [2, 0, 8]),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, [1, None, 2]),
        ({"RANK": "first"}, [None, None, None]),
        ({}, [None, None, None]),
    ],
)
def test_a_rank_is_what_the_launcher_says(
    variables: dict[str, str], expected: list[int | None]
) -> None:
    ((_, _, _, *place, _, _),) = run_inside("pass", **variables).told("hello")
    assert place == expected


DDP = """
import os, sys, torch
import torch.distributed as distributed, torch.multiprocessing as m
from torch.nn.parallel import DistributedDataParallel
def train(rank, store):
    torch.set_num_threads(1)
    if store: distributed.init_process_group(
        "gloo", init_method="file://" + store, rank=rank, world_size=2)
    else: distributed.init_process_group("gloo")
    torch.manual_seed(0)
    net = DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for number in range(5):
        with net.no_sync() if number % 2 else torch.enable_grad():
            net(torch.ones(3, 4)).sum().backward()
        if number % 2 == 0: optimizer.step()
    print(sum(p.sum().item() for p in net.parameters()), flush=True)
    distributed.barrier(); distributed.destroy_process_group()
if __name__ == "__main__":
    if len(sys.argv) > 1: m.start_processes(train, (sys.argv[1],), 2, start_method="fork")
    else: train(0, "")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ranks_that_torchrun_starts_are_told_apart_and_counted(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = tmp_path / "ddp.py"
    script.write_text(DDP)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ran = run_inside([*run, str(script)])
    assert ran.returncode == 0, ran.stderr
    places = {m[0]: m[3:6] for m in ran.told("hello") if m[3] is not None}
    assert sorted(places.values()) == [[0, 0, 2], [1, 1, 2]]
    assert [ran.counts(pid)["step"] for pid in places] == [3, 3]
    assert ran.told("problem") == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ranks_that_a_program_forks_are_told_apart_and_counted(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    script = tmp_path / "ddp.py"
    script.write_text(DDP)
    command = [sys.executable, str(script), str(tmp_path / "store")]
    ours = run_inside(command)
    assert ours.returncode == 0, ours.stderr
    assert len(set(ours.stdout.split())) == 1, "both ranks have the same weights"
    ranks = {m[0]: (m[2], m[4]) for m in ours.told("rank")}
    assert sorted(ranks.values()) == [(0, 2), (1, 2)]
    assert [ours.counts(pid)["step"] for pid in ranks] == [3, 3]
    assert ours.told("problem") == []
