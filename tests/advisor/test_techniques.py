"""When each technique is offered, and the reason that a person reads when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.techniques import techniques
from advisor.techniques.allocator import Allocator
from advisor.techniques.base import Change, Facts, export_lines
from advisor.techniques.spinning import Spinning
from advisor.techniques.threads import Threads


def facts(
    environment: dict[str, str] | None = None,
    cpus: int = 4,
    cores: int = 2,
    threads_peak: int | None = 4,
    libraries: frozenset[str] | None = frozenset({"libgomp.so.1"}),
) -> Facts:
    return Facts(environment or {}, cpus, cores, threads_peak, libraries)


def test_one_thread_is_offered_to_a_program_with_several() -> None:
    assert Threads().applies(facts()).yes
    (offered,) = Threads().variants(facts())
    assert offered.change.set["OMP_NUM_THREADS"] == "1"
    assert offered.claim == "cpu"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (facts(cpus=1), "only one CPU"),
        (facts({"OMP_NUM_THREADS": "2"}), "you set the number of threads yourself (2)"),
        (facts({"MKL_NUM_THREADS": "8"}), "yourself (8)"),
        (facts(threads_peak=1), "no process had more than one thread"),
    ],
)
def test_threads_say_why_not(known: Facts, reason: str) -> None:
    answer = Threads().applies(known)
    assert not answer.yes
    assert reason in answer.reason


def test_all_cores_are_offered_where_fewer_threads_were_set() -> None:
    known = facts({"OMP_NUM_THREADS": "1"})
    assert Threads().applies(known).yes
    (offered,) = Threads().variants(known)
    assert offered.change.set["OMP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (facts(libraries=frozenset({"libc.so.6"})), "no OpenMP runtime"),
        (facts({"OMP_WAIT_POLICY": "ACTIVE"}), "you set OMP_WAIT_POLICY yourself"),
        (facts(cpus=1), "only one CPU"),
        (facts(threads_peak=1), "more than one thread"),
    ],
)
def test_spinning_says_why_not(known: Facts, reason: str) -> None:
    answer = Spinning().applies(known)
    assert not answer.yes
    assert reason in answer.reason


def test_passive_waiting_is_offered_with_an_openmp_runtime() -> None:
    assert Spinning().applies(facts(libraries=frozenset({"libiomp5.so"}))).yes
    assert Spinning().applies(facts(libraries=None)).yes  # nobody could look: try it


def test_allocators_are_offered_where_they_are_installed(tmp_path: Path) -> None:
    here = Allocator([str(tmp_path)])
    assert not here.applies(facts()).yes
    (tmp_path / "libjemalloc.so.2").touch()
    assert here.applies(facts()).yes
    assert here.variants(facts())[0].change.set == {"LD_PRELOAD": f"{tmp_path}/libjemalloc.so.2"}
    assert "LD_PRELOAD" in here.applies(facts({"LD_PRELOAD": "x.so"})).reason


def test_changes_add_up_and_the_later_one_wins() -> None:
    both = Change({"A": "1", "B": "1"}, ("C",)).with_(Change({"B": "2"}))
    assert both == Change({"A": "1", "B": "2"}, ("C",))
    assert export_lines(both) == "export A=1\nexport B=2\nunset C"


def test_names_of_techniques_are_their_own() -> None:
    names = [t.name for t in techniques()]
    assert len(names) == len(set(names))
