"""How much of the machine this process may use: affinity, cpuset, CPU quota, memory limit.

In a container /proc shows the whole host. A model that charged 64 threads to a container of 4 would
be wrong by 16 times, so the model covers the slice.
"""

from typing import NamedTuple

from collectors.host import Host

# cgroup v1 prints "no limit" as the largest multiple of the page size below 2^63.
_NO_MEMORY_LIMIT_BYTES = 1 << 60


class Limits(NamedTuple):
    """What this process may use of the machine.

    `cpus` is the number of CPUs that may be used at once (2.5 under a quota of 250 %), None if
    nothing limits it. `cpu_list` names the hardware threads that may be used where affinity or a
    cpuset narrows them, else None. `quota_cgroup` is the folder of the cgroup that carries the
    tightest quota, None if there is no quota; `quota_version` is 1 or 2. `memory_bytes` is the
    limit, None if there is none.
    """

    cpus: float | None = None
    cpu_list: frozenset[int] | None = None
    quota_cpus: float | None = None
    quota_cgroup: str | None = None
    quota_version: int = 2
    memory_bytes: int | None = None

    @property
    def limited_by_quota(self) -> bool:
        """True if the quota, and not the list of CPUs, is what binds."""
        return self.quota_cpus is not None and self.cpus == self.quota_cpus


class _Hierarchy(NamedTuple):
    """One cgroup tree that this process can see: the folders from its own to the top."""

    version: int
    folders: tuple[str, ...]


def read_limits(host: Host, threads: int | None = None) -> Limits:
    """The limits on this process. `threads` is the number of hardware threads visible, if known.

    Files that cannot be read count as no limit: a limit is only ever what the kernel said.
    """
    trees = _hierarchies(host)
    allowed = _allowed_cpus(host)
    if allowed is not None and threads is not None and len(allowed) >= threads:
        allowed = None
    quota, folder, version = _tightest_quota(trees)
    candidates = [float(len(allowed))] if allowed is not None else []
    if quota is not None and (threads is None or quota < threads):
        candidates.append(quota)
    cpus = min(candidates) if candidates else None
    binds = quota is not None and cpus == quota
    return Limits(
        cpus=cpus,
        cpu_list=allowed,
        quota_cpus=quota,
        quota_cgroup=folder if binds else None,
        quota_version=version,
        memory_bytes=_tightest_memory(trees),
    )


def parse_cpu_list(text: str) -> frozenset[int]:
    """The CPUs in a kernel list such as `0-3,8,10-11`. Raises ValueError if it is not one."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if first:
            cpus.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(cpus)


def _allowed_cpus(host: Host) -> frozenset[int] | None:
    """Affinity and cpuset together, as the kernel applies them to this process."""
    for line in _read(host.proc("self", "status")).splitlines():
        if line.startswith("Cpus_allowed_list:"):
            try:
                return parse_cpu_list(line.partition(":")[2]) or None
            except ValueError:
                return None
    return None


def _tightest_quota(trees: dict[str, _Hierarchy]) -> tuple[float | None, str | None, int]:
    """The smallest quota on the way from this process's cgroup to the top, and where it stands."""
    best: tuple[float | None, str | None, int] = (None, None, 2)
    tree = trees.get("cpu")
    if tree is None:
        return best
    for folder in tree.folders:
        quota = _quota_v2(folder) if tree.version == 2 else _quota_v1(folder)
        if quota is not None and (best[0] is None or quota < best[0]):
            accounting = folder
            if tree.version == 1:
                accounting = _same_folder(folder, tree, trees.get("cpuacct"))
            best = (quota, accounting or None, tree.version)
    return best


def _quota_v2(folder: str) -> float | None:
    words = _read(f"{folder}/cpu.max").split()
    if len(words) != 2 or words[0] == "max":
        return None
    return _ratio(words[0], words[1])


def _quota_v1(folder: str) -> float | None:
    return _ratio(
        _read(f"{folder}/cpu.cfs_quota_us").strip(), _read(f"{folder}/cpu.cfs_period_us").strip()
    )


def _same_folder(folder: str, cpu: _Hierarchy, cpuacct: _Hierarchy | None) -> str:
    """Where cpuacct counts what `folder` of the cpu tree limits: the same level below its mount."""
    if cpuacct is None:
        return ""
    depth_from_top = len(cpu.folders) - cpu.folders.index(folder)
    if depth_from_top > len(cpuacct.folders):
        return ""
    return cpuacct.folders[len(cpuacct.folders) - depth_from_top]


def _tightest_memory(trees: dict[str, _Hierarchy]) -> int | None:
    tree = trees.get("memory")
    if tree is None:
        return None
    name = "memory.max" if tree.version == 2 else "memory.limit_in_bytes"
    limits: list[int] = []
    for folder in tree.folders:
        text = _read(f"{folder}/{name}").strip()
        if text.isdigit() and int(text) < _NO_MEMORY_LIMIT_BYTES:
            limits.append(int(text))
    return min(limits) if limits else None


def _hierarchies(host: Host) -> dict[str, _Hierarchy]:
    """The cgroup trees by controller (cpu, cpuacct, memory); v1 where it is mounted, else v2."""
    paths: dict[str, str] = {}
    for line in _read(host.proc("self", "cgroup")).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(",") if number != "0" else ("",):
            paths[controller] = path
    trees: dict[str, _Hierarchy] = {}
    for line in _read(host.proc("self", "mountinfo")).splitlines():
        left, separator, right = line.partition(" - ")
        if not separator:
            continue
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, mount = _unescape(fields[3]), _unescape(fields[4])
        folder = _below_host(host, mount)
        if kind[0] == "cgroup2":
            folders = _levels(folder, root, paths.get("", "/"))
            for controller in ("cpu", "memory"):
                trees.setdefault(controller, _Hierarchy(2, folders))
        else:
            for controller in kind[2].split(","):
                if controller in ("cpu", "cpuacct", "memory") and controller in paths:
                    folders = _levels(folder, root, paths[controller])
                    trees[controller] = _Hierarchy(1, folders)
    return trees


def _levels(mount: str, root: str, path: str) -> tuple[str, ...]:
    """Folders from this process's cgroup up to the mount point, innermost first.

    `root` is the part of the tree that is mounted (mountinfo field 4). A path outside of it, as a
    container without its own cgroup namespace may show, leaves the mount point itself, which in
    such a container *is* its own cgroup.
    """
    if root != "/" and path.startswith(root):
        path = path[len(root) :]
    if path.startswith("/.."):
        path = "/"
    parts = [part for part in path.split("/") if part]
    return tuple("/".join([mount, *parts[:count]]) for count in range(len(parts), -1, -1))


def _below_host(host: Host, mount: str) -> str:
    """A mount point below /sys, moved to where the host's /sys was said to be."""
    return host.sysfs + mount[4:] if mount.startswith("/sys/") else mount


def _unescape(text: str) -> str:
    # mountinfo writes blanks in octal (proc_pid_mountinfo(5)).
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isdigit() and period.isdigit() and int(period) > 0):
        return None  # "-1" is "no quota" in v1
    return int(quota) / int(period)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
