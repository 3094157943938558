"""Ways to serve a program's own requests: which are offered, and what replaying them finds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from advisor.inside import Inside, Padding, Root
from advisor.replay import Isolation, Replayer
from advisor.sampling import take_sample
from advisor.techniques.base import Change, Variant
from advisor.trace.found import Serving, serve
from advisor.trace.measure import (
    AGAIN,
    AS_IT_CAME,
    ONE_THREAD,
    Latency,
    Replayed,
    Served,
    Untold,
    replay_trace,
)
from advisor.trace.practices import Practice, Trace, practices, stacked, with_inner
from advisor.trace.words import trace_lines
from advisor.workload import Workload
from frugalwatch.errors import UsageError
from frugalwatch.ledger.advice import find_advice
from frugalwatch.ledger.connection import open_ledger
from tests.advisor.kit import written
from tests.advisor.test_sandbox import needs_namespaces

MIXED = Trace(calls=40, rows=32, repeats=0.0, distinct=40, padding=0.5, lengths=30)
SINGLE = Trace(calls=400, rows=1, repeats=0.4, distinct=240, padding=0.0, lengths=90)


def reasons(trace: Trace, limit_s: float | None = None) -> dict[str, str]:
    _, answers = practices(trace, limit_s)
    return {name: ("+ " if a.yes else "- ") + a.reason for name, a in answers.items()}


def test_mixed_batches_are_sorted_and_single_requests_are_batched() -> None:
    found = reasons(MIXED)
    assert found["sorting by length"] == "+ 50 % of what its batches of 32 hold is padding"
    assert found["batching"].startswith("- its calls hold 32 requests already")
    assert found["caching"].startswith("- 0 % of its calls repeat")
    single = reasons(SINGLE)
    assert single["sorting by length"].startswith("- its calls hold one request each")
    assert single["batching"].startswith("+ its calls hold one request each")
    assert single["caching"] == "+ 40 % of its calls repeat an earlier one, 240 are distinct"


def test_a_latency_limit_decides_how_long_a_request_waits() -> None:
    offered, answers = practices(SINGLE, 0.1)
    assert "100 ms to answer in" in answers["batching"].reason
    batched = next(each for each in offered if each.batch)
    assert batched.wait_s == pytest.approx(0.05)
    assert "50 ms" in batched.code


def test_a_few_requests_are_no_trace() -> None:
    few = Trace(calls=3, rows=1, repeats=0.5, distinct=2, padding=0.0, lengths=1)
    assert practices(few, None)[0] == []


def test_batches_and_a_cache_are_stacked() -> None:
    both = stacked(practices(SINGLE, None)[0])
    assert both is not None
    assert (both.batch, both.cache) == (32, 240)
    assert stacked(practices(MIXED, None)[0]) is None


def served(practice: Practice, factor: float, **other: Any) -> Served:
    rounds = tuple(factor * (1 + 0.01 * (at % 3)) for at in range(6))
    found = {"batches": 1, "hits": 0, "distance": 0.0, "largest": 0.0, "latency": None, **other}
    return Served(practice, rounds, rounds, **found)


def document(*rows: Served, limit_s: float | None = None, again: float = 1.0) -> dict[str, Any]:
    base = (served(AS_IT_CAME, 1.0), served(AGAIN, again), served(ONE_THREAD, 0.8))
    replayed = Replayed(100, 90, 10, 2, (*base, *rows))
    return Serving("Encoder", replayed, {}, "", limit_s).as_json()


FAST = Practice("sorted", batch=8, window=64, threads=1, code="sort()", risk="waits")


def test_what_saves_is_recommended_against_both_baselines() -> None:
    found = document(served(FAST, 0.4))
    (row,) = found["recommendations"]
    assert row["number"] == "T1"
    assert row["kind"] == "replayed on trace"
    assert row["ratio"]["value"] == pytest.approx(0.4, rel=0.02)
    assert row["versus_one_thread"]["value"] == pytest.approx(0.5, rel=0.02)
    text = "\n".join(trace_lines(found))
    assert "T1  sorted" in text
    assert "sort()" in text
    assert "not applied by run --with" in text
    assert all(len(line) <= 80 for line in trace_lines(found))


@pytest.mark.parametrize(
    ("row", "again", "verdict"),
    [
        (served(FAST, 0.4, largest=0.1, distance=0.01), 1.0, "changes the answers"),
        (served(FAST, 0.8), 1.0, "no clear saving"),  # one thread alone saves as much
        (served(FAST, 0.4, latency=Latency(0.1, 0.3, 0.4)), 1.0, "too slow"),
        (served(FAST, 0.4), 1.5, "not confirmed"),
    ],
)
def test_what_does_not_save_says_why(row: Served, again: float, verdict: str) -> None:
    found = document(row, limit_s=0.2, again=again)
    assert found["recommendations"] == []
    assert found["not_recommended"][0]["verdict"] == verdict


# Short and long ones in turn, each text twice; plain additions, so that only work counts.
PROGRAM = """
import sys, time, torch
torch.manual_seed(0)
pause_s = float(sys.argv[2])
class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(50, 64)
        self.layer = torch.nn.TransformerEncoderLayer(64, 2, 256, batch_first=True)
    def forward(self, input_ids, attention_mask):
        time.sleep(pause_s)
        words = self.words(input_ids)
        return {"states": self.layer(words, src_key_padding_mask=attention_mask == 0)}
