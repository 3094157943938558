"""What the supervisor hands to a sampler when it forks one."""

from __future__ import annotations

import marshal
import mmap
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from collectors.base import Collector, Device, Observation
from collectors.host import Host
from frugalwatch.config.settings import Settings
from frugalwatch.sampler.api_pipe import ApiPipe
from frugalwatch.sampler.cgroup import JobCgroup

if TYPE_CHECKING:  # loaded where a budget or an alert was asked for
    from frugalwatch.budgets.page import Page


class Opening(NamedTuple):
    """A collector that was opened, with its devices and its first look at them."""

    collector: Collector
    devices: tuple[Device, ...]
    first: tuple[Observation, ...]


class Plan(NamedTuple):
    """What is fixed before the job starts. A sampler may be forked with it and wait for the job."""

    run_key: str
    group_key: str | None
    parent_run_key: str | None
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    settings: Settings
    ledger_path: str
    host: Host
    supervisor_pid: int
    cgroup: JobCgroup | None
    api_pipe: ApiPipe | None
    shelf: Shelf
    page: Page | None = None  # where budgets or alerts are watched

    def clean_up(self) -> None:
        """Remove what was made for this run outside the ledger: its pipe and its cgroup."""
        if self.api_pipe is not None:
            self.api_pipe.remove()
        if self.cgroup is not None:
            self.cgroup.remove()


# Device, monotonic nanoseconds and micro-joules of readings from just before the job's start.
Zeros: TypeAlias = tuple[tuple[str, int, int], ...]


class JobStart(NamedTuple):
    """What is known once the job runs; plain enough to be told to a sampler that waits for it."""

    job_pid: int
    mono_ns: int
    utc_ns: int
    busy_us: int | None
    zeros: Zeros = ()
    warnings: tuple[str, ...] = ()

    def packed(self) -> bytes:
        """As bytes, for `unpacked` in a process of the same interpreter."""
        return marshal.dumps(tuple(self))

    @classmethod
    def unpacked(cls, data: bytes) -> JobStart:
        """What `packed` made."""
        return cls(*marshal.loads(data))


class RunContext(NamedTuple):
    """Everything about one run. Shared by the sampler and its replacements."""

    plan: Plan
    start: JobStart


class Shelf:
    """A page of memory shared with the sampler, where it keeps what a replacement must know.

    Survives `kill -9` of the sampler, since the supervisor maps it too. Two slots are written in
    turn and the number of the newest is set last, so that a writer killed half-way leaves the
    older slot whole.
    """

    _SLOT = 16384
    _TRIES = 20

    def __init__(self) -> None:
        size = 8 + 2 * self._SLOT
        self._memory: mmap.mmap | bytearray
        try:
            self._memory = mmap.mmap(-1, size)
        except OSError:  # no room to share: the job starts all the same, a replacement knows less
            self._memory = bytearray(size)

    def put(self, value: dict[str, dict[str, tuple[int, ...]]]) -> bool:
        """Store `value`; False if it is too large to fit, in which case the old one stays."""
        return self.put_bytes(marshal.dumps(value))

    def get(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """The last stored value, empty if there is none."""
        data = self.get_bytes()
        value: dict[str, dict[str, tuple[int, ...]]] = marshal.loads(data) if data else {}
        return value

    def put_bytes(self, data: bytes) -> bool:
        """Store bytes; False if they are too many, in which case the old ones stay."""
        if len(data) + 4 > self._SLOT:
            return False
        version = self._version() + 1
        offset = 8 + (version % 2) * self._SLOT
        self._memory[offset : offset + 4] = len(data).to_bytes(4, "little")
        self._memory[offset + 4 : offset + 4 + len(data)] = data
        self._memory[0:8] = version.to_bytes(8, "little")
        return True

    def get_bytes(self) -> bytes:
        """What was stored last, empty if nothing was.

        A writer that is two ahead overwrites what is being read: then it is read again. Empty, too,
        where the reader never gets to an end before that.
        """
        for _ in range(self._TRIES):
            version = self._version()
            if version == 0:
                return b""
            offset = 8 + (version % 2) * self._SLOT
            length = int.from_bytes(self._memory[offset : offset + 4], "little")
            data = bytes(self._memory[offset + 4 : offset + 4 + length])
            if self._version() == version:
                return data
        return b""

    def _version(self) -> int:
        return int.from_bytes(self._memory[0:8], "little")
