"""Latency, memory, the user's limits, and which variants no other one beats."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import pytest

from advisor.document import advice_document
from advisor.footprint import Latency, MemoryWatch, file_bytes, latency_in
from advisor.limits import Limits
from advisor.needs import front, needs_of
from advisor.ranking import Question, judge_all
from advisor.replay import Replay
from advisor.techniques.base import AS_WRITTEN, Change
from advisor.trials import Stage, Trial, Trials
from advisor.workload import Workload
from tests.advisor.kit import ScriptedReplays, search, variant


def point(cost: float, latency: float | None, memory: float | None = None, loss: float | None = 0):
    return {"cost_ratio": cost, "latency_s": latency, "memory_bytes": memory, "loss": loss}


def test_the_front_is_what_nothing_else_beats_in_everything() -> None:
    points = {
        "as written": point(1.0, 0.010, 400),
        "cheap and slow": point(0.5, 0.020, 400),
        "dear and quick": point(1.5, 0.005, 400),
        "cheap but slower": point(0.7, 0.021, 400),
    }
    assert front(points, 0.05) == ["as written", "cheap and slow", "dear and quick"]


def test_noise_makes_nobody_better() -> None:
    points = {"one": point(0.50, 0.010), "other": point(0.51, 0.010)}
    assert front(points, 0.05) == ["one", "other"]
    assert front(points, 0.001) == ["one"]


def test_what_is_unknown_of_one_is_not_held_against_it_but_unknown_answers_are() -> None:
    points = {"timed": point(0.5, 0.01), "not timed": point(0.6, None)}
    assert front(points, 0.01) == ["timed", "not timed"]
    answers = {"kept": point(0.5, 0.01, loss=0.0), "nobody can tell": point(0.6, 0.01, loss=None)}
    assert front(answers, 0.01) == ["kept"]


def latency(p95_s: float | None) -> Latency:
    return Latency("call", 100, 0.01, p95_s)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (latency(0.02), ""),
        (latency(0.06), "60 ms per call (p95) is beyond your limit of 50 ms"),
        (latency(None), ""),  # too few for a p95: the p50 decides
        (None, "could not be measured"),
    ],
)
def test_a_latency_limit_is_of_the_95th_percentile(found: Latency | None, said: str) -> None:
    assert said in Limits(latency_s=0.05).exceeded_by(found, None)
    assert bool(Limits(latency_s=0.05).exceeded_by(found, None)) is bool(said)


def test_a_memory_limit_is_of_all_processes_at_their_peak() -> None:
    limits = Limits(memory_bytes=100 * 2**20)
    assert limits.exceeded_by(None, 90 * 2**20) == ""
    assert "120 MiB of memory are beyond your limit of 100 MiB" in limits.exceeded_by(
        None, 120 * 2**20
    )
    assert Limits().exceeded_by(None, None) == ""


def test_percentiles_are_only_given_where_there_are_enough_durations() -> None:
    def run(count: int) -> dict[str, object]:
        times = {"durations": count, "p50_s": 0.1, "p95_s": 0.2, "p99_s": 0.3}
        return {"units": [{"unit": "call", "durations": times}, {"unit": "step"}]}

    few, some, many = (latency_in(run(n), "call") for n in (19, 20, 100))
    assert few is not None
    assert (few.p95_s, few.p99_s) == (None, None)
    assert some is not None
    assert (some.p95_s, some.p99_s) == (0.2, None)
    assert many is not None
    assert (many.p95_s, many.p99_s) == (0.2, 0.3)
    assert latency_in(run(9), "step") is None
    assert latency_in(run(9), None) is None


def replay(stage: Stage, number: int, p50_s: float, memory: int) -> Trial:
    found = Latency("call", 10, p50_s)
    done = Replay("ok", 0, 0, 1, 1, None, "", "", "", latency=found, peak_memory_bytes=memory)
    return Trial(stage, number, "x", AS_WRITTEN, done)


def test_needs_are_those_of_the_confirmation_and_no_single_round_decides() -> None:
    trials = Trials([replay("probe", 0, 9.0, 900), replay("screening", 0, 5.0, 500)])
    assert needs_of(trials, ["x"]).peak_memory_bytes == 500
    trials.all += [replay("confirmation", n, s, 100) for n, s in enumerate((1.0, 1.0, 1.1, 40.0))]
    found = needs_of(trials, ["x"])
    assert found.latency is not None
    assert found.latency.p50_s < 2
    assert (found.latency.durations, found.peak_memory_bytes) == (40, 100)
    assert needs_of(trials, ["y"]).latency is None


class Needing(ScriptedReplays):
    """One change is quick and large, the other is slow and small."""

    def replay(self, change: Change = AS_WRITTEN, **words: Any) -> Replay:
        found = super().replay(change, **words)
        slow = 0.08 if "slow" in change.set else 0.02
        memory = 900 if "large" in change.set else 300
        return replace(
            found, latency=Latency("call", 100, 0.01, slow), peak_memory_bytes=memory * 2**20
        )


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        (Limits(), ["slow", "large"]),
        (Limits(latency_s=0.05), ["large"]),
        (Limits(memory_bytes=500 * 2**20), ["slow"]),
        (Limits(0.05, 500 * 2**20), []),
        (Limits(latency_s=0.001), []),
    ],
)
def test_what_is_beyond_a_limit_is_rejected_with_the_reason(
    limits: Limits, allowed: list[str]
) -> None:
    hunt = search(Needing({"slow": 0.5, "large": 0.6}))
    hunt.look()
    variants = [variant("slow"), variant("large")]
    hunt.confirm(variants)
    question = Question("cpu_s", 1, limits=limits)
    judged = judge_all(hunt.trials, variants, variants, question, None)
    assert [j.variant.name for j in judged if j.verdict == "recommended"] == allowed
    rejected = [j for j in judged if j.verdict != "recommended"]
    assert all(j.verdict == "beyond a limit" and "your limit of" in j.reason for j in rejected)
    document = advice_document(
        number=1,
        workload=Workload(("true",), "/", {}),
        question=question,
        trials=hunt.trials,
        judgements=judged,
        answers=[],
        one_thread=None,
        notes=[],
        state="done",
        isolation="",
        metric_pattern=None,
        wall_s=1.0,
    )
    said = "the program as written: 20 ms" in " ".join(document["notes"])  # type: ignore[call-overload]
    assert said is (limits.latency_s == 0.001)
    points = {p["name"]: p["on_front"] for p in document["pareto"]}  # type: ignore[attr-defined]
    assert points == {"as written": True, "slow": True, "large": True}
    assert len(document["timeline"]) == document["trials"]  # type: ignore[arg-type]


def test_memory_of_a_process_and_its_child_is_added_up() -> None:
    """Each holds 64 MiB that were written to, and waits."""
    code = (
        "import os, sys\nif len(sys.argv) < 2 and os.fork() == 0: pass\n"
        "block = bytearray(64 * 2**20)\nblock[::4096] = b'x' * len(block[::4096])\n"
        "print(flush=True)\nsys.stdin.read()"
    )
    outer = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    process = subprocess.Popen(
        [*outer, sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    watch = MemoryWatch(process.pid, frozenset())
    watch.start()
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()  # both have written
        until = time.monotonic() + 30
        while (watch.peak_bytes or 0) < 128 * 2**20 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        watch.stop()
        process.communicate(b"")
    assert watch.peak_bytes is not None
    assert 128 * 2**20 <= watch.peak_bytes < 260 * 2**20


def test_the_size_of_a_folder_is_that_of_its_files(tmp_path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"12345")
    (tmp_path / "two").write_bytes(b"123")
    assert file_bytes(str(tmp_path)) == 8
    assert file_bytes(str(tmp_path / "two")) == 3
    assert file_bytes(os.path.join(str(tmp_path), "none")) is None
