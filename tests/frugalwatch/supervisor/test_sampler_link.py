"""A sampler that cannot be started is tried again, with pauses, and costs nothing meanwhile."""

from __future__ import annotations

import os
import resource
from typing import cast

import pytest

from frugalwatch.sampler import context
from frugalwatch.sampler.context import Plan
from frugalwatch.supervisor import sampler_link
from frugalwatch.supervisor.sampler_link import JobEnd, SamplerLink
from tests.support.unprivileged import as_nobody

NO_PLAN = cast(Plan, None)  # no sampler comes to life here
END = JobEnd(1, 0, None, 0, "tree", 0)


def without(limit: int, value: int) -> tuple[list[float], int, object]:
    """Pauses before new tries, descriptors that leaked, and the answer, under a limit."""
    before = len(os.listdir("/proc/self/fd"))
    hard = resource.getrlimit(limit)[1]
    link = SamplerLink(NO_PLAN)
    pauses = []
    resource.setrlimit(limit, (value, hard))
    try:
        for _ in range(5):
            link.start()
            pauses.append(link.restart_in_s)
        answer = link.finish(END, patience_s=1.0, interrupted=lambda: False)
    finally:
        resource.setrlimit(limit, (hard, hard))
    assert link.pid is None
    return (
        [round(p, 1) for p in pauses if p is not None],
        len(os.listdir("/proc/self/fd")) - before,
        answer,
    )


def test_without_a_free_descriptor_the_pauses_grow_and_nothing_leaks() -> None:
    pauses, leaked, answer = as_nobody(lambda: list(without(resource.RLIMIT_NOFILE, 3)))
    assert pauses == [0.0, 0.1, 0.5, 2.0, 2.0]
    assert leaked == 0
    assert answer is None


def test_without_a_free_process_the_pauses_grow_and_nothing_leaks() -> None:
    pauses, leaked, answer = as_nobody(lambda: list(without(resource.RLIMIT_NPROC, 0)))
    assert pauses == [0.0, 0.1, 0.5, 2.0, 2.0]
    assert leaked == 0
    assert answer is None


def test_a_sampler_that_fails_at_its_birth_never_comes_back_as_a_second_supervisor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("before the sampler's own protection")

    monkeypatch.setattr(sampler_link, "become_sampler", fails)
    link = SamplerLink(NO_PLAN)
    link.start()
    assert link.pid is not None
    _, status = os.waitpid(link.pid, 0)
    assert os.WEXITSTATUS(status) == 70


def test_a_shelf_without_room_to_share_still_holds_what_is_put(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(context.mmap, "mmap", no_room)
    shelf = context.Shelf()
    assert shelf.put({"rapl": {"package-0": (1, 2)}})
    assert shelf.get() == {"rapl": {"package-0": (1, 2)}}
