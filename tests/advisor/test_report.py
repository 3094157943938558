"""The report as a person reads it: 80 columns, and the right sentence for each outcome."""

from __future__ import annotations

from typing import Any

from advisor.report import report, verification_report
from frugalwatch.report.style import Style

PLAIN = Style(on=False)
RATIO = {"value": 0.52, "low": 0.5, "high": 0.54, "rounds": 8}


def document(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "advice": "A1",
        "state": "done",
        "command": ["python", "/a/very/long/path/" * 6 + "infer.py"],
        "unit": "cpu_s",
        "trials": 41,
        "rounds": 8,
        "resolution": 0.031,
        "baselines": [
            {"name": "as written", "cpu_s": 4.1, "wall_s": 2.2, "energy_j": None},
            {"name": "one thread", "cpu_s": 2.1, "wall_s": 2.2, "energy_j": None},
        ],
        "recommendations": [],
        "not_recommended": [],
        "not_tried": [],
        "spent": {"cpu_s": 96.0, "wall_s": 112.0, "energy_j": None},
        "notes": ["other programs were busy meanwhile " * 3],
    }
    return {**found, **changes}


def recommendation(**changes: Any) -> dict[str, Any]:
    found = {
        "number": 1,
        "name": "one thread + no spinning + jemalloc",
        "technique": "combination",
        "ratio": RATIO,
        "wall_ratio": RATIO,
        "versus_one_thread": RATIO,
        "quality": {"finding": "within limit"},
        "saves_energy": False,
        "saved_per_run": {"value": 1.97, "low": 1.9, "high": 2.1},
        "pay_back_runs": 51,
        "shell": "export OMP_NUM_THREADS=1",
        "for_good": "set these variables where the job is started",
        "risk": "a single request may take longer",
    }
    return {**found, **changes}


def test_a_recommendation_fits_80_columns_and_says_how_to_apply_it() -> None:
    text = report(document(recommendations=[recommendation()]), PLAIN)
    assert max(map(len, text.splitlines())) <= 80
    flowing = " ".join(text.split())
    for part in (
        "-48 % (-50..-46)",
        "2.0 CPU-s",
        "frugalwatch run --with A1",
        "export OMP_NUM_THREADS=1",
        "after 51 runs",
        "±3.1 %",
        "CPU-seconds and wall-seconds",
        "not known without a counter",
        "measured and not added up",
    ):
        assert part in flowing


def test_energy_is_headed_so() -> None:
    text = report(document(unit="energy_j", recommendations=[recommendation()]), PLAIN)
    assert "joules of this machine's energy counters" in text
    assert "CPU time" not in text


def test_nothing_worth_doing_is_said() -> None:
    rejected = {
        "name": "one thread",
        "ratio": RATIO,
        "verdict": "no clear saving",
        "reason": "the difference is within the noise",
    }
    text = report(document(not_recommended=[rejected]), PLAIN)
    assert "Nothing worth doing" in text
    assert "no clear saving: the difference is within the noise" in text
    assert "run --with" not in text


def test_no_verdict_is_not_called_nothing_worth_doing() -> None:
    rejected = {
        "name": "one thread",
        "ratio": None,
        "verdict": "not confirmed",
        "reason": "too few rounds",
    }
    text = report(document(not_recommended=[rejected], resolution=1.4), PLAIN)
    assert "Nothing worth doing" not in text
    assert "No verdict: too few rounds." in text
    assert "worse than ±100 %" in text


def test_a_program_that_fails_now_and_then_is_not_called_frugal() -> None:
    note = "the program as written failed in 1 of 5 replays: nothing can be compared with it"
    text = " ".join(report(document(notes=[note]), PLAIN).split())
    assert "Nothing worth doing" not in text
    assert f"No verdict: {note}." in text


def test_verification_sets_promise_and_measurement_side_by_side() -> None:
    text = verification_report(
        {
            "advice": "A1",
            "recommendation": 1,
            "name": "one thread",
            "verdict": "not_held",
            "reason": "It saves clearly less than the cautious end of the promise.",
            "unit": "cpu_s",
            "promised": RATIO,
            "ratio": {"value": 0.9, "low": 0.85, "high": 0.95},
            "wall_ratio": None,
            "rounds": 8,
            "resolution": 0.02,
            "quality": {"finding": "identical"},
            "notes": [],
        },
        PLAIN,
    )
    assert "did NOT hold" in text
    assert "Promised   CPU time -48 % (-50..-46)" in text
    assert "Measured   CPU time -10 % (-15..-5)" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_a_unit_costs_stands_beside_what_a_run_costs() -> None:
    later = recommendation(
        name="torch.compile",
        technique="torch.compile",
        decided_by="unit",
        versus_one_thread=None,
        quality={"finding": "to rounding", "reason": "its modules' outputs move by 3e-07"},
        per_unit={
            "ratio": RATIO,
            "versus_one_thread": RATIO,
            "saved": 0.02,
            "start_extra": 4.2,
            "first_start_extra": 61.0,
            "pay_back_units": 4100,
        },
        risk="calls of another form than those that were seen run as they are written; " * 2,
        shell="",
        code="model = torch.compile(model)",
    )
    base = {"name": "as written", "cpu_s": 4.1, "wall_s": 2.2, "energy_j": None}
    text = report(
        document(
            recommendations=[later],
            work={"unit": "call", "count": 100},
            baselines=[{**base, "unit_cpu_s": 0.031, "unit_energy_j": None}],
            not_tried=[
                {"technique": "TF32", "reason": "no module of it is on a GPU"},
                {"technique": "cuDNN benchmark", "reason": "no module of it is on a GPU"},
            ],
        ),
        PLAIN,
    )
    assert max(map(len, text.splitlines())) <= 80
    flowing = " ".join(text.split())
    for part in (
        "per run; 0.0310 CPU-s per call",
        "per call -48 % (-50..-46) against one thread -48 % (-50..-46)",
        "first start +61 CPU-s; each start +4.2 CPU-s; earned back after 4,100 calls",
        "output: its modules' outputs move by 3e-07",
        "model = torch.compile(model)",
        "- TF32, cuDNN benchmark: no module of it is on a GPU",
    ):
        assert part in flowing, part
    assert flowing.count("risk:") == 1


def test_what_is_not_recommended_shows_both_costs_too() -> None:
    row = {
        "name": "autocast bfloat16",
        "verdict": "not confirmed",
        "reason": "noisy host",
        "ratio": RATIO,
        "per_unit": {"ratio": {**RATIO, "value": 0.41, "low": 0.4, "high": 0.42}},
    }
    text = report(document(not_recommended=[row], work={"unit": "step", "count": 60}), PLAIN)
    assert "-48 % (-50..-46); per step -59 % (-60..-58)" in text
    assert max(map(len, text.splitlines())) <= 80


def test_saved_waiting_is_said_in_seconds() -> None:
    row = recommendation(name="2 DataLoader workers", decided_by="time", saves_energy=True)
    flowing = " ".join(report(document(recommendations=[row]), PLAIN).split())
    assert "1.1 s" in flowing
    assert "saves waiting" in flowing
