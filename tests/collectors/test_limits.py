"""What a container leaves of the machine, read from trees laid out as the kernel does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cpu_time import format_cpu_list
from collectors.host import Host
from collectors.limits import parse_cpu_list, read_limits
from tests.support.machine_tree import ICE_LAKE_SP, MachineTree

GIB = 1 << 30


@pytest.fixture
def tree(tmp_path: Path) -> MachineTree:
    tree = MachineTree(tmp_path)
    tree.cpu(ICE_LAKE_SP, 64)
    tree.memory(512 * GIB)
    return tree


def test_a_bare_machine_has_no_limits(tree: MachineTree) -> None:
    limits = read_limits(tree.host, 64)
    assert (limits.cpus, limits.cpu_list, limits.memory_bytes) == (None, None, None)


def test_a_missing_proc_means_no_limits(tmp_path: Path) -> None:
    assert read_limits(Host(str(tmp_path), str(tmp_path)), 64).cpus is None


def test_quota_of_a_v2_container_in_its_own_namespace(tree: MachineTree) -> None:
    tree.cgroup_v2(cpu__max="250000 100000\n", memory__max=f"{8 * GIB}\n")
    limits = read_limits(tree.host, 64)
    assert (limits.cpus, limits.memory_bytes) == (2.5, 8 * GIB)
    assert limits.limited_by_quota
    assert limits.quota_cgroup == f"{tree.host.sysfs}/fs/cgroup"


def test_max_is_no_limit(tree: MachineTree) -> None:
    tree.cgroup_v2(cpu__max="max 100000\n", memory__max="max\n")
    limits = read_limits(tree.host, 64)
    assert (limits.cpus, limits.memory_bytes) == (None, None)


def test_the_tightest_quota_on_the_way_up_binds(tree: MachineTree) -> None:
    tree.cgroup_v2("/user.slice/job.scope")
    tree.write("sys/fs/cgroup/user.slice/cpu.max", "200000 100000\n")
    tree.write("sys/fs/cgroup/user.slice/job.scope/cpu.max", "400000 100000\n")
    tree.write("sys/fs/cgroup/user.slice/memory.max", f"{4 * GIB}\n")
    limits = read_limits(tree.host, 64)
    assert (limits.cpus, limits.memory_bytes) == (2.0, 4 * GIB)
    assert limits.quota_cgroup == f"{tree.host.sysfs}/fs/cgroup/user.slice"


def test_v2_docker_without_namespace_mounts_its_own_folder_as_the_root(tree: MachineTree) -> None:
    tree.cgroup_v2("/docker/abc", root="/docker/abc", cpu__max="400000 100000\n")
    assert read_limits(tree.host, 64).cpus == 4.0


def test_a_path_outside_the_namespace_means_the_mount_point(tree: MachineTree) -> None:
    tree.cgroup_v2(cpu__max="300000 100000\n")
    tree.write("proc/self/cgroup", "0::/../../elsewhere\n")
    tree.write("sys/elsewhere/cpu.max", "100000 100000\n")  # what a naive join would find
    assert read_limits(tree.host, 64).cpus == 3.0


@pytest.mark.parametrize(("own", "root"), [("/", "/"), ("/docker/abc", "/docker/abc")])
def test_quota_and_memory_of_a_v1_container(tree: MachineTree, own: str, root: str) -> None:
    tree.cgroup_v1(own, root)
    tree.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n")
    tree.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "50000\n")
    tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", f"{16 * GIB}\n")
    limits = read_limits(tree.host, 64)
    assert (limits.cpus, limits.memory_bytes, limits.quota_version) == (3.0, 16 * GIB, 1)
    assert limits.quota_cgroup == f"{tree.host.sysfs}/fs/cgroup/cpu,cpuacct"


def test_v1_says_no_limit_with_minus_one_and_a_huge_number(tree: MachineTree) -> None:
    tree.cgroup_v1()
    tree.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    tree.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    limits = read_limits(tree.host, 64)
    assert (limits.cpus, limits.memory_bytes) == (None, None)


def test_v1_with_cpu_and_cpuacct_apart_finds_the_same_level(tree: MachineTree) -> None:
    tree.write("proc/self/cgroup", "3:cpu:/a/b\n2:cpuacct:/a/b\n")
    tree.write(
        "proc/self/mountinfo",
        "1 0 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "2 0 0:2 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n",
    )
    tree.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n")
    tree.write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n")
    assert read_limits(tree.host, 64).quota_cgroup == f"{tree.host.sysfs}/fs/cgroup/cpuacct/a"


def test_cpuset_or_affinity_narrows_the_list(tree: MachineTree) -> None:
    tree.allowed("0-1,8,10-11")
    limits = read_limits(tree.host, 64)
    assert (limits.cpus, limits.cpu_list) == (5.0, frozenset({0, 1, 8, 10, 11}))
    assert not limits.limited_by_quota


def test_quota_below_the_cpuset_binds_and_above_it_does_not(tree: MachineTree) -> None:
    tree.allowed("0-3")
    tree.cgroup_v2(cpu__max="200000 100000\n")
    assert read_limits(tree.host, 64).limited_by_quota
    tree.cgroup_v2(cpu__max="800000 100000\n")
    limits = read_limits(tree.host, 64)
    assert (limits.cpus, limits.limited_by_quota, limits.quota_cgroup) == (4.0, False, None)


def test_a_quota_wider_than_the_machine_limits_nothing(tree: MachineTree) -> None:
    tree.cgroup_v2(cpu__max="12800000 100000\n")
    assert read_limits(tree.host, 64).cpus is None


@pytest.mark.parametrize("text", ["", "junk", "100000", "x y", "100000 0"])
def test_a_damaged_quota_counts_as_none(tree: MachineTree, text: str) -> None:
    tree.cgroup_v2(cpu__max=text)
    assert read_limits(tree.host, 64).cpus is None


@given(st.sets(st.integers(0, 300), min_size=1).map(frozenset))
def test_cpu_lists_survive_writing_and_reading(cpus: frozenset[int]) -> None:
    assert parse_cpu_list(format_cpu_list(cpus)) == cpus


def test_the_affinity_of_this_very_process_is_seen() -> None:
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    threads = os.cpu_count() or 1
    if threads < 2:
        pytest.skip("one CPU cannot be narrowed")
    os.sched_setaffinity(0, one)
    try:
        assert read_limits(Host(), threads).cpu_list == frozenset(one)
    finally:
        os.sched_setaffinity(0, allowed)
