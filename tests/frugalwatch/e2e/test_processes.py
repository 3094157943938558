"""Jobs of many processes: short-lived, detached, left behind; and whose CPU time is whose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, RunObject, alive, events
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

PYTHON = (sys.executable, "-I", "-S", "-c")


def python(text: str) -> list[str]:
    return [*PYTHON, textwrap.dedent(text)]


BUSY = """
import os, time
def busy(seconds):
    while time.process_time() < seconds: pass
"""

MANY = """
import json, os, resource, sys
for number in range(10_000):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(sum(u.ru_utime + u.ru_stime for u in use))
"""


@pytest.mark.parametrize("option", ["--cgroup", "--no-cgroup"])
def test_ten_thousand_short_lived_children_are_counted(
    frugalwatch: Frugalwatch, option: str
) -> None:
    run, result = frugalwatch.measure(option, "--", *PYTHON, MANY)
    counted_by_itself = float(result.stdout)
    assert counted_by_itself > 0.5
    assert run["cpu_s"] == pytest.approx(counted_by_itself, rel=0.05, abs=0.05)
    assert run["cpu_method"] in ("tree", "cgroup")


@pytest.mark.parametrize("option", ["--cgroup", "--no-cgroup"])
def test_children_that_nobody_waits_for_make_a_lower_bound(
    frugalwatch: Frugalwatch, option: str
) -> None:
    """A parent that ignores SIGCHLD is never told of its children's CPU time, and nor are we."""
    run, _ = frugalwatch.measure(
        *(option, "--interval", "0.2", "--"),
        *python(
            f"""
            import signal
            {textwrap.indent(BUSY, " " * 12).strip()}
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            over, lives = os.pipe()
            for _ in range(4):
                if os.fork() == 0:
                    busy(0.3)
                    os._exit(0)
            os.close(lives)
            os.read(over, 1)  # returns when all of them are gone
            time.sleep(0.5)
            """
        ),
    )
    if run["cpu_method"] == "cgroup":
        assert run["cpu_s"] == pytest.approx(1.2, abs=0.2)
    else:
        assert run["cpu_method"] == "tree-lower-bound"
        assert run["cpu_s"] < 1.3


def test_a_double_forked_daemon_that_ends_in_time_is_counted(frugalwatch: Frugalwatch) -> None:
    run, _ = frugalwatch.measure(
        *("--no-cgroup", "--"),
        *python(
            f"""
            {textwrap.indent(BUSY, " " * 12).strip()}
            over, lives = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    busy(0.6)
                os._exit(0)
            os.wait()
            os.close(lives)
            os.read(over, 1)  # returns when the daemon is gone
            time.sleep(0.2)
            """
        ),
    )
    assert run["cpu_s"] == pytest.approx(0.6, abs=0.15)
    assert events(run, "processes_left") == []


LEAVES_ONE = """
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
            end = time.monotonic() + 3
            while time.process_time() < 0.3: pass
            time.sleep(max(0, end - time.monotonic()))
            open("daemon-over", "w").close()
        os._exit(0)
    os.wait()
    time.sleep(0.5)
"""


def test_a_run_ends_with_its_job_and_names_what_is_left(frugalwatch: Frugalwatch) -> None:
    run, result = frugalwatch.measure("--no-cgroup", "--", *python(LEAVES_ONE))
    assert result.returncode == 0
    assert result.wall_s < 2.5
    assert run["wall_s"] < 1.5
    (left,) = events(run, "processes_left")
    assert left["detail"].startswith("1 process of the job outlived it")
    assert run["cpu_method"] == "tree-lower-bound"
    assert not (frugalwatch.folder / "daemon-over").exists()
    deadline = time.monotonic() + 10
    while not (frugalwatch.folder / "daemon-over").exists():
        assert time.monotonic() < deadline, "what was left goes on unharmed"
        time.sleep(0.05)


def test_helpers_that_end_just_after_the_job_are_no_news(frugalwatch: Frugalwatch) -> None:
    """As multiprocessing's resource tracker does: it waits for the end of its pipe."""
    run, _ = frugalwatch.measure(
        *("--no-cgroup", "--"),
        *python(
            """
            import os, time
            end, _ = os.pipe()
            if os.fork() == 0:
                os.close(_)
                os.read(end, 1)
                time.sleep(0.005)
                os._exit(0)
            """
        ),
    )
    assert events(run, "processes_left") == []
    assert run["cpu_method"] == "tree"


def test_waiting_for_descendants_counts_them(frugalwatch: Frugalwatch) -> None:
    run, result = frugalwatch.measure(
        "--wait-descendants", "--no-cgroup", "--", *python(LEAVES_ONE)
    )
    assert (frugalwatch.folder / "daemon-over").exists()
    assert run["wall_s"] == pytest.approx(3.1, abs=0.6)
    assert run["cpu_s"] == pytest.approx(0.33, abs=0.15)
    assert run["cpu_method"] == "tree"
    assert events(run, "processes_left") == []
    assert result.returncode == 0


