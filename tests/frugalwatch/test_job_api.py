"""Phases, steps and metrics: nothing outside a run, all of it inside, and never an exception."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.frugalwatch.e2e.kit import REPOSITORY, Frugalwatch

MODULE = REPOSITORY / "frugalwatch" / "job_api.py"
OLD_AND_NEW = ("3.9", "3.10", "3.11", "3.12", "3.13")


@pytest.fixture
def inside(tmp_path: Path) -> Any:
    """Runs a Python text inside `frugalwatch run`; gives the run object and the program."""

    def run(text: str, *options: str) -> tuple[dict[str, Any], Frugalwatch, bytes]:
        frugalwatch = Frugalwatch(tmp_path)
        script = tmp_path / "job.py"
        script.write_text(textwrap.dedent(text))
        document, result = frugalwatch.measure(
            *options, "--", sys.executable, str(script), timeout_s=60
        )
        assert result.returncode == 0, result.said
        return document, frugalwatch, result.stdout

    return run


def phases(frugalwatch: Frugalwatch) -> list[tuple[Any, ...]]:
    return frugalwatch.rows(
        "SELECT name, number, depth, ended_mono_ns IS NOT NULL FROM phase ORDER BY began_mono_ns"
    )


def outside(text: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FRUGALWATCH_")}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        cwd=REPOSITORY,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


# -- outside of a run ------------------------------------------------------------------------------


def test_outside_a_run_nothing_happens_and_in_microseconds() -> None:
    figures = json.loads(
        outside(
            """
            import json, timeit, os
            import frugalwatch
            before = len(os.listdir("/proc/self/fd"))
            def phase():
                with frugalwatch.phase("epoch", 3):
                    pass
            def best(function):
                return min(timeit.repeat(function, number=10_000, repeat=5)) / 10_000
            figures = [
                best(phase),
                best(lambda: frugalwatch.metric("loss", 0.5)),
                best(frugalwatch.step),
            ]
            assert len(os.listdir("/proc/self/fd")) == before
            print(json.dumps(figures))
            """
        )
    )
    assert max(figures) < 5e-6


def test_values_that_make_no_sense_do_nothing_either(inside: Any) -> None:
    """What raises inside a run must not: code that runs without us would break with us."""
    text = """
        import frugalwatch
        class Odd:
            def __float__(self): raise RuntimeError("a tensor with two elements")
            def __str__(self): raise RuntimeError("no")
            __int__ = __index__ = __float__
        frugalwatch.metric("accuracy", Odd())
        frugalwatch.metric("accuracy", None)
        frugalwatch.metric("huge", 10**400)
        frugalwatch.metric(Odd(), 1.0)
        frugalwatch.metric("x" * 100_000, 1.0)
        frugalwatch.step("many")
        frugalwatch.step(None)
        frugalwatch.step(total="all")
        frugalwatch.step(0, total=-5)
        with frugalwatch.phase("epoch", of=Odd()):
            pass
        with frugalwatch.phase("epoch", "three"):
            with frugalwatch.phase(Odd()):
                with frugalwatch.phase("\\ud800 \\0 \\U0001F600" * 300):
                    print("reached")
        frugalwatch.metric("last", 2.0)
        """
    assert outside(text) == "reached\n"
    document, frugalwatch, said = inside(text)
    assert said == b"reached\n"
    assert frugalwatch.one("SELECT value FROM metric WHERE name = 'last'") == 2.0
    assert json.loads(json.dumps(document, allow_nan=False))


# -- inside ----------------------------------------------------------------------------------------


def test_phases_nest_and_carry_their_numbers(inside: Any) -> None:
    document, frugalwatch, _ = inside(
        """
        import time, frugalwatch
        for number in range(3):
            with frugalwatch.phase("epoch", number):
                time.sleep(0.1)
                with frugalwatch.phase("eval"):
                    time.sleep(0.05)
            frugalwatch.metric("accuracy", 0.9 + number / 100)
        """
    )
    assert phases(frugalwatch) == [
        row for number in range(3) for row in (("epoch", number, 0, 1), ("eval", None, 1, 1))
    ]
    assert frugalwatch.rows("SELECT name, value FROM metric ORDER BY id") == [
        ("accuracy", pytest.approx(0.9 + n / 100)) for n in range(3)
    ]
    assert {p["name"] for p in document["phases"]} == {"epoch", "eval"}


def test_each_call_of_a_decorated_function_is_a_phase(inside: Any) -> None:
    run, frugalwatch, printed = inside(
        """
        import asyncio, frugalwatch
        @frugalwatch.phase("load")
        def load(depth):
            "Loads."
            return load(depth - 1) if depth else "loaded"
        @frugalwatch.phase("serve")
        async def serve():
            await asyncio.sleep(0.05)
            return "served"
        print(load(1), load.__name__, load.__doc__, asyncio.run(serve()))
        """
    )
    assert printed == b"loaded load Loads. served\n"
    assert phases(frugalwatch) == [
        ("load", None, 0, 1),
        ("load", None, 1, 1),
        ("serve", None, 0, 1),
    ]
    (serving,) = (p for p in run["phases"] if p["name"] == "serve")
    assert serving["duration_s"] >= 0.05


def test_outside_a_run_a_decorated_function_is_the_function_itself() -> None:
    said = outside(
        """
        import frugalwatch
        def load(): pass
        print(frugalwatch.phase("load")(load) is load)
        """
    )
    assert said == "True\n"


def test_a_job_says_how_long_it_will_be(inside: Any) -> None:
    _, frugalwatch, _ = inside(
        """
        import frugalwatch
        frugalwatch.step(0, total=100)
        for epoch in range(2):
            with frugalwatch.phase("epoch", epoch, of=2):
                for _ in range(60):
                    frugalwatch.step(total=120)
        """
    )
    goals = frugalwatch.rows("SELECT name, total FROM goal ORDER BY name")
    assert goals == [("", 120), ("epoch", 2)]
    assert frugalwatch.one("SELECT max(steps) FROM step") == 120


def test_an_exception_ends_its_phase_and_goes_on(inside: Any) -> None:
    _, frugalwatch, said = inside(
        """
        import frugalwatch
        try:
            with frugalwatch.phase("doomed"):
                raise KeyError("mine")
        except KeyError as error:
            print("caught", error)
        """
    )
    assert said == b"caught 'mine'\n"
    assert phases(frugalwatch) == [("doomed", None, 0, 1)]


def test_a_phase_that_a_crash_cut_off_is_kept_open(tmp_path: Path) -> None:
    frugalwatch = Frugalwatch(tmp_path)
    text = "import os, frugalwatch\nfrugalwatch.phase('cut').__enter__()\nos.kill(os.getpid(), 9)"
    document, result = frugalwatch.measure("--", sys.executable, "-c", text)
    assert result.returncode == 137
    assert phases(frugalwatch) == [("cut", None, 0, 0)]
    assert document["exit_signal"] == 9


def test_forked_children_and_other_programs_speak_for_themselves(inside: Any) -> None:
    _, frugalwatch, _ = inside(
        """
        import os, subprocess, sys, frugalwatch
        frugalwatch.step(5)
        with frugalwatch.phase("parent"):
            for number in range(3):
                if os.fork() == 0:
                    with frugalwatch.phase("child", number):
                        frugalwatch.step(number + 1)
                    sys.exit(0)
            for _ in range(3):
                os.wait()
            subprocess.run(
                [sys.executable, "-c", "import frugalwatch; frugalwatch.metric('other', 1)"],
                check=True,
            )
        """
    )
    names = sorted((name, number) for name, number, _, ended in phases(frugalwatch) if ended)
    assert names == [("child", 0), ("child", 1), ("child", 2), ("parent", None)]
    assert frugalwatch.one("SELECT count(DISTINCT pid) FROM phase") == 4
    assert frugalwatch.one("SELECT count(*) FROM metric WHERE name = 'other'") == 1
    steps = frugalwatch.rows("SELECT max(steps) FROM step GROUP BY pid ORDER BY 1")
    assert steps == [(1,), (2,), (3,), (5,)]


def test_threads_lose_nothing(inside: Any) -> None:
    _, frugalwatch, _ = inside(
        """
        import sys, threading, frugalwatch
        sys.setswitchinterval(1e-5)
        def work(thread):
            for number in range(100):
                with frugalwatch.phase(f"thread {thread}", number):
                    frugalwatch.step()
                frugalwatch.metric("done", number)
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    )
    assert frugalwatch.one("SELECT count(*) FROM phase WHERE ended_mono_ns IS NOT NULL") == 800
    assert frugalwatch.one("SELECT count(*) FROM metric") == 800
    assert frugalwatch.one("SELECT max(steps) FROM step") == 800


