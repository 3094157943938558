"""Which processes are the job's and what CPU time they used, from a /proc of our own making."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frugalwatch.sampler.job_tree import (
    ProcessUse,
    known_use,
    process_use,
    start_time,
    tree_use,
)

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
SIGCHLD_IGNORED = 1 << 16


class Processes:
    """A /proc with nothing but what the tree needs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self,
        pid: int,
        *,
        children: str = "",
        ticks: tuple[int, int, int, int] = (0, 0, 0, 0),
        name: str = "python",
        ignored: int = 0,
    ) -> None:
        folder = self.root / str(pid) / "task" / str(pid)
        folder.mkdir(parents=True)
        (folder / "children").write_text(children)
        fields = ["S", *["0"] * 10, *map(str, ticks), *["0"] * 4, "4711", *["0"] * 20]
        fields[30] = str(ignored)
        (self.root / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path)


def test_all_generations_and_the_children_they_waited_for_are_added_up(
    processes: Processes,
) -> None:
    processes.add(1, children="2 3", ticks=(1000, 0, 0, 0))
    processes.add(2, children="4", ticks=(1, 2, 3, 4))
    processes.add(3, ticks=(10, 0, 0, 0))
    processes.add(4, ticks=(0, 0, 0, 100))
    use = tree_use(1, leave_out=frozenset(), procfs=str(processes.root))
    assert use.cpu_us == 120 * TICK_US
    assert use.pids == {2, 3, 4}
    own = {process.pid: process.own_us for process in use.processes}
    assert own == {2: 3 * TICK_US, 3: 10 * TICK_US, 4: 0}, "without their children's"
    assert not use.ignores_children
    assert tree_use(1, leave_out=frozenset({2}), procfs=str(processes.root)).pids == {3}
    with_root = tree_use(1, leave_out=frozenset(), with_root=True, procfs=str(processes.root))
    assert with_root.cpu_us == 1120 * TICK_US


def test_a_name_with_brackets_and_spaces_is_no_field(processes: Processes) -> None:
    processes.add(1, children="2")
    processes.add(2, name="a) S 1 (b", ticks=(7, 0, 0, 0))
    assert tree_use(1, leave_out=frozenset(), procfs=str(processes.root)).cpu_us == 7 * TICK_US
    assert start_time(2, str(processes.root)) == 4711
    found = process_use(2, str(processes.root))
    assert found == ProcessUse(2, 4711, "a) S 1 (b", 7 * TICK_US)


def test_a_process_that_ended_meanwhile_is_no_error(processes: Processes) -> None:
    processes.add(1, children="2 99")
    processes.add(2, ticks=(5, 0, 0, 0))
    assert tree_use(1, leave_out=frozenset(), procfs=str(processes.root)).pids == {2}
    assert start_time(99, str(processes.root)) is None
    assert process_use(99, str(processes.root)) is None


def test_a_parent_that_ignores_its_children_is_noticed(processes: Processes) -> None:
    processes.add(1, children="2")
    processes.add(2, ignored=SIGCHLD_IGNORED)
    assert tree_use(1, leave_out=frozenset(), procfs=str(processes.root)).ignores_children


def test_samplers_and_readers_are_no_part_of_a_job(processes: Processes) -> None:
    processes.add(1, children="2 3 4")
    for pid, name in ((2, "fw-sampler"), (3, "fw-nvidia"), (4, "fw-train")):
        processes.add(pid, name=name, ticks=(9, 0, 0, 0))
    assert tree_use(1, leave_out=frozenset(), procfs=str(processes.root)).pids == {4}


def test_between_two_walks_those_that_are_known_are_read_and_those_gone_left_out(
    processes: Processes,
) -> None:
    processes.add(2, children="4", ticks=(1, 2, 3, 4))
    processes.add(4, ticks=(0, 0, 0, 100))
    assert known_use(frozenset({2, 4, 77}), procfs=str(processes.root)) == 110 * TICK_US
