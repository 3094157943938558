"""Our exit status is the job's, whatever happens to us."""

from __future__ import annotations

import os
import resource
import signal
import subprocess

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch


@pytest.mark.parametrize("code", [0, 1, 2, 42, 125, 130, 255])
def test_the_jobs_exit_code_is_ours(frugalwatch: Frugalwatch, code: int) -> None:
    run, result = frugalwatch.measure("--", "sh", "-c", f"exit {code}")
    assert result.returncode == code
    assert (run["exit_code"], run["exit_signal"], run["state"]) == (code, None, "done")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1])
def test_a_job_killed_by_a_signal_gives_128_and_its_number(
    frugalwatch: Frugalwatch, number: int
) -> None:
    run, result = frugalwatch.measure("--", "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
    assert result.returncode == 128 + number
    assert (run["exit_code"], run["exit_signal"], run["state"]) == (128 + number, number, "killed")


def test_a_command_that_is_not_there_gives_127(frugalwatch: Frugalwatch) -> None:
    for command in ("no-such-command-anywhere", "./nor-here", "", "/etc/passwd/x"):
        result = frugalwatch("run", "--", command)
        assert result.returncode == 127, command
        assert result.said == f"frugalwatch: {command}: command not found\n"
        assert not frugalwatch.ledger.exists(), "what did not run is no run"


def test_a_file_that_is_no_program_gives_126(frugalwatch: Frugalwatch) -> None:
    plain = frugalwatch.folder / "plain"
    plain.write_text("#!/bin/sh\n")
    folder = frugalwatch.folder / "folder"
    folder.mkdir()
    for command in (plain, folder):
        result = frugalwatch("run", "--", str(command))
        assert result.returncode == 126
        assert "cannot be executed: Permission denied" in result.said


def test_a_program_whose_interpreter_is_missing_is_not_found(frugalwatch: Frugalwatch) -> None:
    script = frugalwatch.folder / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert frugalwatch("run", "--", "./script").returncode == 127


def test_a_job_whose_name_is_like_ours_is_waited_for(frugalwatch: Frugalwatch) -> None:
    for name in ("fw-train", "fw-sampler", "fw-nvidia"):
        link = frugalwatch.folder / name
        link.write_text("#!/bin/sh\nexit 9\n")
        link.chmod(0o755)
        run, result = frugalwatch.measure("--", f"./{name}", timeout_s=20)
        assert result.returncode == 9
        assert run["exit_code"] == 9


def test_a_closed_standard_output_does_not_change_the_status(frugalwatch: Frugalwatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = frugalwatch("run", "--json", "-", "--", "sh", "-c", "exit 4", stdout=writer)
    os.close(writer)
    assert result.returncode == 4


def test_a_closed_standard_error_does_not_change_the_status(frugalwatch: Frugalwatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = frugalwatch("run", "--", "sh", "-c", "exit 4", stderr=writer)
    os.close(writer)
    assert result.returncode == 4


def test_a_device_as_json_target_is_written_to_and_not_replaced(frugalwatch: Frugalwatch) -> None:
    pipe = frugalwatch.folder / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    result = frugalwatch("run", "--json", str(pipe), "--", "sh", "-c", "exit 4")
    out, _ = reader.communicate(timeout=10)
    assert result.returncode == 4
    assert b'"frugalwatch.run/1"' in out


def test_a_job_that_cannot_be_forked_is_said(as_nobody: Frugalwatch) -> None:
    result = as_nobody(
        *("run", "--", "true"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (1, 1)),
    )
    assert result.returncode == 126
    assert (
        result.said == "frugalwatch: true: cannot be executed: Resource temporarily unavailable\n"
    )


def test_the_last_free_process_is_the_jobs_and_not_ours(as_nobody: Frugalwatch) -> None:
    result = as_nobody(
        *("run", "--", "echo", "here"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (2, 2)),
    )
    assert (result.returncode, result.stdout) == (0, b"here\n")


def test_our_own_failure_leaves_the_job_its_status(frugalwatch: Frugalwatch) -> None:
    (frugalwatch.folder / "state" / "frugalwatch").write_text("a file where a folder should be")
    result = frugalwatch("run", "--", "sh", "-c", "echo out; exit 6")
    assert (result.returncode, result.stdout) == (6, b"out\n")
    assert "saved in" in result.said
