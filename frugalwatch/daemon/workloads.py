"""What a process belongs to, by names that the machine gives: control group, container, job, user.

A login name or a user's number is part of some control groups' paths. Unless users were switched on
in the configuration, they are cut out, and users do not appear at all.
"""

from __future__ import annotations

import re
from typing import TypeAlias

# kind and name, as in the ledger's table `workload`.
Workload: TypeAlias = tuple[str, str]

_LONGEST = 200
_LONG_ID = 12
# docker-<id>.scope, /docker/<id>, cri-containerd-<id>.scope, libpod-<id>.scope, crio-<id>.scope
_BY_RUNTIME = re.compile(r"(docker|libpod|cri-containerd|crio)[-/]([0-9a-f]{12,64})(?:\.scope|/|$)")
_IN_POD = re.compile(r"/kubepods[^/]*/.*/([0-9a-f]{64})(?:/|$)")
_LXC = re.compile(r"/lxc(?:\.payload\.|/)([^/]+)")
_MACHINE = re.compile(r"/machine\.slice/(?:machine-|systemd-nspawn@)(.+?)\.(?:scope|service)")
_SLURM = re.compile(r"^(.*slurm.*/job_(\d+))(?:/|$)")
_PERSON = re.compile(r"/(?:user-\d+\.slice|user@\d+\.service)(?:/.*)?$")
_UID = re.compile(r"/uid_\d+")


def cgroup_path(text: str) -> str:
    """The path of /proc/<pid>/cgroup that says most: version 2, else the longest of version 1."""
    best = ""
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        path = rest.partition(":")[2]
        if number == "0" and path not in ("", "/"):
            return path
        if len(path) > len(best):
            best = path
    return best or "/"


def workloads_of(path: str, *, slurm_job: str | None, by_user: bool) -> tuple[Workload, ...]:
    """The control group, the container and the SLURM job of a process with this cgroup path.

    `slurm_job` is what its environment says, for where the path says nothing.
    """
    found: list[Workload] = []
    container = _container(path)
    if container is not None:
        found.append(("container", container))
    job = _SLURM.match(path)
    if job is not None:
        slurm_job, path = job[2], job[1]
    if slurm_job:
        found.append(("slurm", slurm_job[:_LONGEST]))
    if not by_user:
        path = _UID.sub("/uid", _PERSON.sub("", path)) or "/"
    return (("cgroup", path[:_LONGEST]), *found)


def _container(path: str) -> str | None:
    runtime = _BY_RUNTIME.search(path)
    if runtime is not None:
        return f"{runtime[1]}:{runtime[2][:_LONG_ID]}"
    for kind, pattern in (("kubernetes", _IN_POD), ("lxc", _LXC), ("machine", _MACHINE)):
        found = pattern.search(path)
        if found is not None:
            name = found[1]
            return f"{kind}:{name[:_LONG_ID] if kind == 'kubernetes' else name}"
    return None
