"""CPU time of the job so far, and its processes, by the best means this run has."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from frugalwatch.sampler.context import RunContext
from frugalwatch.sampler.job_tree import TreeUse, known_use, process_use, tree_use

if TYPE_CHECKING:  # loaded at the first look: a job shorter than that has no account
    from frugalwatch.sampler.job_processes import ProcessAccount

# Finding a job's processes means looking at each of their threads; four trainings have a hundred.
# Who is new or gone meanwhile is inside a parent's figure, or in the next walk's.
_WALK_EVERY_NS = 950_000_000


class JobMeter:
    """Reads the job's cgroup where it has one, else walks its process tree."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._highest_us = 0
        self.ignores_children = False
        self.pids: frozenset[int] = frozenset()
        self._walked_ns = 0
        self._tree_pids: frozenset[int] = frozenset()
        self._processes: ProcessAccount | None = None

    @property
    def processes(self) -> ProcessAccount:
        """What each process used, as far as it was looked at."""
        if self._processes is None:
            from frugalwatch.sampler.job_processes import ProcessAccount

            self._processes = ProcessAccount()
        return self._processes

    def look(self, *, orphaned: bool) -> int:
        """CPU micro-seconds so far; never falls. `orphaned`: the supervisor is gone."""
        now_ns = time.monotonic_ns()
        use = None
        if orphaned or now_ns - self._walked_ns >= _WALK_EVERY_NS:
            use = self._tree(orphaned=orphaned)
            self._walked_ns, self._tree_pids = now_ns, use.pids
            self.ignores_children = self.ignores_children or use.ignores_children
            cpu_us = use.cpu_us
        else:
            cpu_us = known_use(self._tree_pids)
        self.pids = self._tree_pids
        if self._context.plan.cgroup is not None:
            cpu_us = self._context.plan.cgroup.cpu_us() or cpu_us
            self.pids = self.pids.union(self._context.plan.cgroup.pids())
        if use is not None:
            away = map(process_use, self.pids - use.pids)  # in the group, and not below us
            found = (*use.processes, *(process for process in away if process is not None))
            self.processes.look(found, now_ns)
        self._highest_us = max(self._highest_us, cpu_us)
        return self._highest_us

    def _tree(self, *, orphaned: bool) -> TreeUse:
        if orphaned:
            return tree_use(self._context.start.job_pid, leave_out=frozenset(), with_root=True)
        return tree_use(self._context.plan.supervisor_pid, leave_out=frozenset({os.getpid()}))
