"""Whatever is written into a job's pipe, the sampler reads on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.ledger.journal import Journal
from frugalwatch.sampler.messages import (
    Listener,
    MetricSaid,
    PhaseBegan,
    PhaseEnded,
    StepsSaid,
    latest,
    parse,
)
from frugalwatch.sampler.recorder import Recorder
from tests.frugalwatch.ledger.kit import Notices, run_end, run_start

EXPECTED = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
KINDS = ("begin", "end", "metric", "step", "hello", "rank", "problem", "note", "count", "spent")
KINDS += ("times",)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*KINDS, 10**400, -(2**63), 2**63]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.tuples(st.sampled_from([*KINDS, "later"]), JSON, JSON, JSON, JSON, JSON).map(list)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_each_kind_is_understood() -> None:
    assert parse(b'["begin", 7, 100, 90, "epoch", 3]') == PhaseBegan(7, 100, 90, "epoch", 3)
    assert parse(b'["begin", 7, 100, 90, "eval", null]') == PhaseBegan(7, 100, 90, "eval", None)
    assert parse(b'["end", 7, 200, 90]') == PhaseEnded(7, 200, 90)
    assert parse(b'["metric", 7, 300, "loss", 0.5]') == MetricSaid(7, 300, "loss", 0.5)
    assert parse(b'["step", 7, 400, 12]') == StepsSaid(7, 400, 12)
    assert parse(b'["step", 7, 400, 12, 350]') == StepsSaid(7, 350, 12), "the last was done then"


def test_a_kind_of_a_later_version_is_no_mistake() -> None:
    assert parse(b'["weather", 7, 100, "sunny"]') is None


@given(st.binary())
def test_any_bytes_are_refused_in_an_expected_way(data: bytes) -> None:
    try:
        parse(data)
    except EXPECTED:
        return


@given(NEARLY | JSON)
def test_any_json_is_refused_or_fits_the_ledger(value: object) -> None:
    try:
        message = parse(json.dumps(value).encode())
    except EXPECTED:
        return
    for field in flat(message or ()):
        assert isinstance(field, str | float | int | None)
        assert not isinstance(field, int) or -(2**63) <= field < 2**63
        assert not isinstance(field, str) or len(field) <= 500


def flat(fields: Iterable[object]) -> Iterator[object]:
    for field in fields:
        if isinstance(field, tuple):
            yield from flat(field)
        else:
            yield field


@given(lines=st.lists(st.binary() | NEARLY.map(lambda v: json.dumps(v).encode()), max_size=8))
def test_whatever_comes_through_the_pipe_a_good_message_after_it_is_heard(
    lines: list[bytes],
) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        listener = Listener(reader)
        for line in lines:
            os.write(writer, line + b"\n")
        os.write(writer, b'["step", 1, 2, 3]\n')
        assert listener.receive()[-1] == StepsSaid(1, 2, 3)
    finally:
        os.close(reader)
        os.close(writer)


def test_a_message_in_two_pieces_is_one(pipe: tuple[int, int]) -> None:
    listener = Listener(pipe[0])
    os.write(pipe[1], b'["step", 1, ')
    assert listener.receive() == []
    os.write(pipe[1], b"2, 3]\n")
    assert listener.receive() == [StepsSaid(1, 2, 3)]
    assert listener.bad == 0


def test_a_line_without_end_is_given_up(pipe: tuple[int, int]) -> None:
    listener = Listener(pipe[0])
    for _ in range(4):
        os.write(pipe[1], b"x" * 40_000)
        assert listener.receive() == []
    os.write(pipe[1], b'\n["step", 1, 2, 3]\n')
    assert listener.receive() == [StepsSaid(1, 2, 3)]
    assert listener.bad >= 1


def test_an_empty_pipe_is_no_message(pipe: tuple[int, int]) -> None:
    listener = Listener(pipe[0])
    assert listener.receive() == []
    assert listener.bad == 0


def test_a_full_pipe_is_read_in_one_go(pipe: tuple[int, int]) -> None:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe[1], b'["metric", 1, %d, "x", 3]\n' % count)
            count += 1
    assert count > 1000
    assert len(Listener(pipe[0]).receive()) == count


def test_of_what_is_told_cumulatively_only_the_last_of_a_stretch_is_read() -> None:
    lines = [
        b'["step",1,10,1]',
        b'["count",1,10,"step",1,null]',
        b'["count",1,11,"batch",1,32]',
        b'["times",1,12,"step",[[700,1]]]',
        b'["count",2,13,"step",5,null]',
        b'["count",1,14,"step",2,null]',
        b'["times",1,15,"step",[[800,1]]]',
        b'["step",1,16,2]',
        b'["begin",1,17,16,"epoch",null]',
        b'["step",1,18,3]',
        b'["spent",1,19,{"forward":1}]',
        b'["spent",1,20,{"forward":2}]',
        b'["hello",1,21,"3.12",null,null,null,"x",[]]',
        b'["spent",1,22,{"forward":1}]',
        b"nonsense",
    ]
    left_out = {0, 1, 10}
    kept = latest(lines)
    assert sorted(kept) == sorted(line for n, line in enumerate(lines) if n not in left_out)
    assert kept.index(lines[7]) < kept.index(lines[8]) < kept.index(lines[9]), "a phase's steps"
    assert kept.index(lines[11]) < kept.index(lines[12]) < kept.index(lines[13])


@given(st.lists(NEARLY.map(lambda v: json.dumps(v, separators=(",", ":")).encode()), max_size=30))
def test_leaving_lines_out_leaves_the_last_of_each_kind(lines: list[bytes]) -> None:
    kept = latest(lines)
    assert set(kept) <= set(lines)
    assert [line for line in kept if b"begin" in line[:8]] == [
        line for line in lines if b"begin" in line[:8]
    ]
    assert not lines or lines[-1] in kept


def test_strange_names_and_times_reach_the_ledger_or_are_refused(tmp_path: Path) -> None:
    """The recorder takes what `parse` lets through, whatever the job's clock or words are."""
    journal = Journal(str(tmp_path / "l.db"), notify=Notices(), fallback_dirs=())
    journal.open_run(run_start("run-1"))
    recorder = Recorder(journal)
    lines = [
        b'["begin", 1, -9223372036854775808, 9223372036854775807, "\\ud800\\u0000 x", null]',
        b'["end", 1, 9223372036854775807, 9223372036854775807]',
        b'["end", 1, 5, 77]',
        b'["begin", 1, 5, 5, "", -9223372036854775808]',
        b'["metric", 1, 5, "\\udfff", NaN]',
        b'["metric", 1, 5, "x", Infinity]',
        b'["metric", -1, 5, "x", -1e308]',
        b'["step", 1, 5, 9223372036854775807]',
        b'["step", 1, 5, -1]',
        b'["step", 1, 5, 4]',
    ]
    for line in lines:
        message = parse(line)
        assert message is not None
        recorder.say([message])
    assert journal.commit()
    connection = journal.finish(run_end(102))
    assert connection.execute("SELECT count(*) FROM phase").fetchone() == (2,)
    assert connection.execute("SELECT count(*) FROM metric").fetchone() == (3,)
    assert journal.where == str(tmp_path / "l.db"), "and not thought a failure of the ledger"
    journal.close()
