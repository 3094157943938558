"""A document with everything in it that reports can show."""

from __future__ import annotations

from typing import Any

from advisor.report.scale import Scale
from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings

RATIO = {"value": 0.5, "low": 0.45, "high": 0.55, "rounds": 8}
GRID = GridFactor(
    zone="DE",
    zone_name="Germany",
    year=2024,
    kind="average-lifecycle",
    source="Ember",
    attribution="Ember, CC BY 4.0",
    g_per_kwh=400.0,
)


def latency(p50_s: float, p95_s: float | None = None) -> dict[str, Any]:
    return {"unit": "call", "durations": 640, "p50_s": p50_s, "p95_s": p95_s, "p99_s": None}


def recommendation(**changes: Any) -> dict[str, Any]:
    found = {
        "number": 1,
        "name": "int8 <fast> & small",
        "technique": "int8",
        "change": {"set": {}, "unset": [], "switches": {"replace": {}}},
        "verdict": "recommended",
        "reason": "",
        "decided_by": "whole",
        "ratio": RATIO,
        "wall_ratio": {**RATIO, "value": 0.6, "low": 0.58, "high": 0.62},
        "versus_one_thread": None,
        "saves_energy": True,
        "saved_per_run": {"value": 2.0, "low": 1.8, "high": 2.2},
        "pay_back_runs": 51,
        "quality": {
            "finding": "within limit",
            "reason": "the same class in 996 of 1000",
            "gate": {
                "sentence": "996 of 1000 keep their class",
                "value": 0.996,
                "low": 0.99,
                "high": 0.998,
                "limit": 0.99,
                "judged": 1000,
            },
        },
        "per_unit": {
            "ratio": {**RATIO, "value": 0.4, "low": 0.38, "high": 0.42},
            "saved": 0.012,
            "start_extra": 0.4,
            "first_start_extra": None,
            "pay_back_units": 34,
        },
        "latency": latency(0.004, 0.006),
        "peak_memory_bytes": 200 * 2**20,
        "file_bytes": 4_200_000,
        "artefact": "/state/advice/A7/int8",
        "on_front": True,
        "needs": "onnxruntime",
        "one_off": "41 CPU-s of building",
        "risk": "rare inputs may fall into another class",
        "for_good": "load the artefact where the model is made",
        "shell": "",
        "code": 'model = load("int8")',
    }
    return {**found, **changes}


