"""What the hook tells becomes rows: each of them once, and not more than anybody can use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.ledger.journal import Journal
from frugalwatch.sampler import recorder as recorder_module
from frugalwatch.sampler.inside_messages import CountSaid, HelloSaid, SpentSaid, TimesSaid
from frugalwatch.sampler.messages import Listener, parse
from frugalwatch.sampler.recorder import Recorder
from tests.frugalwatch.ledger.kit import SECOND, Notices, run_end, run_start


class Job:
    """A run whose processes tell what a test says; the recorder looks once a second."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal = Journal(str(path), notify=Notices(), fallback_dirs=())
        self.journal.open_run(run_start())
        self.recorder = Recorder(self.journal)
        self.second = 100.0
        monkeypatch.setattr(
            recorder_module.time, "monotonic_ns", lambda: round(self.second * SECOND)
        )

    def tells(self, second: float, *lines: list[object], pid: int = 7) -> Job:
        self.second = second
        t = round(second * SECOND)
        messages = [parse(json.dumps([kind, pid, t, *rest]).encode()) for kind, *rest in lines]
        self.recorder.say([m for m in messages if m is not None])
        return self

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        self.recorder.close(round((self.second + 1) * SECOND))
        return self.journal.finish(run_end(int(self.second) + 2)).execute(query).fetchall()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    job = Job(tmp_path / "l.db", monkeypatch)
    yield job
    job.journal.close()


HELLO: list[object] = ["hello", "3.12.1", None, None, None, "train.py", ["torch"]]


def test_each_kind_is_understood() -> None:
    hello = b'["hello", 7, 100, "3.12.1", 1, 0, 2, "train.py", ["steps"]]'
    assert parse(hello) == HelloSaid(7, 100, "3.12.1", 1, 0, 2, "train.py", ("steps",))
    assert parse(b'["count", 7, 100, "step", 12, null]') == CountSaid(7, 100, "step", 12, None)
    assert parse(b'["count", 7, 100, "batch", 12, 384]') == CountSaid(7, 100, "batch", 12, 384)
    assert parse(b'["count", 7, 100, "step", 12, null, 90]') == CountSaid(7, 90, "step", 12, None)
    assert parse(b'["spent", 7, 100, {"data_wait": 5}]') == SpentSaid(7, 100, (("data_wait", 5),))
    assert parse(b'["times", 7, 100, "step", [[700, 2]]]') == TimesSaid(7, 100, "step", ((700, 2),))


@pytest.mark.parametrize(
    "line",
    [
        b'["count", 7, 100, "no unit", 12]',
        b'["count", 7, 100, "step", -1]',
        b'["count", 7, 100, "step", 1.5]',
        b'["spent", 7, 100, {"data_wait": -5}]',
        b'["spent", 7, 100, [1]]',
        b'["times", 7, 100, "step", [[3000, 1]]]',
        b'["hello", 7, 100]',
        b'["problem", 7, 100]',
    ],
)
def test_what_makes_no_sense_is_counted_and_left_out(line: bytes) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.write(writer, line + b'\n["step", 1, 2, 3]\n')
    listener = Listener(reader)
    assert len(listener.receive()) == 1
    assert listener.bad == 1
    os.close(reader)
    os.close(writer)


def test_of_several_tellings_between_two_looks_the_last_is_kept(job: Job) -> None:
    job.tells(101, HELLO, *(["count", "batch", n, n * 32] for n in range(1, 50)))
    assert job.rows("SELECT pid, unit, count, samples FROM unit_count") == [(7, "batch", 49, 1568)]


def test_rows_lie_further_apart_the_longer_a_run_lasts_and_the_last_is_there(job: Job) -> None:
    job.tells(101, HELLO)
    for number in range(500):
        job.tells(100_000 + number, ["count", "batch", number], ["spent", {"forward": number}])
    rows = job.rows("SELECT count FROM unit_count")
    assert rows[0] == (0,)
    assert rows[-1] == (499,)
    assert len(rows) == pytest.approx(500 / (100_000 / 4096), abs=3)


def test_nothing_new_needs_no_row_and_one_activity_brings_the_others_along(job: Job) -> None:
    """A row says of every activity how far it was: none may seem to have gone on in between."""
    job.tells(101, HELLO, ["spent", {"forward": 10, "data_wait": 5}])
    for second in range(102, 110):
        job.tells(second, ["spent", {"forward": 10, "data_wait": 5}])
    job.tells(110, ["spent", {"forward": 12, "data_wait": 5}])
    rows = job.rows("SELECT activity, spent_ns FROM activity ORDER BY activity, t_mono_ns")
    assert rows == [("data_wait", 5), ("data_wait", 5), ("forward", 10), ("forward", 12)]


def test_a_histogram_in_several_lines_is_one(job: Job) -> None:
    job.tells(101, HELLO, ["times", "step", [[700, 2]]], ["times", "step", [[710, 1]]])
    job.tells(102, ["times", "step", [[700, 4]]])
    assert job.rows("SELECT buckets FROM unit_time") == [("[[700, 4], [710, 1]]",)]


def test_a_program_that_becomes_another_one_counts_from_zero_again(job: Job) -> None:
    """os.execv: the same pid, a new interpreter."""
    job.tells(101, HELLO, ["count", "step", 9], ["times", "step", [[700, 9]]])
    job.tells(102, ["count", "step", 10], ["times", "step", [[700, 10]]])
    job.tells(103, HELLO, ["count", "step", 4], ["times", "step", [[800, 4]]])
    assert job.rows("SELECT count FROM unit_count ORDER BY t_mono_ns") == [(9,), (10,), (4,)]
    found = job.journal.finish(run_end(110)).execute("SELECT buckets FROM unit_time").fetchall()
    assert found == [("[[700, 10]]",), ("[[800, 4]]",)]


def test_a_phase_has_its_own_steps_however_seldom_steps_are_written(job: Job) -> None:
    job.tells(101, ["step", 1])
    job.tells(9_000, ["step", 5])
    job.tells(9_000.5, ["step", 7], ["begin", 1, "epoch", None], ["step", 9], ["end", 1])
    job.tells(9_001, ["step", 11])
    assert job.rows("SELECT steps FROM step ORDER BY t_mono_ns") == [(1,), (5,), (7,), (11,)]


def test_a_problem_is_said_once_and_a_flood_of_them_is_bounded(job: Job) -> None:
    job.tells(101, HELLO, *[["problem", "torch", "no step"]] * 3, ["note", "no loader"])
    job.tells(102, *(["problem", "torch", f"{n}"] for n in range(200)))
    rows = job.rows("SELECT kind, cause, detail FROM event ORDER BY id")
    assert rows[:2] == [("hook_problem", "torch", "no step"), ("hook_note", "", "no loader")]
    assert len(rows) == 50


def test_thousands_of_short_processes_are_summed_up(job: Job) -> None:
    for pid in range(1, 1_011):
        job.tells(101 + pid / 100, HELLO, pid=pid)
    (told,) = job.rows("SELECT detail FROM event WHERE kind = 'processes_not_listed'")
    assert told[0].startswith("10 further")