def test_a_job_that_closes_its_standard_files_is_measured(frugalwatch: Frugalwatch) -> None:
    run, result = frugalwatch.measure("--", "sh", "-c", "exec <&- >&- 2>&-; sleep 0.3; exit 4")
    assert result.returncode == 4
    assert run["wall_s"] == pytest.approx(0.3, abs=0.2)


def test_nothing_of_ours_is_left_running(frugalwatch: Frugalwatch) -> None:
    process = frugalwatch.start("run", "--", "true")
    session = process.pid
    process.communicate(timeout=20)
    deadline = time.monotonic() + 5
    while any(os.getsid(int(p)) == session for p in os.listdir("/proc") if _in_session(p, session)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _in_session(name: str, session: int) -> bool:
    try:
        return name.isdigit() and os.getsid(int(name)) == session and alive(int(name))
    except ProcessLookupError:
        return False


def test_the_sampler_and_the_job_hold_none_of_each_others_files(frugalwatch: Frugalwatch) -> None:
    from tests.frugalwatch.e2e.kit import job_of, sampler_of

    extra = os.open(frugalwatch.folder / "extra", os.O_RDWR | os.O_CREAT)
    with PowercapTree(frugalwatch.folder, [Zone("package-0", Constant(40.0))]) as tree:
        frugalwatch.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        process = frugalwatch.start("run", "--", "sleep", "2", pass_fds=(extra,))
        sampler, job = sampler_of(process.pid), job_of(process.pid)
        time.sleep(0.7)

        def files(pid: int) -> dict[int, str]:
            folder = Path(f"/proc/{pid}/fd")
            return {int(p.name): os.readlink(p) for p in folder.iterdir()}

        assert sorted(files(job)) == [0, 1, 2, extra]
        of_sampler = files(sampler)
        assert [of_sampler[n] for n in range(3)] == ["/dev/null"] * 3
        jobs_own = {name for n, name in files(job).items() if n > 0}
        assert jobs_own.isdisjoint(of_sampler.values())
        supervisors = files(process.pid)
        assert not {name for n, name in files(job).items() if n not in (0, 2)} & set(
            supervisors.values()
        )
        process.communicate(timeout=20)
    os.close(extra)


# -- beside others ---------------------------------------------------------------------------------


# Runs for five seconds and says what the machine and it itself were busy in that time.
MY_SHARE = """
import os, time
def busy_s():
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return sum(fields[:3] + fields[5:7]) / os.sysconf("SC_CLK_TCK")
before, end = busy_s(), time.monotonic() + 5
while time.monotonic() < end: pass
print(time.process_time(), busy_s() - before)
"""


def share_beside_a_neighbour(frugalwatch: Frugalwatch) -> tuple[RunObject, float]:
    """A job with one core, a neighbour with another: the run and the job's fair share."""
    with subprocess.Popen([*PYTHON, "while True: pass"]) as neighbour:
        try:
            run, result = frugalwatch.measure("--no-cgroup", "--", *PYTHON, MY_SHARE)
        finally:
            neighbour.kill()
    mine_s, all_s = map(float, result.stdout.split())
    return run, mine_s / all_s


def test_a_job_beside_a_noisy_neighbour_is_charged_its_fair_share(
    frugalwatch: Frugalwatch,
) -> None:
    with PowercapTree(frugalwatch.folder, [Zone("package-0", Constant(60.0))]) as tree:
        frugalwatch.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        tree.start()
        run, fair = share_beside_a_neighbour(frugalwatch)
        truth = tree.true_energy_j("package-0", *frugalwatch.window())
    assert run["energy_j"] == pytest.approx(truth, rel=0.01)
    assert fair < 0.75, "the neighbour was busy too"
    assert run["headline"] == "job_share"
    assert run["job_share_j"] == pytest.approx(fair * truth, rel=0.10)
    assert run["job_share_low_j"] <= fair * truth <= run["job_share_high_j"]


def test_an_idle_job_on_a_busy_machine_is_charged_next_to_nothing(
    frugalwatch: Frugalwatch,
) -> None:
    with PowercapTree(frugalwatch.folder, [Zone("package-0", Constant(60.0))]) as tree:
        frugalwatch.environment["FRUGALWATCH_SYSFS"] = tree.sysfs
        tree.start()
        with subprocess.Popen([*PYTHON, "while True: pass"]) as neighbour:
            run, result = frugalwatch.measure("--summary", "block", "--", "sleep", "2")
            neighbour.kill()
    assert run["energy_j"] > 100
    assert run["job_share_j"] < 0.05 * run["energy_j"]
    assert "share" in result.said
    assert json.dumps(run)


def test_the_machine_is_no_busier_than_it_can_be_in_a_short_job(frugalwatch: Frugalwatch) -> None:
    """What we do once the job is over is not in its window, and costs it no part of its share."""
    run, _ = frugalwatch.measure("--", "sleep", "0.01")
    possible_s = (os.cpu_count() or 1) * (run["wall_s"] + 0.02)  # two ticks of the kernel's count
    assert run["machine_busy_cpu_s"] <= possible_s
