"""CPU time of everything that runs, by workload, from walks over /proc.

One read of /proc/<pid>/stat a process and walk (12 us); what a process belongs to is looked up when
it first uses CPU time. A process that came and went between two walks is not lost where its parent
waited for it: its time is in the parent's, from which what was counted before is taken off.
"""

from __future__ import annotations

import os

from frugalwatch.daemon.workloads import Workload, cgroup_path, workloads_of

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_KTHREADD = 2
# A process may be moved to another control group; one that works is looked up again after so many
# walks.
_LOOK_UP_AGAIN = 6
_ENVIRON_BYTES = 65_536


class _Seen:
    """One process as of the last walk. Times in ticks of the kernel."""

    __slots__ = ("children", "looked_up", "own", "parent", "place", "start", "walk")

    def __init__(self, start: bytes) -> None:
        self.start = start
        self.own = 0
        self.children = 0
        self.parent = 0
        self.walk = 0
        self.place: tuple[Workload, ...] = ()
        self.looked_up = -_LOOK_UP_AGAIN


class ProcessWatch:
    """CPU micro-seconds by workload since the last `take()`."""

    def __init__(self, procfs: str = "/proc", *, by_user: bool = False) -> None:
        self._procfs = procfs
        self._by_user = by_user
        self._users: dict[int, str] = {}
        self._seen: dict[str, _Seen] = {}
        self._walk = 0
        self._used: dict[Workload, int] = {}
        self._total_us = 0

    @property
    def count(self) -> int:
        """How many processes the last walk saw."""
        return len(self._seen)

    def walk(self) -> None:
        """Look at every process once and credit what each has used since the last walk."""
        self._walk += 1
        first = self._walk == 1
        waited: list[tuple[str, _Seen, bytes, int]] = []
        for pid in os.listdir(self._procfs):
            if not pid.isdigit():
                continue
            data = _read(f"{self._procfs}/{pid}/stat", 1024)
            end = data.rfind(b")")
            fields = data[end + 2 :].split(None, 20)
            if len(fields) < 20:
                continue
            seen = self._seen.get(pid)
            new = seen is None or seen.start != fields[19]
            if seen is None or new:
                if seen is not None:  # the number was given to another process
                    self._seen[f"{pid} "] = seen
                seen = self._seen[pid] = _Seen(fields[19])
            own = int(fields[11]) + int(fields[12])
            children = int(fields[13]) + int(fields[14])
            used, of_children = own - seen.own, children - seen.children
            seen.own, seen.children = own, children
            seen.parent, seen.walk = int(fields[1]), self._walk
            if first:
                continue
            if used > 0:
                self._credit(pid, seen, data[:end], used)
            if of_children > 0:
                waited.append((pid, seen, data[:end], of_children))
        gone = self._gone()
        for pid, seen, head, of_children in waited:
            used = of_children - gone.get(pid, 0)
            if used > 0:
                self._credit(pid, seen, head, used)

    def take(self) -> tuple[dict[Workload, int], int]:
        """Micro-seconds by workload, and of all that was seen, since the last call."""
        taken = self._used, self._total_us
        self._used, self._total_us = {}, 0
        return taken

    def workloads(self, pid: int) -> tuple[Workload, ...]:
        """What a process belongs to, whether it was walked over or not."""
        data = _read(f"{self._procfs}/{pid}/stat", 1024)
        seen = self._seen.get(str(pid)) or _Seen(b"")
        return self._workloads(str(pid), seen, data[: data.rfind(b")")])

    def _gone(self) -> dict[str, int]:
        """Ticks that were counted of processes which are gone, by their nearest living ancestor."""
        ended = {pid: seen for pid, seen in self._seen.items() if seen.walk != self._walk}
        counted: dict[str, int] = {}
        for pid, seen in ended.items():
            parent = str(seen.parent)
            for _ in range(len(ended)):
                if parent not in ended:
                    break
                parent = str(ended[parent].parent)
            counted[parent] = counted.get(parent, 0) + seen.own + seen.children
            del self._seen[pid]
        return counted

    def _credit(self, pid: str, seen: _Seen, head: bytes, ticks: int) -> None:
        used_us = ticks * _TICK_US
        self._total_us += used_us
        for workload in self._workloads(pid, seen, head):
            self._used[workload] = self._used.get(workload, 0) + used_us

    def _workloads(self, pid: str, seen: _Seen, head: bytes) -> tuple[Workload, ...]:
        kernel = seen.parent == _KTHREADD or pid == str(_KTHREADD)
        if kernel:
            return (("process", "[kernel]"), ("cgroup", "/"))
        if self._walk - seen.looked_up >= _LOOK_UP_AGAIN:
            seen.place = self._look_up(pid) or seen.place or (("cgroup", "/"),)
            seen.looked_up = self._walk
        name = head.partition(b"(")[2].decode(errors="replace")
        return (("process", name), *seen.place)

    def _look_up(self, pid: str) -> tuple[Workload, ...]:
        text = _read(f"{self._procfs}/{pid}/cgroup", 4096).decode(errors="replace")
        if not text:
            return ()
        job = self._slurm_job(pid) if "/job_" not in text else None
        found = workloads_of(cgroup_path(text), slurm_job=job, by_user=self._by_user)
        return (*found, ("user", self._user(pid))) if self._by_user else found

    def _slurm_job(self, pid: str) -> str | None:
        """SLURM_JOB_ID of its environment, where that may be read; nothing else is looked at."""
        data = b"\0" + _read(f"{self._procfs}/{pid}/environ", _ENVIRON_BYTES)
        value = data.partition(b"\0SLURM_JOB_ID=")[2].partition(b"\0")[0]
        return value.decode() if value.isdigit() else None

    def _user(self, pid: str) -> str:
        import pwd  # only where users were switched on

        try:
            uid = os.stat(f"{self._procfs}/{pid}").st_uid
        except OSError:
            return "(gone)"
        if uid not in self._users:
            try:
                self._users[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self._users[uid] = str(uid)
        return self._users[uid]


def _read(path: str, most: int) -> bytes:
    """The beginning of a file of /proc, empty if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, most)
    except OSError:  # it ended between the two
        return b""
    finally:
        os.close(descriptor)
