"""Busy CPU time: the machine's, some CPUs', a cgroup's."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from collectors.cpu_time import busy_source, machine_busy_us
from collectors.host import Host
from collectors.limits import Limits, read_limits
from tests.support.machine_tree import ICE_LAKE_SP, MachineTree


@pytest.fixture
def tree(tmp_path: Path) -> MachineTree:
    tree = MachineTree(tmp_path)
    tree.cpu(ICE_LAKE_SP, 4)
    return tree


def test_busy_is_everything_but_idle_waiting_and_stolen(tree: MachineTree) -> None:
    tree.busy([1.0, 2.0, 0.5, 0.0], idle_s=999, steal_s=50)
    assert machine_busy_us(tree.host) == 3_500_000


def test_no_stat_is_unknown_not_zero(tmp_path: Path) -> None:
    assert machine_busy_us(Host(procfs=str(tmp_path))) is None


@pytest.mark.parametrize("text", ["", "cpu 1 2 3\n", "intr 5\n", "cpu a b c d e f g h\n"])
def test_a_damaged_stat_is_unknown(tree: MachineTree, text: str) -> None:
    tree.write("proc/stat", text)
    assert machine_busy_us(tree.host) is None


def test_a_cpuset_counts_its_own_cpus_only(tree: MachineTree) -> None:
    tree.allowed("1-2")
    tree.busy([100.0, 2.0, 0.5, 100.0])
    source = busy_source(tree.host, read_limits(tree.host, 4))
    assert (source.scope, source.busy_us()) == ("cpus 1-2", 2_500_000)


def test_a_quota_counts_its_own_cgroup_and_not_the_neighbours(tree: MachineTree) -> None:
    tree.cgroup_v2(cpu__max="200000 100000\n", cpu__stat="usage_usec 1234567\nuser_usec 1\n")
    tree.busy([100.0] * 4)
    source = busy_source(tree.host, read_limits(tree.host, 4))
    assert (source.scope, source.busy_us()) == ("cgroup", 1_234_567)


def test_a_v1_quota_counts_nanoseconds_of_cpuacct(tree: MachineTree) -> None:
    tree.cgroup_v1()
    tree.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n")
    tree.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    tree.write("sys/fs/cgroup/cpu,cpuacct/cpuacct.usage", "5000000000\n")
    assert busy_source(tree.host, read_limits(tree.host, 4)).busy_us() == 5_000_000


def test_without_accounting_a_quota_falls_back_to_the_cpus(tree: MachineTree) -> None:
    tree.cgroup_v2(cpu__max="200000 100000\n")
    tree.busy([1.0] * 4)
    source = busy_source(tree.host, read_limits(tree.host, 4))
    assert (source.scope, source.busy_us()) == ("machine", 4_000_000)


def test_a_cpu_that_went_offline_is_an_error_not_a_zero(tree: MachineTree) -> None:
    source = busy_source(tree.host, Limits(cpus=1.0, cpu_list=frozenset({77})))
    with pytest.raises(ValueError, match="no line for cpus 77"):
        source.busy_us()


def test_this_machine_counts_what_this_process_burns() -> None:
    host = Host()
    before, own_before = machine_busy_us(host), time.process_time()
    while time.process_time() - own_before < 0.3:
        sum(range(1000))
    after = machine_busy_us(host)
    assert before is not None
    assert after is not None
    assert 250_000 <= after - before <= (os.cpu_count() or 1) * 5_000_000
