"""CPU time by workload from walks over a /proc of the test's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from frugalwatch.daemon.processes import ProcessWatch

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


class Proc:
    """A folder that looks like /proc. Times are in ticks."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(
        self,
        pid: int,
        name: str,
        own: int,
        children: int = 0,
        *,
        parent: int = 1,
        start: int = 7,
        cgroup: str = "0::/\n",
        environ: bytes = b"",
    ) -> None:
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        fields = ["S", parent, 0, 0, 0, 0, 0, 0, 0, 0, 0, own, 0, children, 0, 20, 0, 1, 0, start]
        text = f"{pid} ({name}) {' '.join(map(str, fields))} 0 0\n"
        (folder / "stat").write_text(text)
        (folder / "cgroup").write_text(cgroup)
        (folder / "environ").write_bytes(environ)

    def end(self, pid: int) -> None:
        shutil.rmtree(self.root / str(pid))


def used(watch: ProcessWatch) -> dict[tuple[str, str], int]:
    """Ticks by workload since the last time."""
    return {key: us // _TICK_US for key, us in watch.take()[0].items()}


def test_what_was_used_before_the_first_walk_is_nobodys(tmp_path: Path) -> None:
    proc, watch = Proc(tmp_path), ProcessWatch(str(tmp_path))
    proc.put(10, "train", 500)
    watch.walk()
    assert used(watch) == {}
    proc.put(10, "train", 530)
    watch.walk()
    assert used(watch) == {("process", "train"): 30, ("cgroup", "/"): 30}


def test_a_new_process_is_credited_with_all_it_used(tmp_path: Path) -> None:
    proc, watch = Proc(tmp_path), ProcessWatch(str(tmp_path))
    watch.walk()
    proc.put(10, "odd) name (", 12)
    watch.walk()
    assert used(watch)["process", "odd) name ("] == 12


def test_children_that_came_and_went_are_in_their_parent(tmp_path: Path) -> None:
    proc, watch = Proc(tmp_path), ProcessWatch(str(tmp_path))
    proc.put(10, "make", 1)
    watch.walk()
    proc.put(10, "make", 2, children=40)
    watch.walk()
    assert used(watch)["process", "make"] == 41


def test_what_was_counted_of_a_child_is_not_counted_again_when_it_is_waited_for(
    tmp_path: Path,
) -> None:
    proc, watch = Proc(tmp_path), ProcessWatch(str(tmp_path))
    proc.put(10, "make", 1)
    watch.walk()
    proc.put(11, "cc", 30, parent=10)
    proc.put(12, "cc1", 5, parent=11)
    watch.walk()
    assert used(watch)["process", "cc"] == 30
    proc.end(11)
    proc.end(12)
    proc.put(10, "make", 1, children=37)  # 30 + 5 that were counted, and 2 in the meantime
    watch.walk()
    assert used(watch) == {("process", "make"): 2, ("cgroup", "/"): 2}


def test_a_reused_process_number_is_another_process(tmp_path: Path) -> None:
    proc, watch = Proc(tmp_path), ProcessWatch(str(tmp_path))
    proc.put(10, "old", 900)
    watch.walk()
    proc.put(10, "new", 4, start=8)
    watch.walk()
    assert used(watch) == {("process", "new"): 4, ("cgroup", "/"): 4}


def test_a_slurm_job_is_found_in_the_environment_where_no_cgroup_tells(tmp_path: Path) -> None:
    proc, watch = Proc(tmp_path), ProcessWatch(str(tmp_path))
    watch.walk()
    proc.put(10, "train", 9, environ=b"A=1\0SLURM_JOB_ID=4711\0SECRET=x\0")
    watch.walk()
    assert used(watch)["slurm", "4711"] == 9


def test_users_appear_only_when_switched_on(tmp_path: Path) -> None:
    proc = Proc(tmp_path)
    for by_user in (False, True):
        watch = ProcessWatch(str(tmp_path), by_user=by_user)
        proc.put(10, "train", 0, cgroup="0::/user.slice/user-1000.slice/session-3.scope\n")
        watch.walk()
        proc.put(10, "train", 9, cgroup="0::/user.slice/user-1000.slice/session-3.scope\n")
        watch.walk()
        found = used(watch)
        assert any(kind == "user" for kind, _ in found) is by_user
        assert any("1000" in name for _, name in found) is by_user


def test_kernel_threads_are_one_workload(tmp_path: Path) -> None:
    proc, watch = Proc(tmp_path), ProcessWatch(str(tmp_path))
    watch.walk()
    proc.put(20, "kworker/0:1", 3, parent=2)
    proc.put(21, "kworker/1:2", 4, parent=2)
    watch.walk()
    assert used(watch)["process", "[kernel]"] == 7


def test_the_real_proc_sees_this_very_process(tmp_path: Path) -> None:
    watch = ProcessWatch()
    watch.walk()
    begun = os.times()
    while os.times().user + os.times().system - begun.user - begun.system < 0.1:
        pass
    watch.walk()
    assert sum(watch.take()[0].values()) >= 90_000
    assert watch.workloads(os.getpid())[0][0] == "process"