def test_a_signal_handler_that_speaks_in_the_middle_of_a_word_hangs_nothing(inside: Any) -> None:
    _, frugalwatch, _ = inside(
        """
        import signal, time, frugalwatch
        frugalwatch.metric("first", 1)
        signal.signal(signal.SIGALRM, lambda *a: frugalwatch.metric("alarm", 1))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        end = time.monotonic() + 0.4
        count = 0
        while time.monotonic() < end and count < 3000:
            frugalwatch.metric("word", count)
            count += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        frugalwatch.metric("last", 1)
        """
    )
    assert frugalwatch.one("SELECT count(*) FROM metric WHERE name = 'last'") == 1
    assert frugalwatch.one("SELECT count(*) FROM metric WHERE name = 'alarm'") > 10


def test_steps_of_a_forked_worker_are_whole_when_its_phase_ends(inside: Any) -> None:
    """Workers of multiprocessing end by os._exit: nothing is said at the end of the process."""
    _, frugalwatch, _ = inside(
        """
        import multiprocessing
        import frugalwatch
        def work():
            with frugalwatch.phase("epoch"):
                for _ in range(50):
                    frugalwatch.step()
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
        """
    )
    assert frugalwatch.one("SELECT max(steps) FROM step") == 50


def test_a_hundred_thousand_steps_cost_a_fraction_of_a_second(inside: Any) -> None:
    _, frugalwatch, said = inside(
        """
        import time, frugalwatch
        begun = time.process_time()
        for _ in range(100_000):
            frugalwatch.step()
        print(time.process_time() - begun)
        """
    )
    assert float(said) < 0.5
    assert frugalwatch.one("SELECT max(steps) FROM step") == 100_000
    assert frugalwatch.one("SELECT count(*) FROM step") < 50


