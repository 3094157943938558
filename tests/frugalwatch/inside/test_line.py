"""Messages are JSON, and what is told from one process arrives in order."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.inside.path._frugalwatch.line import Line, encode
from tests.frugalwatch.inside.kit import run_inside

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(values)
def test_what_is_encoded_reads_as_json(value: Any) -> None:
    text = encode(value)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text) == value


def test_numbers_that_json_lacks_are_written_as_pythons_json_does() -> None:
    assert encode([math.nan, math.inf, -math.inf]) == json.dumps(
        [math.nan, math.inf, -math.inf], separators=(",", ":")
    )
    assert json.loads(encode("\ud800")) == "\ud800"


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError):
        encode(object())


def test_a_closed_standard_input_stays_closed(tmp_path: Path) -> None:
    result = tmp_path / "result"
    text = (
        "import os; there = os.path.exists('/proc/self/fd/0');"
        f" open({str(result)!r}, 'w').write(str(there))"
    )
    ran = run_inside(["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, text])
    assert result.read_text() == "False"
    assert len(ran.told("hello")) == 1


def test_the_same_problem_is_told_a_few_times_only(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    line = Line(str(pipe))
    for _ in range(50):
        line.problem("here", ValueError("x" * 10_000))
    line.problem("there", "text")
    said = [json.loads(each) for each in os.read(reader, 1 << 16).splitlines()]
    os.close(reader)
    assert [message[3] for message in said] == ["here", "here", "here", "there"]
    assert all(len(message[4]) <= 500 for message in said)


def test_a_forked_child_counts_and_tells_by_itself() -> None:
    ran = run_inside(
        """
        import os
        from _frugalwatch.line import process_line
        from _frugalwatch.tallies import tallies_of
        tally = tallies_of(process_line()).tally("call")
        for number in range(5): tally.add(number, 1, 2)
        child = os.fork()
        if child == 0:
            tally.add(9, 1, 2)
            os._exit(0)
        os.waitpid(child, 0)
        print(child, os.getpid())
        """
    )
    child, parent = map(int, ran.stdout.split())
    assert ran.counts(child) == {"call": 1}
    assert ran.counts(parent) == {"call": 5}
    assert [message[0] for message in ran.told("hello")] == [parent, child]
    assert ran.samples("call") == [10, 2]
