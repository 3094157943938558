"""What a job sees of the world is what it would have seen without us."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from frugalwatch import inside
from tests.frugalwatch.e2e.kit import REPOSITORY, Frugalwatch, until

ODD_BYTES = bytes(range(256)) * 4096  # 1 MiB with every byte value

# Prints, as JSON, everything that a process inherits.
LOOK = textwrap.dedent("""
    import json, os, signal
    fields = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    def kind(fd):
        try:
            return os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            return None
    print(json.dumps({
        "cwd": os.getcwd(),
        "umask": os.umask(0),
        "descriptors": sorted(
            int(f) for f in os.listdir("/proc/self/fd") if "/fd" not in (kind(f) or "/fd")
        ),
        "blocked": fields["SigBlk"].strip(),
        "ignored": fields["SigIgn"].strip(),
        "group": os.getpgrp() ,
        "session": os.getsid(0),
        "nice": os.nice(0),
        "limits": [
            line.split() for line in open("/proc/self/limits") if "pending" not in line
        ],
        "affinity": sorted(os.sched_getaffinity(0)),
        "oom": open("/proc/self/oom_score_adj").read(),
        "environment": sorted(
            open("/proc/self/environ", "rb").read().decode("latin-1").split("\\0")
        ),
    }))
""")


def looker(folder: Path) -> list[str]:
    """A command that prints what it inherits. Isolated, so that the interpreter adds nothing."""
    path = folder / "look.py"
    path.write_text(LOOK)
    return [sys.executable, "-I", "-S", str(path)]


def test_standard_input_reaches_the_job_and_its_output_comes_back_byte_for_byte(
    frugalwatch: Frugalwatch,
) -> None:
    result = frugalwatch("run", "--summary", "none", "--", "cat", stdin=ODD_BYTES)
    assert result.returncode == 0
    assert result.stdout == ODD_BYTES
    assert result.stderr == b""


def test_standard_error_is_the_jobs_own_with_our_summary_after_it(
    frugalwatch: Frugalwatch,
) -> None:
    result = frugalwatch("run", "--summary", "line", "--", "sh", "-c", "cat >&2", stdin=ODD_BYTES)
    assert result.stdout == b""
    assert result.stderr.startswith(ODD_BYTES + b"frugalwatch: run=1 exit=0")


def test_a_job_inherits_exactly_what_it_would_inherit_without_us(
    frugalwatch: Frugalwatch, tmp_path: Path
) -> None:
    command = looker(tmp_path)
    extra = os.open(tmp_path / "extra", os.O_RDWR | os.O_CREAT)
    environment = {**frugalwatch.environment, "ODD": "a\nb=c\xff", "EMPTY": ""}
    # PEP 538 has Python set LC_CTYPE in its own environment here.
    environment |= {"LANG": "C", "PYTHONPATH": str(REPOSITORY)}
    options = {"cwd": tmp_path, "pass_fds": (extra,), "umask": 0o027, "env": environment}
    options |= {"start_new_session": True, "stdin": subprocess.DEVNULL}
    plain = subprocess.run(command, stdout=subprocess.PIPE, check=True, **options)  # type: ignore[call-overload]
    ours = subprocess.run(
        [*frugalwatch.program, "run", "--no-hook", "--summary", "none", "--", *command],
        stdout=subprocess.PIPE,
        check=True,
        **options,  # type: ignore[call-overload]
    )
    expected, seen = json.loads(plain.stdout), json.loads(ours.stdout)
    os.close(extra)
    for differs in ("group", "session"):
        assert seen.pop(differs) != expected.pop(differs), "each led a session of its own"
    assert seen == expected


def test_a_job_stays_in_our_group_and_session(frugalwatch: Frugalwatch, tmp_path: Path) -> None:
    process = frugalwatch.start("run", "--summary", "none", "--", *looker(tmp_path))
    out, _ = process.communicate(timeout=30)
    seen = json.loads(out)
    assert (seen["group"], seen["session"]) == (process.pid, process.pid)


def test_the_hook_adds_its_variables_and_its_folder_to_the_path(frugalwatch: Frugalwatch) -> None:
    frugalwatch.environment["FRUGALWATCH_RUN_ID"] = "the-cluster's-own"
    result = frugalwatch("run", "--summary", "none", "--", "env", "-0")
    seen = dict(entry.split(b"=", 1) for entry in result.stdout.split(b"\0") if entry)
    given = {k.encode(): v.encode() for k, v in frugalwatch.environment.items()}
    given[b"PYTHONPATH"] = str(REPOSITORY).encode()
    added = {k: v for k, v in seen.items() if given.get(k) != v}
    assert set(added) == {b"FRUGALWATCH_PIPE", b"FRUGALWATCH_RUN_KEY", b"PYTHONPATH"}
    assert added[b"PYTHONPATH"] == f"{inside.folder()}:{REPOSITORY}".encode()
    assert seen[b"FRUGALWATCH_RUN_ID"] == b"the-cluster's-own"
    assert set(given) <= set(seen)


def test_blocked_signals_and_ignored_ones_of_the_caller_reach_the_job(
    frugalwatch: Frugalwatch, tmp_path: Path
) -> None:
    def by_nohup_with_blocked_usr1() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})

    result = frugalwatch(
        *("run", "--summary", "none", "--", *looker(tmp_path)),
        preexec_fn=by_nohup_with_blocked_usr1,
    )
    seen = json.loads(result.stdout)
    assert int(seen["blocked"], 16) == 1 << signal.SIGUSR1 - 1
    ignored = int(seen["ignored"], 16)
    assert ignored >> signal.SIGHUP - 1 & 1
    assert ignored >> signal.SIGCHLD - 1 & 1


def test_a_caller_that_ignores_its_children_still_gets_the_exit_status(
    frugalwatch: Frugalwatch,
) -> None:
    result = frugalwatch(
        *("run", "--summary", "none", "--", "sh", "-c", "exit 7"),
        timeout_s=20,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    assert result.returncode == 7


def test_head_ends_a_job_that_never_would(frugalwatch: Frugalwatch) -> None:
    begun = time.monotonic()
    shell = subprocess.run(
        [
            *("bash", "-c"),
            '"$@" | head -1; exit ${PIPESTATUS[0]}',
            *("bash", *frugalwatch.program, "run", "--summary", "none", "--", "yes"),
        ],
        env=dict(frugalwatch.environment, PYTHONPATH=str(REPOSITORY)),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert shell.stdout == b"y\n"
    assert shell.returncode == 128 + signal.SIGPIPE
    assert time.monotonic() - begun < 5


def test_a_pipe_that_the_job_closes_is_closed(frugalwatch: Frugalwatch) -> None:
    """Neither the supervisor nor the sampler may keep a reader waiting, nor a writer."""
    extra_read, extra_write = os.pipe()
    process = frugalwatch.start(
        *("run", "--summary", "none", "--", "sh", "-c"),
        f"exec <&- >&- {extra_write}>&-; sleep 30",
        stdin=subprocess.PIPE,
        pass_fds=(extra_write,),
    )
    os.close(extra_write)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        begun = time.monotonic()
        assert process.stdout.read() == b""
        assert os.read(extra_read, 1) == b""
        with until(5, "a broken pipe") as again, contextlib.suppress(BrokenPipeError):
            while again():
                os.write(process.stdin.fileno(), b"x" * 4096)
        assert time.monotonic() - begun < 10, "before the job's end"
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            process.communicate()
        os.close(extra_read)


def test_closed_standard_descriptors_stay_closed_for_the_job(frugalwatch: Frugalwatch) -> None:
    target = frugalwatch.folder / "seen"
    shell = subprocess.run(
        [
            *("sh", "-c", '"$@" <&- >&- 2>&-', "sh", *frugalwatch.program, "run", "--"),
            *(sys.executable, "-c"),
            "import os\nopen = []\nfor fd in range(3):\n"
            " try: os.fstat(fd); open.append(fd)\n except OSError: pass\n"
            f"os.write(os.open({str(target)!r}, os.O_WRONLY | os.O_CREAT), repr(open).encode())",
        ],
        env=dict(frugalwatch.environment, PYTHONPATH=str(REPOSITORY)),
        timeout=30,
        check=False,
    )
    assert shell.returncode == 0
    assert target.read_text() == "[]"
    assert frugalwatch.one("SELECT state FROM run") == "done"


def test_a_job_runs_exactly_once(frugalwatch: Frugalwatch) -> None:
    target = frugalwatch.folder / "count"
    for _ in range(3):
        frugalwatch("run", "--", "sh", "-c", f"echo once >> {target}")
    assert target.read_text() == "once\n" * 3


def test_a_script_without_an_interpreter_line_runs_in_a_shell(frugalwatch: Frugalwatch) -> None:
    script = frugalwatch.folder / "script"
    script.write_text("echo $0 $1\nexit 5\n")
    script.chmod(0o755)
    result = frugalwatch("run", "--summary", "none", "--", "./script", "word")
    assert (result.returncode, result.stdout) == (5, b"./script word\n")


def test_a_command_is_found_along_the_callers_path(frugalwatch: Frugalwatch) -> None:
    for folder, text in (("first", "#!/bin/sh\necho first\n"), ("second", "#!/bin/sh\necho 2\n")):
        (frugalwatch.folder / folder).mkdir()
        (frugalwatch.folder / folder / "tool").write_text(text)
    (frugalwatch.folder / "second" / "tool").chmod(0o755)  # the first may not be executed
    frugalwatch.environment["PATH"] = (
        f"{frugalwatch.folder}/first:{frugalwatch.folder}/second:{os.environ['PATH']}"
    )
    result = frugalwatch("run", "--summary", "none", "--", "tool")
    assert (result.returncode, result.stdout) == (0, b"2\n")


def test_a_job_whose_folder_was_removed_runs(frugalwatch: Frugalwatch) -> None:
    gone = frugalwatch.folder / "gone"
    gone.mkdir()
    result = frugalwatch(
        *("run", "--summary", "none", "--", "echo", "here"),
        cwd=gone,
        preexec_fn=gone.rmdir,
    )
    assert (result.returncode, result.stdout) == (0, b"here\n")