def test_a_job_that_says_more_than_the_pipe_holds_is_not_slowed_down(inside: Any) -> None:
    document, frugalwatch, said = inside(
        """
        import resource, time, frugalwatch
        begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        for number in range(60_000):
            frugalwatch.metric("chatter", number)
        waited = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before
        print(time.process_time() - begun, waited)
        """,
        *("--interval", "10"),
    )
    cpu_s, waited = map(float, said.split())
    assert cpu_s < 6
    assert waited < 600, "times that it gave the processor away to wait for something"
    assert frugalwatch.one("SELECT count(*) FROM metric") > 5000
    assert document["cpu_s"] > 0


def test_a_daemon_that_closed_our_pipe_never_writes_into_a_file_of_its_own(
    inside: Any, tmp_path: Path
) -> None:
    _, frugalwatch, _ = inside(
        f"""
        import os, frugalwatch
        frugalwatch.metric("before", 1)
        os.closerange(3, 64)
        mine = [os.open({str(tmp_path / "mine")!r}, os.O_RDWR | os.O_CREAT) for _ in range(8)]
        frugalwatch.metric("after", 2)
        with frugalwatch.phase("later"):
            pass
        for each in mine: os.close(each)
        """
    )
    assert (tmp_path / "mine").read_bytes() == b""
    assert frugalwatch.rows("SELECT name FROM metric ORDER BY id") == [("before",), ("after",)]
    assert phases(frugalwatch) == [("later", None, 0, 1)]