model = Encoder().eval()
texts = [[1 + (at * n) % 49 for at in range(n)] for n in (4, 240, 6, 5)] * 16
size = int(sys.argv[1])
with torch.no_grad():
    for at in range(0, len(texts), size):
        rows = texts[at : at + size]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        model(ids, attention_mask=mask)
print("done")
"""


def replayed(
    tmp_path: Path,
    size: int,
    limit_s: float | None = None,
    swaps: Sequence[Variant] = (),
    *,
    seconds: float = 15,
    pause_s: float = 0,
    seen: Callable[[Replayed], None] = lambda _: None,
) -> dict[str, Any]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FRUGALWATCH", "PYTHON"))}
    command = (sys.executable, written(tmp_path, "p.py", PROGRAM), str(size), str(pause_s))
    work = Workload(command, str(tmp_path), {**kept, "OMP_NUM_THREADS": "1"})
    (tmp_path / "private").mkdir()
    replayer = Replayer(work, Isolation(), str(tmp_path / "private"), hook=True)
    replayer.replay(watch=True)
    sample, _ = take_sample(replayer)

    def replaying(sample: Any, module: Any, found: list[Practice]) -> Replayed | Untold:
        replay = replay_trace(replayer, sample, module, found, seconds=seconds, seed=1)
        if isinstance(replay, Replayed):
            seen(replay)
        return replay

    found = serve(sample, replayer.inside, limit_s, replaying, swaps=swaps)
    assert found is not None
    return found.as_json()


@needs_namespaces
@pytest.mark.timeout(300)
def test_sorting_mixed_batches_saves_what_was_padding(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = replayed(tmp_path, 4)
    assert found["reason"] == ""
    assert found["requests"] >= 32  # of 64: as many as fit into the time
    assert found["distinct"] == 4
    rows = {row["name"]: row for row in found["recommendations"] + found["not_recommended"]}
    in_order = rows["sorted, batches of 4"]
    assert in_order["quality"]["lossless"]
    assert in_order["versus_one_thread"]["value"] < 0.7  # the truth is about 0.3
    cached = rows["cache of 4"]
    assert cached["hit_rate"] == pytest.approx(1 - 4 / found["requests"])
    assert cached["quality"]["finding"] == "identical"
    assert cached["versus_one_thread"]["value"] < 0.5  # the truth is a sixteenth


@needs_namespaces
@pytest.mark.timeout(300)
def test_single_requests_are_batched_as_their_arrival_allows(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = replayed(tmp_path, 1, limit_s=20.0)
    rows = {row["name"]: row for row in found["recommendations"] + found["not_recommended"]}
    batched = rows["batched within 20000 ms"]
    assert batched["batches"] <= 2  # of 32: all arrived within the half of 20 s
    assert batched["quality"]["lossless"]
    assert 0 < batched["latency"]["p50_s"] <= batched["latency"]["p99_s"]


SWAP = """
def make(module, args, kwargs, options):
    def run(*args, **kwargs):
        states = module(*args, **kwargs)["states"]
        return {"states": states if options["exact"] else (states * 8).round() / 8}
    return run
