"""What a control group's path says, and what of it is not stored."""

from __future__ import annotations

import pytest

from frugalwatch.daemon.workloads import cgroup_path, workloads_of

_ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/system.slice/docker-{_ID}.scope", "docker:0123456789ab"),
        (f"/docker/{_ID}", "docker:0123456789ab"),
        (f"/machine.slice/libpod-{_ID}.scope/container", "libpod:0123456789ab"),
        (
            f"/kubepods.slice/kubepods-burstable.slice/pod1.slice/cri-containerd-{_ID}.scope",
            "cri-containerd:0123456789ab",
        ),
        (f"/kubepods/burstable/pod12-34/{_ID}", "kubernetes:0123456789ab"),
        ("/lxc.payload.web1/system.slice/nginx.service", "lxc:web1"),
        ("/machine.slice/machine-build.scope/payload", "machine:build"),
    ],
)
def test_a_container_is_named_by_its_runtime(path: str, container: str) -> None:
    assert ("container", container) in workloads_of(path, slurm_job=None, by_user=False)


@pytest.mark.parametrize(
    "path",
    [
        "/slurm/uid_1000/job_4711/step_0/task_1",
        "/system.slice/slurmstepd.scope/job_4711/step_0/user/task_1",
        "/system.slice/node1_slurmstepd.scope/job_4711",
    ],
)
def test_a_slurm_job_is_named_by_its_control_group(path: str) -> None:
    found = workloads_of(path, slurm_job=None, by_user=False)
    assert ("slurm", "4711") in found
    assert not any("1000" in name or "step" in name.rpartition("/")[2] for _, name in found)


def test_a_plain_service_is_only_its_control_group() -> None:
    assert workloads_of("/system.slice/job_1.service", slurm_job=None, by_user=False) == (
        ("cgroup", "/system.slice/job_1.service"),
    )


@pytest.mark.parametrize("by_user", [False, True])
def test_a_persons_control_groups_are_cut_off_unless_users_are_on(by_user: bool) -> None:
    path = "/user.slice/user-1000.slice/user@1000.service/app.slice/editor.scope"
    ((_, name),) = workloads_of(path, slurm_job=None, by_user=by_user)
    assert name == (path if by_user else "/user.slice")


def test_version_two_is_taken_before_version_one() -> None:
    assert cgroup_path("4:memory:/a/b/c\n1:name=systemd:/a\n0::/x.service\n") == "/x.service"
    assert cgroup_path("4:memory:/a/b/c\n1:name=systemd:/a\n0::/\n") == "/a/b/c"
    assert cgroup_path("") == "/"
