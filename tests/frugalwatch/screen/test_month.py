"""Reading a month: no look goes through samples, and what is known is not read again."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frugalwatch.screen.advice.reading import AdvicePart
from frugalwatch.screen.machine.reading import MachinePart
from frugalwatch.screen.machine.records import MachineLook
from frugalwatch.screen.reading import LedgerWatch, PartFactory
from tests.frugalwatch.ledger.advice_kit import add_advice, add_verification
from tests.frugalwatch.screen.kit import CPU, GPU, START_S, LiveRun, World, watch

# Tables that grow with time, which nothing may read from end to end.
_LONG = r"SCAN (sample|usage|gpu_usage|event|metric|step|phase|trial|condition)\b"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "frugalwatch.db"
    for number in range(30):
        # Some overlap, and one lies across midnight.
        world = World(START_S + 86_380 - 1000 + 50 * number)
        run = LiveRun(path, world, (GPU, CPU), run_key=f"{number:03}")
        run.journal.gpu_usage(run.handles[GPU.key], world.mono_ns(), 0, 0)
        run.go(60 if number % 3 else 20, {GPU.key: 100.0, CPU.key: 36.0})
        run.end()
    conn = sqlite3.connect(path, isolation_level=None)
    add_verification(conn, add_advice(conn, "2025-a"))
    conn.close()
    return path


@contextmanager
def traced(reader: LedgerWatch) -> Iterator[list[str]]:
    """Every statement that the reader gives to its open connection."""
    said: list[str] = []
    assert reader._connection is not None
    reader._connection.set_trace_callback(said.append)
    yield said
    reader._connection.set_trace_callback(None)


def plans(ledger: Path, statements: list[str]) -> str:
    conn = sqlite3.connect(ledger)
    selects = {text for text in statements if text.lstrip().upper().startswith("SELECT")}
    found = [row[3] for text in selects for row in conn.execute(f"EXPLAIN QUERY PLAN {text}")]
    conn.close()
    return "\n".join(found)


@pytest.mark.parametrize("part", [MachinePart, AdvicePart])
def test_no_look_reads_a_long_table_from_end_to_end(ledger: Path, part: PartFactory) -> None:
    world = World(START_S + 90_000)
    reader = watch(ledger, world)
    reader.look(limit=1)
    with traced(reader) as said:
        for _ in range(20):
            look = reader.look(limit=1, part=part)
    assert look.trouble is None
    found = plans(ledger, said)
    assert "SEARCH" in found
    assert not re.findall(_LONG, found), found
    reader.close()


def test_what_was_added_up_is_not_read_again(ledger: Path) -> None:
    world = World(START_S + 90_000)
    reader = watch(ledger, world)
    while True:
        look = reader.look(limit=1, part=MachinePart)
        assert isinstance(look.part, MachineLook)
        if look.part.read_back_to_utc_s is None:
            break
    with traced(reader) as said:
        again = reader.look(limit=1, part=MachinePart)
    assert again.part == look.part
    own = [text for text in said if "run_device" in text or "sample" in text]
    # The header's run is read at every look, the sums are not.
    assert not [text for text in own if "run_device" in text]
    reader.close()


def test_days_add_up_to_the_months_energy_however_runs_overlap(ledger: Path) -> None:
    """Every second that any run recorded counts once, at 136 W."""
    world = World(START_S + 90_000)
    reader = watch(ledger, world)
    look = reader.look(limit=1, part=MachinePart)
    while isinstance(look.part, MachineLook) and look.part.read_back_to_utc_s is not None:
        look = reader.look(limit=1, part=MachinePart)
    assert isinstance(look.part, MachineLook)
    seconds = set()
    for number in range(30):
        begin = 85_380 + 50 * number
        seconds |= set(range(begin, begin + (60 if number % 3 else 20)))
    month = look.part.periods[-1].total
    assert month.measured is not None
    assert month.measured.value == pytest.approx(136.0 * len(seconds), rel=1e-6)
    assert month.runs == 30
    by_day = [tally.measured.value for _, tally in look.part.days if tally.measured]
    assert sum(by_day) == pytest.approx(month.measured.value)
    reader.close()
