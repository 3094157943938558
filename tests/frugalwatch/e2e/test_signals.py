"""Signals reach the job exactly once, whoever they were sent to; the run is complete after them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, children, job_of, sampler_of, until

# Counts what it gets for the given time after the first signal, then says so and ends with 0.
COUNTER = """
import collections, signal, sys, time
counts = collections.Counter()
def count(number, frame):
    counts[signal.Signals(number).name] += 1
for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH"):
    signal.signal(getattr(signal, "SIG" + name), count)
open(sys.argv[1], "w").write("ready")
end = None
while end is None or time.monotonic() < end:
    time.sleep(0.02)
    if counts and end is None:
        end = time.monotonic() + 0.6
print(dict(counts))
"""


class Counted:
    """A run whose job counts its signals."""

    def __init__(self, frugalwatch: Frugalwatch, *options: str) -> None:
        self.target = frugalwatch.folder / "out.json"
        ready = frugalwatch.folder / "ready"
        self.process = frugalwatch.start(
            *("run", "--json", str(self.target), *options, "--"),
            *(sys.executable, "-I", "-S", "-c", COUNTER, str(ready)),
        )
        self.sampler = sampler_of(self.process.pid)
        self.job = job_of(self.process.pid)
        with until(10, "a job that counts") as again:
            while again():
                if ready.exists() and ready.read_text():
                    break
        time.sleep(0.1)  # the sampler opens its sources meanwhile

    def end(self) -> dict[str, int]:
        out, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, err
        counts: dict[str, int] = json.loads(out.decode().replace("'", '"'))
        return counts


def to_supervisor(run: Counted, number: int) -> None:
    os.kill(run.process.pid, number)


def to_group(run: Counted, number: int) -> None:
    os.killpg(run.process.pid, number)


def to_every_process(run: Counted, number: int) -> None:
    for pid in (run.process.pid, *children(run.process.pid)):
        os.kill(pid, number)


def to_every_process_job_first(run: Counted, number: int) -> None:
    for pid in (run.job, run.sampler, run.process.pid):
        os.kill(pid, number)


def to_every_process_slowly(run: Counted, number: int) -> None:
    for pid in (run.process.pid, run.job, run.sampler):
        os.kill(pid, number)
        time.sleep(0.01)


SENDERS = [
    to_supervisor,
    to_group,
    to_every_process,
    to_every_process_job_first,
    to_every_process_slowly,
]


@pytest.mark.parametrize("send", SENDERS, ids=lambda f: f.__name__)
def test_a_schedulers_term_reaches_the_job_once_and_leaves_a_complete_run(
    frugalwatch: Frugalwatch, send: Callable[[Counted, int], None]
) -> None:
    run = Counted(frugalwatch)
    send(run, signal.SIGTERM)
    assert run.end() == {"SIGTERM": 1}
    document = json.loads(run.target.read_text())
    assert document["state"] == "done"
    assert document["estimated_j"] > 0
    assert frugalwatch.one("SELECT result IS NOT NULL FROM run") == 1


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "USR1", "USR2", "WINCH"])
def test_other_signals_are_passed_on_once(frugalwatch: Frugalwatch, name: str) -> None:
    run = Counted(frugalwatch)
    to_supervisor(run, getattr(signal, f"SIG{name}"))
    assert run.end() == {f"SIG{name}": 1}


def test_several_signals_one_after_the_other_are_each_passed_on_once(
    frugalwatch: Frugalwatch,
) -> None:
    run = Counted(frugalwatch)
    to_group(run, signal.SIGUSR1)
    time.sleep(0.1)
    to_supervisor(run, signal.SIGUSR1)
    time.sleep(0.1)
    to_group(run, signal.SIGUSR2)
    time.sleep(0.1)
    to_supervisor(run, signal.SIGTERM)
    assert run.end() == {"SIGUSR1": 2, "SIGUSR2": 1, "SIGTERM": 1}


def test_a_job_that_ends_by_term_gives_143_and_a_complete_run(frugalwatch: Frugalwatch) -> None:
    target = frugalwatch.folder / "out.json"
    process = frugalwatch.start("run", "--json", str(target), "--", "sleep", "60")
    sampler_of(process.pid)
    job_of(process.pid)
    time.sleep(0.3)
    # One by one, the job first: it is over before the signal comes to the supervisor.
    os.kill(job_of(process.pid), signal.SIGTERM)
    time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    document = json.loads(target.read_text())
    assert (document["exit_signal"], document["state"]) == (15, "killed")
    assert b"no result" not in err


def test_a_signal_before_the_job_can_handle_it_ends_it_as_without_us(
    frugalwatch: Frugalwatch,
) -> None:
    """Signals that come while we start are not lost."""
    for delay_s in (0.0, 0.05, 0.1, 0.15, 0.2):
        process = frugalwatch.start("run", "--summary", "none", "--", "sleep", "20")
        time.sleep(delay_s)
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=10)
        assert process.returncode in (143, -signal.SIGTERM)


def test_a_stopped_and_continued_job_is_waited_for(frugalwatch: Frugalwatch) -> None:
    process = frugalwatch.start("run", "--summary", "none", "--", "sleep", "0.5")
    sampler_of(process.pid)
    job = job_of(process.pid)
    os.kill(job, signal.SIGSTOP)
    time.sleep(0.8)
    assert process.poll() is None
    os.kill(job, signal.SIGCONT)
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_term_ends_the_wait_for_descendants(frugalwatch: Frugalwatch) -> None:
    process = frugalwatch.start(
        *("run", "--wait-descendants", "--summary", "none", "--", "sh", "-c"),
        "setsid sleep 20 >&- 2>&- & echo started",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    with until(10, "the end of the job itself") as again:
        while again():
            if [Path(f"/proc/{c}/comm").read_text() for c in children(process.pid)].count("sh\n"):
                continue
            break
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_ctrl_c_at_any_early_moment_reaches_the_job_once_or_means_no_job(
    frugalwatch: Frugalwatch,
) -> None:
    handler = "trap 'echo int; exit 7' INT; echo ready; sleep 3 & wait $!; echo end"
    seen = set()
    for wait_ms in range(60, 260, 12):  # around the job's start, wherever that lies here
        process = frugalwatch.start("run", "-q", "--", "sh", "-c", handler)
        time.sleep(wait_ms / 1000)
        os.killpg(process.pid, signal.SIGINT)
        said, complained = process.communicate(timeout=15)
        seen.add((process.returncode, said))
        assert b"not found" not in complained
    # -2: ended by the signal, before the job was or before it could handle it.
    allowed = {(-2, b""), (130, b""), (7, b"ready\nint\n"), (130, b"ready\n")}
    assert seen <= allowed | {(1, b"")}  # 1: Python itself was still starting


# What is raised in a callback of a weak reference is printed and forgotten. The import system has
# such callbacks, so a Ctrl-C while we import may come to one.
_CTRL_C_WHILE_IMPORTING = """
import os, signal, sys, weakref
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "frugalwatch.commands.run":
            thing = Finder()
            watch = weakref.ref(thing, lambda _: (os.kill(os.getpid(), signal.SIGINT), len([])))
            del thing
sys.meta_path.insert(0, Finder())
sys.argv = ["frugalwatch", "run", "-q", "--", "echo", "started"]
from frugalwatch._entry import main
main()
"""


def test_a_ctrl_c_that_python_would_forget_means_no_job(frugalwatch: Frugalwatch) -> None:
    process = replace(frugalwatch, program=(sys.executable, "-c", _CTRL_C_WHILE_IMPORTING)).start()
    said, complained = process.communicate(timeout=15)
    assert (process.returncode, said, complained) == (-2, b"", b"")