def document(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "schema": "frugalwatch.advice/1",
        "advice": "A7",
        "state": "done",
        "command": ["python", "infer.py", "--name", "<b>"],
        "cwd": "/home/user",
        "host": "node7",
        "unit": "cpu_s",
        "kind": "replayed in program",
        "isolation": "replayed on throw-away layers over your files, with no network",
        "trials": 41,
        "rounds": 8,
        "resolution": 0.03,
        "work": {"unit": "call", "count": 100},
        "stop_after": None,
        "baselines": [
            {
                "name": "as written",
                "cpu_s": 4.0,
                "wall_s": 3.0,
                "energy_j": None,
                "unit_cpu_s": 0.02,
                "unit_energy_j": None,
                "unit_wall_s": 0.01,
                "latency": latency(0.01, 0.012),
                "peak_memory_bytes": 400 * 2**20,
            }
        ],
        "recommendations": [recommendation()],
        "not_recommended": [
            {
                "name": "bf16",
                "verdict": "costs more",
                "reason": "it uses more, not less",
                "ratio": {**RATIO, "value": 1.8, "low": 1.7, "high": 1.9},
                "per_unit": {"ratio": None},
            },
            {
                "name": "student",
                "verdict": "beyond a limit",
                "reason": "12 ms per call (p95) is beyond your limit of 5 ms",
                "ratio": None,
            },
        ],
        "tried": [{"technique": "int8", "reason": "the CPU has VNNI"}],
        "not_tried": [{"technique": "TF32", "reason": "no module is on a GPU"}],
        "pareto": [
            _point("as written", 1.0, 0.012, 400, 0.0),
            _point("int8 <fast> & small", 0.4, 0.006, 200, 0.004),
            {**_point("bf16", 1.8, 0.03, 420, 0.0), "on_front": False},
        ],
        "spent": {"cpu_s": 96.0, "wall_s": 112.0, "energy_j": None},
        "power_model": {"idle_w": 10.0, "active_w": 5.0},
        "limits": {"latency_p95_s": 0.005, "memory_bytes": None},
        "seed": 3,
        "budget": "10min",
        "cpus": 2,
        "machine": {"cpu": "A CPU", "memory_bytes": 2**34},
        "versions": {"frugalwatch": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        "time_shares": {"evaluation": 0.7, "data_wait": 0.2},
        "timeline": [
            _trial("probe", 0, "as written", 0.0),
            _trial("screening", 0, "int8 <fast> & small", 3.0),
            {**_trial("confirmation", 0, "bf16", 6.0), "state": "failed"},
        ],
        "notes": ["other programs were busy"],
        "trace": trace(),
        "hot_spots": hot_spots(),
    }
    return {**found, **changes}


def _point(name: str, cost: float, latency_s: float, mib: int, loss: float) -> dict[str, Any]:
    return {
        "name": name,
        "cost_ratio": cost,
        "latency_s": latency_s,
        "latency_of": "p95",
        "memory_bytes": mib * 2**20,
        "loss": loss,
        "cost_of": "unit",
        "on_front": True,
    }


def _trial(stage: str, number: int, variant: str, began_s: float) -> dict[str, Any]:
    return {
        "stage": stage,
        "round": number,
        "variant": variant,
        "state": "ok",
        "began_s": began_s,
        "taken_s": 2.5,
        "wall_s": 2.0,
        "cpu_s": 3.0,
        "energy_j": None,
    }


def served(number: str | None = None, **changes: Any) -> dict[str, Any]:
    """One practice that was replayed on the trace."""
    found = {
        "name": "sorted by length, batches of 16",
        "verdict": "saves" if number else "no clear saving",
        "reason": "" if number else "the difference is within the noise",
        "ratio": RATIO,
        "versus_one_thread": RATIO,
        "wall_ratio": RATIO,
        "hit_rate": 0.25,
        "latency": {"p50_s": 0.02, "p95_s": 0.05, "p99_s": 0.06},
        "quality": {"finding": "to rounding", "gate": None},
        "code": "for batch in sorted_batches(texts): ...",
        "risk": "a request waits for its batch",
        **changes,
    }
    return {"number": number, **found} if number else found


def trace(**changes: Any) -> dict[str, Any]:
    found = {
        "kind": "replayed on trace",
        "module": "Encoder",
        "reason": "",
        "requests": 1200,
        "distinct": 900,
        "baselines": [
            {"name": "as it came", "cpu_s_per_request": 0.03, "latency": None},
        ],
        "recommendations": [served("T1")],
        "not_recommended": [served(name="an LRU cache of 64")],
    }
    return {**found, **changes}


def hot_spots() -> dict[str, Any]:
    def spot(name: str, share: float) -> dict[str, Any]:
        bounds = {"share_low": share - 0.02, "share_high": share + 0.02}
        return {
            "package": name,
            "share": share,
            **bounds,
            "functions": ["parse"],
            "alternative": "polars",
        }

    return {
        "outside_model": spot("", 0.8),
        "dominates": True,
        "layers": [{"name": "Net.0", "kind": "Conv2d", "share": 0.9}],
        "packages": [spot("csv", 0.6), spot("re", 0.15)],
    }


def a_day(requests: float, price: float | None = 0.25) -> Scale:
    """So many requests a day in Germany, at this price of a kWh."""
    settings = Settings(price_per_kwh=price, currency="EUR")
    return Scale(requests, settings, GRID)
