"""The parts of a budget that a whole run shows too slowly: grace, silence, a second supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.base import Reading
from collectors.host import Host
from frugalwatch.budgets.crier import Crier
from frugalwatch.budgets.page import Page, signal_job
from frugalwatch.budgets.run_watch import RunWatch
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.journal import Journal
from frugalwatch.sampler.context import JobStart, Plan, RunContext, Shelf
from frugalwatch.sampler.grid import GridWatch
from tests.frugalwatch.ledger.kit import SECOND, Notices, device, run_start

IGNORES_TERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(100)
"""


@pytest.fixture
def job() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", IGNORES_TERM], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


class Watched:
    """A run's watch beside a real journal, without a sampler around it."""

    def __init__(self, folder: Path, job_pid: int, settings: Settings, page: Page) -> None:
        self.page = page
        self.begun = time.monotonic_ns()
        plan = Plan(
            run_key="run",
            group_key=None,
            parent_run_key=None,
            argv=("x",),
            cwd="/",
            environment={},
            settings=settings,
            ledger_path=str(folder / "ledger.db"),
            host=Host.from_environment(),
            supervisor_pid=os.getpid(),
            cgroup=None,
            api_pipe=None,
            shelf=Shelf(),
            page=page,
        )
        self.context = RunContext(plan, JobStart(job_pid, self.begun, 0, 0))
        self.journal = Journal(plan.ledger_path, notify=Notices(), fallback_dirs=())
        self.journal.open_run(run_start())
        self.pidfd = os.pidfd_open(job_pid)

    def watch(self, replaces: int = 0) -> RunWatch:
        grid = GridWatch(self.context)
        watch = RunWatch(self.context, self.journal, grid, self.pidfd, replaces=replaces)
        watch.open()
        return watch

    def uses(self, watch: RunWatch, joules: float, second: float, **more: bool) -> None:
        now = self.begun + round(second * SECOND)
        found = device(tick_s=0.001)
        watch.reading(found, 0, Reading(found.key, now, round(joules * 1e6)))
        watch.look(now, 10, 10, **more)

    def kinds(self) -> list[str]:
        return [str(event[1]) for event in self.journal.recording.events.kept]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr("frugalwatch.budgets.crier.write_line", said.append)
    return said


ENDS = Settings(budget=("100J",), on_exceed="term")


def test_a_job_that_ignores_term_is_said_to_go_on_and_left_alone(
    tmp_path: Path, job: subprocess.Popen[bytes], lines: list[str]
) -> None:
    page = Page()
    watched = Watched(tmp_path, job.pid, ENDS, page)
    watch, crier = watched.watch(), Crier(page, 1.0, quiet=True)
    watched.uses(watch, 150.0, 2.0)
    crier.hear(job.pid, given_up=False)
    crier.hear(job.pid, given_up=False)
    assert page.signalled_mono_ns
    for second in (5.0, 11.0, 25.0, 60.0):
        watched.uses(watch, 150.0 + second, second)
        crier.hear(job.pid, given_up=False)
    assert job.poll() is None, "it was not killed"
    assert sum("SIGTERM was sent" in line for line in lines) == 1
    assert sum("has not ended 10 s after SIGTERM" in line for line in lines) == 1
    kinds = watched.kinds()
    assert kinds == ["budget_term", "budget_exceeded", "job_signalled", "job_goes_on"]


def test_who_takes_over_from_a_dead_sampler_knows_what_was_said(
    tmp_path: Path, job: subprocess.Popen[bytes], lines: list[str]
) -> None:
    page = Page()
    watched = Watched(tmp_path, job.pid, ENDS, page)
    watched.uses(watched.watch(), 150.0, 1.0)
    crier = Crier(page, 1.0, quiet=False)
    second = watched.watch(replaces=1)
    watched.uses(second, 160.0, 2.0)
    crier.hear(job.pid, given_up=False)
    watched.uses(watched.watch(replaces=2), 170.0, 3.0)
    crier.hear(job.pid, given_up=False)
    assert sum("is exceeded" in line for line in lines) == 1
    assert sum("SIGTERM was sent" in line for line in lines) == 1
    assert watched.kinds().count("budget_exceeded") == 1
    assert watched.kinds().count("job_signalled") == 1


def test_without_a_supervisor_the_sampler_signals_once(
    tmp_path: Path, job: subprocess.Popen[bytes]
) -> None:
    page = Page()
    watched = Watched(tmp_path, job.pid, ENDS, page)
    watch = watched.watch()
    watched.uses(watch, 150.0, 1.0, orphaned=True)
    first = page.signalled_mono_ns
    watched.uses(watch, 160.0, 2.0, orphaned=True)
    assert first
    assert page.signalled_mono_ns == first


