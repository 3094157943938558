"""`run --profile` on programs whose split is known: what the profile says is what they did."""

from __future__ import annotations

import json
import os
import runpy
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.frugalwatch.e2e.kit import REPOSITORY, Frugalwatch
from tests.frugalwatch.inside.kit import interpreters

# Programs that print the CPU seconds of their functions by their own clock.
JOBS = runpy.run_path(str(REPOSITORY / "bench" / "profile_jobs.py"))
PROGRAMS: dict[str, str] = JOBS["PROGRAMS"]


def run_profiled(frugalwatch: Frugalwatch, source: str) -> tuple[dict[str, Any], dict[str, float]]:
    """The profile of a program, and the CPU seconds of its functions by its own account."""
    script = frugalwatch.folder / "program.py"
    script.write_text(source)
    result = frugalwatch("run", "-q", "--profile", sys.executable, str(script))
    assert result.returncode == 0, result.said
    shown = frugalwatch("profile", "--json")
    assert shown.returncode == 0, shown.said
    return json.loads(shown.stdout), json.loads(result.stdout)


def shares(profile: dict[str, Any], used: dict[str, float]) -> dict[str, tuple[float, float]]:
    """By function: its share among these functions in the profile, and in truth."""
    found = {
        row["function"].rpartition(".")[2]: row["self"]["cpu_s"]
        for row in profile["functions"]
        if row["function"].rpartition(".")[2] in used
    }
    whole, truth = sum(found.values()), sum(used.values())
    return {name: (found.get(name, 0.0) / whole, cpu / truth) for name, cpu in used.items()}


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS)
def test_shares_are_those_that_the_program_was_made_with(
    frugalwatch: Frugalwatch, source: str
) -> None:
    # Loosely, and what was wrong once more: 3 s of samples beside others at work scatter.
    for attempt in (1, 2):
        profile, used = run_profiled(frugalwatch, source)
        found = shares(profile, used)
        if attempt == 2 or all(abs(said - truth) < 0.25 for said, truth in found.values()):
            break
    for name, (said, truth) in found.items():
        assert said == pytest.approx(truth, abs=0.25), name
    assert profile["job"]["recorded_cpu_s"] == pytest.approx(
        profile["job"]["cpu_s"], rel=0.25, abs=0.1
    )


def test_a_killed_job_leaves_its_profile(frugalwatch: Frugalwatch) -> None:
    script = frugalwatch.folder / "killed.py"
    script.write_text(
        "import os, time\n"
        "def burn():\n"
        "    end = time.monotonic() + 1.6\n"
        "    while time.monotonic() < end: pass\n"
        "burn(); os.kill(os.getpid(), 9)\n"
    )
    assert frugalwatch("run", "-q", "--profile", sys.executable, str(script)).returncode == 137
    profile = json.loads(frugalwatch("profile", "--json").stdout)
    assert "burn" in [row["function"] for row in profile["functions"]]
    (folder,) = (frugalwatch.folder / "state" / "frugalwatch" / "profiles").iterdir()
    assert {oct(f.stat().st_mode & 0o777) for f in [folder, *folder.iterdir()]} == {
        "0o700",
        "0o600",
    }


@pytest.mark.parametrize("python", [sys.executable, *interpreters("3.9", "3.12", "3.13")])
def test_forks_pools_and_blocked_signals_are_as_without_us(
    frugalwatch: Frugalwatch, python: str
) -> None:
    script = frugalwatch.folder / "forks.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing, os, signal, sys, threading, time
            def burn(seconds):
                end = time.thread_time() + seconds
                while time.thread_time() < end: pass
                return os.getpid() != parent
            parent = os.getpid()
            # Before the pools, whose threads inherit it and may outlive them for a moment.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
            if not os.fork():
                burn(0.05); os._exit(0)
            os.wait()
            for _ in range(3):
                with multiprocessing.get_context("fork").Pool(2) as pool:
                    assert all(pool.map(burn, [0.02] * 6))
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05) # a thread that does not block it would be killed by now
            assert signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1
            assert threading.active_count() == 1
            print(sorted(n for n in sys.modules if "frugal" in n.split(".")[0])[:1])
            """
        )
    )
    result = frugalwatch("run", "-q", "--profile", python, "-W", "error", str(script))
    assert (result.returncode, result.said) == (0, "")
    assert result.stdout.split() == [b"['_frugalwatch']"]
    assert len(json.loads(frugalwatch("profile", "--json").stdout)["processes"]) >= 2


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["true"], "no Python process"),
        ([sys.executable, "-I", "-c", "pass"], "no Python process"),
    ],
)
def test_a_run_without_a_profile_says_why(
    frugalwatch: Frugalwatch, command: list[str], why: str
) -> None:
    frugalwatch("run", "-q", "--profile", "--", *command)
    result = frugalwatch("profile")
    assert result.returncode == 1
    assert why in result.said


def test_the_jobs_own_option_of_that_name_is_left_alone(frugalwatch: Frugalwatch) -> None:
    program = "import sys, os; print(sys.argv[1:], 'profile' in os.environ['FRUGALWATCH_HOOK'])"
    result = frugalwatch("run", "-q", "--profile", sys.executable, "-c", program, "--profile", "x")
    assert result.stdout == b"['--profile', 'x'] True\n"
    result = frugalwatch("run", "--profile", "5000", "true")
    assert result.returncode == 2
    assert "1 to 1000" in result.said


def test_what_is_written_and_deleted(frugalwatch: Frugalwatch, tmp_path: Path) -> None:
    run_profiled(frugalwatch, f"{JOBS['HEAD']}\nuntil(0.3, lambda: None)\nprint(json.dumps(USED))")
    names = ("p.html", "p.svg", "p.json", "p.txt")
    options = ("--html", "--svg", "--speedscope", "--collapsed")
    files = [str(tmp_path / name) for name in names]
    result = frugalwatch("profile", *(x for pair in zip(options, files, strict=True) for x in pair))
    assert result.returncode == 0, result.said
    assert all(os.path.getsize(path) > 100 for path in files)
    assert frugalwatch("profile", "--delete").returncode == 0
    assert frugalwatch("profile").returncode == 1