def test_a_job_that_outlives_its_run_and_dies_of_sigpipe_does_not_die_of_us(
    tmp_path: Path,
) -> None:
    frugalwatch = Frugalwatch(tmp_path)
    text = f"""
import os, signal, time, frugalwatch
frugalwatch.metric("before", 1)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
if os.fork() == 0:
    for fd in range(3): os.close(fd)
    time.sleep(1.5)
    for number in range(50_000): frugalwatch.metric("after", number)
    open({str(tmp_path / "over")!r}, "w").close()
"""
    _, result = frugalwatch.measure("--", sys.executable, "-c", text)
    assert result.returncode == 0
    deadline = time.monotonic() + 60
    while not (tmp_path / "over").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nonsense_in_the_pipe_is_counted_and_the_run_complete(tmp_path: Path) -> None:
    frugalwatch = Frugalwatch(tmp_path)
    text = """
import os, frugalwatch
frugalwatch.metric("first", 1)
with open(os.environ["FRUGALWATCH_PIPE"], "wb", buffering=0) as pipe:
    huge = b'["metric",1,1,"x",1' + b"0" * 400 + b"]"
    for line in (b"", b"{}", b"[[[[[[" * 600, huge, os.urandom(3000)):
        pipe.write(line.replace(b"\\n", b"") + b"\\n")
frugalwatch.metric("last", 2)
"""
    document, result = frugalwatch.measure("--", sys.executable, "-c", text)
    assert result.returncode == 0
    assert document["state"] == "done"
    names = [name for (name,) in frugalwatch.rows("SELECT name FROM metric ORDER BY id")]
    assert names == ["first", "last"]
    (bad,) = [e for e in document["events"] if e["kind"] == "bad_messages"]
    assert bad["detail"].startswith("5 ")
    assert not [e for e in document["events"] if e["kind"] == "sampler_restarted"]


def test_without_the_hook_the_job_speaks_to_nobody(inside: Any) -> None:
    _, frugalwatch, said = inside(
        """
        import os, frugalwatch
        with frugalwatch.phase("epoch"): pass
        print(sorted(name for name in os.environ if "FRUGALWATCH" in name))
        """,
        "--no-hook",
    )
    assert said == b"['FRUGALWATCH_SYSFS']\n"
    assert phases(frugalwatch) == []


# -- the module itself -----------------------------------------------------------------------------


def test_it_imports_the_standard_library_only_and_little_of_it() -> None:
    loaded = outside(
        """
        import sys
        before = set(sys.modules)
        import frugalwatch
        first = set(sys.modules) - before
        frugalwatch.phase
        after = set(sys.modules) - before
        foreign = {m.partition(".")[0] for m in after} - set(sys.stdlib_module_names)
        print(sorted(first), sorted(foreign), len(after))
        """
    )
    first, foreign, count = loaded.replace("] ", "]\n").split("\n")[:3]
    assert "job_api" not in first, "naming the package imports nothing"
    assert foreign == "['frugalwatch']"
    assert int(count) < 40
    for heavy in ("asyncio", "socket", "threading", "logging", "subprocess", "typing"):
        assert f"'{heavy}'" not in outside(
            "import sys, frugalwatch\nfrugalwatch.phase\nprint(sorted(sys.modules))"
        ), heavy


def interpreters() -> list[str]:
    """Other interpreters of the versions that a job may have, where there are some."""
    found = []
    for version in OLD_AND_NEW:
        for root in (Path.home() / ".pyenv" / "versions", Path("/opt/python"), Path("/usr/bin")):
            found += sorted(str(p) for p in root.glob(f"{version}.*/bin/python"))
            found += [str(p) for p in root.glob(f"python{version}")]
    return found


def test_it_compiles_on_every_python_that_a_job_may_have() -> None:
    source = MODULE.read_text()
    import ast

    for minor in (9, 10, 11, 12, 13):
        ast.parse(source, feature_version=(3, minor))


def test_it_works_on_every_interpreter_that_is_here(tmp_path: Path) -> None:
    """At least on the one that runs this; others are used where they are."""
    frugalwatch = Frugalwatch(tmp_path)
    text = (
        "import sys, frugalwatch\n"
        "with frugalwatch.phase('p', sys.version_info[1]): frugalwatch.step(2)\n"
        "frugalwatch.metric('m', 0.5)\n"
    )
    commands = list(dict.fromkeys([sys.executable, *interpreters()]))
    for number, python in enumerate(commands, start=1):
        _, result = frugalwatch.measure("--", python, "-B", "-c", text)
        assert result.returncode == 0, (python, result.said)
        assert frugalwatch.rows(
            "SELECT name, ended_mono_ns IS NOT NULL FROM phase WHERE run_id = ?", number
        ) == [("p", 1)], python
        assert frugalwatch.rows("SELECT value FROM metric WHERE run_id = ?", number) == [(0.5,)]
        assert frugalwatch.rows("SELECT steps FROM step WHERE run_id = ?", number) == [(2,)]
