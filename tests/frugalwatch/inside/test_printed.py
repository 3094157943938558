"""Numbers are picked out of what a program prints, and its streams stay what they are."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest

from tests.frugalwatch.inside.kit import Ran, job_environment, run_inside

ACCURACY = r"accuracy[=: ]+([0-9.]+)"


def metrics(ran: Ran) -> list[list[object]]:
    return [message[2:] for message in ran.told("metric")]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (ACCURACY, "print('accuracy: 0.5')", [["accuracy", 0.5]]),
        (ACCURACY, "print('accuracy 1, accuracy=.8.')", [["accuracy", 1.0], ["accuracy", 0.8]]),
        (ACCURACY, "print('accuracy', end=' '); print(1)", [["accuracy", 1.0]]),
        (ACCURACY, "print('accuracy 1', end='')", [["accuracy", 1.0]]),
        (ACCURACY, "print('accuracy 1\\raccuracy 2')", [["accuracy", 1.0], ["accuracy", 2.0]]),
        (ACCURACY, "print('accuracy 3', file=sys.stderr)", [["accuracy", 3.0]]),
        (ACCURACY, "sys.stdout.writelines(['accur', 'acy 4\\n'])", [["accuracy", 4.0]]),
        (ACCURACY, "logging.warning('accuracy 5')", [["accuracy", 5.0]]),
        (r"(\w+)_loss=(\S+)", "print('val_loss=1e-3')", [["val_loss", 0.001]]),
        (r"(?P<name>\w+) is (?P<value>\d+)(%)", "print('top1 is 97%')", [["top1", 97.0]]),
        (r"^ *([0-9.]+)$", "print(' 0.5')", [[r"^ *([0-9.]+)$", 0.5]]),
        (ACCURACY, "print('accuracy: ...')", []),
    ],
)  # fmt: skip
def test_a_printed_number_becomes_a_metric(
    pattern: str, text: str, expected: list[list[object]]
) -> None:
    ran = run_inside(f"import sys, logging\n{text}\n", hook={"metric": [pattern]})
    assert (ran.returncode, metrics(ran)) == (0, expected)
    assert ran.told("problem") == []


LOOK = """
import io, sys, numpy
class Mine(str):
    def __matmul__(self, other): return "mine"
print(type(sys.stdout), sys.stdout.isatty(), sys.stdout.line_buffering, sys.stdout.encoding)
print(sys.stdout.write("12345\\n"), sys.stdout.write(numpy.str_("accuracy 6\\n")))
for odd in (b"bytes", 3, None, ["list"]):
    try: sys.stdout.write(odd)
    except TypeError as error: print(error)
sys.stdout.reconfigure(encoding="ascii", errors="strict")
print("accuracy 7")
print("\\u00e9")
"""


def test_the_streams_are_the_same_and_fail_the_same() -> None:
    ours, plain = run_inside(LOOK, hook={"metric": [ACCURACY]}), run_inside(LOOK, hooked=False)
    assert ours.stdout == plain.stdout
    assert ours.stderr == plain.stderr
    assert "UnicodeEncodeError" in ours.stderr
    assert metrics(ours) == [["accuracy", 6.0], ["accuracy", 7.0]]


def test_a_terminal_stays_a_terminal(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    environment = job_environment(pipe=str(pipe), hook={"metric": [ACCURACY]})
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        text = "import sys; print('accuracy 8', sys.stdout.isatty(), sys.stdout.line_buffering)"
        os.execve(sys.executable, ["python", "-c", text], environment)
    shown = os.read(terminal, 4096)
    os.waitpid(pid, 0)
    assert shown == b"accuracy 8 True True\r\n"
    assert b'["metric"' in os.read(reader, 1 << 16)
    os.close(terminal)
    os.close(reader)


def test_a_broken_pipe_is_the_jobs_own() -> None:
    text = """
        import os
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(reader), os.close(writer)
        print("accuracy 9", "x" * 100_000)
    """
    ours, plain = run_inside(text, hook={"metric": [ACCURACY]}), run_inside(text, hooked=False)
    assert (ours.returncode, ours.stderr) == (plain.returncode, plain.stderr)
    assert "BrokenPipeError" in ours.stderr


def test_a_pattern_that_never_matches_is_said() -> None:
    ran = run_inside("print('loss 3')", hook={"metric": [ACCURACY]})
    ((_, _, text),) = ran.told("note")
    assert "no printed line" in text
    assert run_inside("pass", hook={"metric": [ACCURACY]}).told("note") == []