def test_a_supervisor_that_has_signalled_is_believed(
    tmp_path: Path, job: subprocess.Popen[bytes]
) -> None:
    """Killed between noting and sending it may not have sent it: once means at most once."""
    page = Page()
    watched = Watched(tmp_path, job.pid, ENDS, page)
    watch = watched.watch()
    page.note_signal(7)
    watched.uses(watch, 150.0, 1.0, orphaned=True)
    assert page.signalled_mono_ns == 7


def test_warn_signals_nobody_however_far_it_goes(
    tmp_path: Path, job: subprocess.Popen[bytes], lines: list[str]
) -> None:
    page = Page()
    watched = Watched(tmp_path, job.pid, ENDS._replace(on_exceed="warn"), page)
    watch, crier = watched.watch(), Crier(page, 1.0, quiet=False)
    for second in range(1, 9):
        watched.uses(watch, second * 50.0, second)
        crier.hear(job.pid, given_up=False)
    assert page.signalled_mono_ns == 0
    assert len(lines) == 1
    assert watched.kinds() == ["budget", "budget_exceeded"]


def test_a_budget_that_nobody_watches_any_more_is_told_of_once(lines: list[str]) -> None:
    crier = Crier(Page(), 1.0, quiet=False)
    crier.hear(os.getpid(), given_up=False)
    assert lines == []
    for _ in range(3):
        crier.hear(os.getpid(), given_up=True)
    assert lines == [
        "budgets and alerts of this run can't be watched any more: its sampler keeps dying"
    ]


def test_a_sampler_that_is_silent_for_long_is_told_of(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    crier = Crier(Page(), 1.0, quiet=False)
    later = time.monotonic_ns() + 120 * SECOND
    monkeypatch.setattr("time.monotonic_ns", lambda: later)
    crier.hear(os.getpid(), given_up=False)
    assert len(lines) == 1
    assert "no look for 120 s" in lines[0]


def test_nothing_is_signalled_once_the_job_is_over(lines: list[str]) -> None:
    page = Page()
    page.ask_for_the_end()
    page.put(1, {})
    Crier(page, 1.0, quiet=False).hear(None, given_up=False)
    assert (lines, page.signalled_mono_ns) == ([], 0)


def test_a_job_that_became_another_users_is_said_not_to_be_signalled(
    tmp_path: Path, job: subprocess.Popen[bytes]
) -> None:
    def refused() -> None:
        raise PermissionError

    page = Page()
    watched = Watched(tmp_path, job.pid, ENDS, page)
    watch = watched.watch()
    watched.uses(watch, 150.0, 1.0)
    assert "could not be sent" in signal_job(page, refused)
    for second in (2.0, 3.0):
        watched.uses(watch, 160.0, second)
    assert watched.kinds() == ["budget_term", "budget_exceeded", "job_goes_on"]


def test_a_page_keeps_the_newest_lines_and_bounded_state() -> None:
    page = Page()
    for number in range(100):
        page.say(f"line {number}" + "x" * 2000)
    page.put(5, {"alert": [1.0] * 3})
    heard = page.lines_after(0)
    assert (len(heard), heard[-1][0]) == (16, 100)
    assert page.lines_after(99) == heard[-1:]
    assert page.go_on() == {"alert": [1.0] * 3}
    page.put(6, {str(n): [0.0] * 10 for n in range(1000)})
    assert page.looked_mono_ns == 6, "what does not fit leaves the rest readable"


def test_an_alert_reaches_the_ledger_and_the_page(
    tmp_path: Path, job: subprocess.Popen[bytes], lines: list[str]
) -> None:
    from frugalwatch.sampler.messages import MetricSaid

    page = Page()
    watched = Watched(tmp_path, job.pid, Settings(alerts=("metric(x)>5",)), page)
    watch, crier = watched.watch(), Crier(page, 1.0, quiet=False)
    for second, value in enumerate((1.0, 9.0, 9.0, 1.0)):
        watch.hear([MetricSaid(1, 0, "x", value)])
        watched.uses(watch, 1.0, second)
        crier.hear(job.pid, given_up=False)
    assert lines == ["alert metric(x)>5: x is 9", "alert metric(x)>5 is over: x is 1"]
    assert watched.kinds() == ["alert_set", "alert", "alert_over"]
    assert page.signalled_mono_ns == 0