"""


def swap(tmp_path: Path, *, exact: bool) -> Variant:
    factory = f"{written(tmp_path, 'swap.py', SWAP)}:make"
    switch = {"factory": factory, "options": {"exact": exact}, "class": "Encoder"}
    name = "exact" if exact else "coarse"
    change = Change(switches={"replace": switch})
    return Variant(name, "swap", change, lossy=not exact)


@needs_namespaces
@pytest.mark.timeout(300)
def test_batches_are_also_run_by_what_won_in_the_program(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("numpy")
    swaps = [swap(tmp_path, exact=True), swap(tmp_path, exact=False)]
    found = replayed(tmp_path, 4, swaps=swaps)
    assert found["reason"] == ""
    rows = {row["name"]: row for row in found["recommendations"] + found["not_recommended"]}
    exact = rows["sorted, batches of 4 + cache of 4, exact"]
    assert exact["quality"]["lossless"]
    assert exact["quality"]["gate"] is None
    coarse = rows["sorted, batches of 4 + cache of 4, coarse"]
    assert coarse["quality"]["distance"] > 1e-4
    assert coarse["verdict"] == "cannot tell"  # four different texts are too few to judge by


@needs_namespaces
@pytest.mark.timeout(300)
def test_more_requests_are_judged_than_there_is_time_to_measure(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("numpy")
    seen: list[Replayed] = []
    coarse = swap(tmp_path, exact=False)
    found = replayed(tmp_path, 4, swaps=[coarse], seconds=8, pause_s=0.03, seen=seen.append)
    assert found["requests"] < 64
    (replay,) = seen
    ((own, new),) = next(s.answers for s in replay.served if s.practice.lossy)
    assert len(own.items) == len(new.items) == 64


def test_un_padding_leaves_its_inner_implementation_to_the_practice() -> None:
    inner = {"factory": "/f.py:make", "options": {"model": "m"}}
    outer = {"factory": "/u.py:make", "outer": True}
    both = Variant(
        "one thread + int8 + un-padding",
        "combination",
        Change(switches={"replace": {**outer, "options": {"inner": inner}}}),
        lossy=True,
        calibrated=("d1",),
    )
    found = with_inner(FAST, both)
    assert found is not None
    assert found.name == "sorted, int8"
    assert found.inner == inner
    assert found.lossy
    assert found.calibrated == {"d1"}
    alone = Variant("u", "un-padding", Change(switches={"replace": {**outer, "options": {}}}))
    assert with_inner(FAST, alone) is None
    assert with_inner(FAST, Variant("t", "threads", Change())) is None


def test_a_training_has_no_trace() -> None:
    inside = Inside((Root("Net", {"training grad": 9}),), learns=True)
    assert serve(None, inside, None, lambda *_: pytest.fail("nothing to replay")) is None
    assert Padding(1, 2, 10, 4, True).share == pytest.approx(0.4)


def test_run_with_and_verify_say_that_it_needs_code(tmp_path: Path) -> None:
    with (
        closing(open_ledger(str(tmp_path / "l.db"), create=True)) as conn,
        pytest.raises(UsageError, match=r"A1\.T1 was replayed on a trace") as caught,
    ):
        find_advice(conn, "A1.T1")
    assert caught.value.hint == "frugalwatch advice A1"
