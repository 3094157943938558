"""The stand-in driver tells the truth that its Python side computes, through the real pynvml."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.nvml_stub import (
    Constant,
    Fault,
    Hang,
    NvmlStub,
    Process,
    Ramp,
    Square,
    StubGpu,
)


def ask(stub: NvmlStub, body: str) -> object:
    """Run Python with pynvml as `n` and the first handle as `h`; its `answer` comes back."""
    program = (
        "import json, time, pynvml as n\n"
        "n.nvmlInit()\n"
        "h = n.nvmlDeviceGetHandleByIndex(0)\n"
        f"{body}\n"
        "print(json.dumps(answer))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **stub.environment()},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "trace", [Constant(123.0), Square(100, 300, 0.7), Square(50, 90, 0.3, 0.2), Ramp(50, 300, 1.5)]
)
def test_counter_follows_the_trace(tmp_path: Path, trace: Constant | Square | Ramp) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=trace)])
    stub.epoch_ns = time.monotonic_ns() - 2_000_000_000
    stub.write()
    body = "answer = [time.monotonic_ns(), n.nvmlDeviceGetTotalEnergyConsumption(h)]"
    t_ns, raw_mj = ask(stub, body)  # type: ignore[misc]
    tick_ns = 100_000_000
    stepped_ns = stub.epoch_ns + (t_ns - stub.epoch_ns) // tick_ns * tick_ns
    expected_j = stub.truth_j(0, stub.epoch_ns, stepped_ns)
    # The call may fall into the tick after the one in which the clock was read.
    next_j = stub.truth_j(0, stub.epoch_ns, stepped_ns + tick_ns)
    assert (raw_mj - 123_456_789) / 1e3 == pytest.approx(expected_j, abs=2e-3) or (
        raw_mj - 123_456_789
    ) / 1e3 == pytest.approx(next_j, abs=2e-3)


def test_real_binding_reads_every_fact(tmp_path: Path) -> None:
    gpu = StubGpu(
        trace=Constant(87.5),
        name="NVIDIA Test 9000",
        uuid="GPU-abc",
        instant_window_s=0.0,
        processes=(Process(4711, 60),),
        compute_pids=(4711, 4712),
        mig=True,
    )
    stub = NvmlStub(tmp_path, [gpu, StubGpu()], driver="535.104.05")
    body = (
        "f = n.nvmlDeviceGetFieldValues(h, [n.NVML_FI_DEV_POWER_INSTANT])[0]\n"
        "answer = [n.nvmlDeviceGetCount(), n.nvmlDeviceGetName(h), n.nvmlDeviceGetUUID(h),"
        " n.nvmlDeviceGetPciInfo(h).busId, n.nvmlDeviceGetPciInfo(h).pciDeviceId >> 16,"
        " n.nvmlDeviceGetEnforcedPowerLimit(h), n.nvmlDeviceGetPowerUsage(h),"
        " f.nvmlReturn, f.value.uiVal, n.nvmlDeviceGetMigMode(h)[0],"
        " n.nvmlSystemGetDriverVersion(),"
        " sorted(p.pid for p in n.nvmlDeviceGetComputeRunningProcesses(h)),"
        " sorted({(s.pid, s.smUtil) for s in n.nvmlDeviceGetProcessUtilization(h, 0)})]"
    )
    assert ask(stub, body) == [
        2, "NVIDIA Test 9000", "GPU-abc", "00000000:01:00.0", 0x20B2, 400_000, 87_500,
        0, 87_500, 1, "535.104.05", [4711, 4712], [[4711, 60]],
    ]  # fmt: skip


def test_control_file_is_read_again_while_a_process_runs(tmp_path: Path) -> None:
    stub = NvmlStub(tmp_path, [StubGpu(trace=Constant(10.0))])
    program = (
        "import sys, pynvml as n\n"
        "n.nvmlInit(); h = n.nvmlDeviceGetHandleByIndex(0)\n"
        "for _ in sys.stdin: print(n.nvmlDeviceGetPowerUsage(h), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, **stub.environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for watts in (10.0, 250.0):
            stub.change(0, trace=Constant(watts))
            process.stdin.write("\n")
            process.stdin.flush()
            answers.append(process.stdout.readline())
        process.stdin.close()
    assert answers == ["10000\n", "250000\n"]


def test_faults_hangs_and_resets_happen_at_their_time(tmp_path: Path) -> None:
    gpu = StubGpu(
        trace=Constant(100.0),
        energy_reset_s=0.0,
        faults=(Fault("nvmlDeviceGetTemperature", 999),),
    )
    stub = NvmlStub(tmp_path, [gpu], hangs=[Hang("nvmlDeviceGetClockInfo", 0.0, 1.0)])
    body = (
        "try:\n    n.nvmlDeviceGetTemperature(h, 0); code = 0\n"
        "except n.NVMLError as e: code = e.value\n"
        "n.nvmlDeviceGetClockInfo(h, 1)\n"
        "answer = [code, time.monotonic_ns(), n.nvmlDeviceGetTotalEnergyConsumption(h)]"
    )
    code, back_ns, raw_mj = ask(stub, body)  # type: ignore[misc]
    assert code == 999
    assert back_ns - stub.epoch_ns >= 1_000_000_000
    assert 100_000 <= raw_mj < 1_000_000  # counted from the reset, without the initial value
