"""GPUs through the whole program, with the real pynvml on a stand-in for NVIDIA's library."""

from __future__ import annotations

import json
import time

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch, Result, RunObject, events
from tests.support.nvml_stub import Constant, Hang, NvmlStub, StubGpu

ENERGY = "nvmlDeviceGetTotalEnergyConsumption"


def card(run: RunObject, number: int = 0) -> dict[str, object]:
    return dict([d for d in run["devices"] if d["domain"] == "gpu"][number])


def measure(frugalwatch: Frugalwatch, stub: NvmlStub, seconds: float) -> tuple[RunObject, Result]:
    frugalwatch.environment |= stub.environment()
    return frugalwatch.measure("--", "sleep", str(seconds))


def test_a_driver_call_that_hangs_holds_up_neither_the_job_nor_its_end(
    frugalwatch: Frugalwatch,
) -> None:
    stub = NvmlStub(frugalwatch.folder, [StubGpu(trace=Constant(250.0))])
    # Hangs from the third second on, for five seconds: over the job's end.
    stub.hangs = [Hang(ENERGY, stub.now_s() + 3, 5.0)]
    stub.write()
    run, result = measure(frugalwatch, stub, 4)
    assert run["wall_s"] == pytest.approx(4.0, abs=0.15)
    assert result.wall_s < 4 + 2 + 0.5, "start of the interpreter included"
    truth = stub.truth_j(0, *frugalwatch.window())
    gpu = card(run)
    assert gpu["energy_j"] <= truth * 1.005, "not inflated"  # type: ignore[operator]
    assert gpu["energy_j"] > 0.3 * truth  # type: ignore[operator]
    assert gpu["low_j"] <= truth <= gpu["high_j"] * 1.01  # type: ignore[operator]
    (gap,) = events(run, "gap")
    assert (gap["cause"], gap["energy_missing"]) == ("timeout", True)
    assert gap["t_s"] == pytest.approx(run["wall_s"], abs=0.1), "until the end of the job"


def test_a_driver_call_that_hung_in_between_costs_no_energy(frugalwatch: Frugalwatch) -> None:
    stub = NvmlStub(frugalwatch.folder, [StubGpu(trace=Constant(250.0))])
    stub.hangs = [Hang(ENERGY, stub.now_s() + 2, 5.0)]
    stub.write()
    run, _ = measure(frugalwatch, stub, 9)
    truth = stub.truth_j(0, *frugalwatch.window())
    gpu = card(run)
    # On a busy machine the first look may be a tenth of a second after the job's start.
    assert gpu["energy_j"] == pytest.approx(truth, rel=0.01, abs=250 * 0.15)
    assert gpu["low_j"] <= truth <= gpu["high_j"]  # type: ignore[operator]
    gaps = [e for e in events(run, "gap") if e["cause"] == "timeout"]
    assert gaps, "it is said"
    assert not any(e["energy_missing"] for e in gaps)


def test_a_driver_that_hangs_when_it_is_loaded_costs_the_gpu_only(
    frugalwatch: Frugalwatch,
) -> None:
    stub = NvmlStub(frugalwatch.folder, [StubGpu(trace=Constant(250.0))])
    stub.hangs = [Hang("nvmlInitWithFlags", stub.now_s() - 1, 8.0)]
    stub.write()
    run, result = measure(frugalwatch, stub, 1)
    assert result.wall_s < 1 + 2 + 0.5
    assert [d for d in run["devices"] if d["domain"] == "gpu"] == []
    assert run["estimated_j"] > 0, "the CPU's model goes on"
    assert "nvidia: the driver gave no answer" in result.said, "a silent GPU does not seem idle"


def test_a_lost_card_costs_its_own_later_energy_only(frugalwatch: Frugalwatch) -> None:
    stub = NvmlStub(
        frugalwatch.folder,
        [StubGpu(trace=Constant(250.0)), StubGpu(trace=Constant(100.0), uuid="GPU-b")],
    )
    frugalwatch.environment |= stub.environment()
    target = frugalwatch.folder / "out.json"
    process = frugalwatch.start("run", "--json", str(target), "--", "sleep", "6")
    time.sleep(3.5)
    lost_s = stub.now_s()
    stub.change(0, lost_at_s=lost_s)
    process.communicate(timeout=20)
    assert process.returncode == 0
    run = json.loads(target.read_text())
    begin, end = frugalwatch.window()
    lost, other = card(run, 0), card(run, 1)
    until_loss = stub.truth_j(0, begin, stub.epoch_ns + round(lost_s * 1e9))
    # Between two looks, a tenth of a second apart, nobody knows when it went.
    assert lost["energy_j"] == pytest.approx(until_loss, abs=250 * 0.15)
    assert lost["coverage"] < 0.7  # type: ignore[operator]
    assert lost["low_j"] <= stub.truth_j(0, begin, end) <= lost["high_j"]  # type: ignore[operator]
    assert other["energy_j"] == pytest.approx(stub.truth_j(1, begin, end), rel=0.01, abs=15)
    assert [e["cause"] for e in events(run, "gap")] == ["lost"]


def test_a_driver_that_is_broken_is_no_failure_of_the_job(frugalwatch: Frugalwatch) -> None:
    stub = NvmlStub(frugalwatch.folder, init_error=999)
    run, result = measure(frugalwatch, stub, 0.3)
    assert result.returncode == 0
    assert [d for d in run["devices"] if d["domain"] == "gpu"] == []
    assert "nvidia: NVML says: Unknown Error" in result.said
    assert "its energy is in no figure" in result.said
    assert events(run, "notice")


def test_a_driver_that_shows_no_card_is_no_news(frugalwatch: Frugalwatch) -> None:
    run, result = measure(frugalwatch, NvmlStub(frugalwatch.folder, []), 0.3)
    assert "nvidia" not in result.said
    assert not events(run, "notice")
