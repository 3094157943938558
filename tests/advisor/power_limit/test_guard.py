"""Power limits are given back whatever happens, on a stand-in driver built with gcc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.power_limit.guarded import CannotSetLimitError, guarded
from advisor.power_limit.sweep import SHARES, Sweep, sweep
from advisor.replay import Replay
from advisor.trials import energy_j
from tests.support.nvml_stub import Fault, NvmlStub, StubGpu

pytestmark = pytest.mark.timeout(120)
CARD = StubGpu(power_limit_w=400.0, settable_w=(100.0, 400.0))
NO_PERMISSION = 4


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NvmlStub:
    made = NvmlStub(tmp_path, [CARD])
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def test_what_was_set_is_put_back_at_the_end(stub: NvmlStub) -> None:
    with guarded() as guard:
        (gpu,) = guard.gpus()
        assert (gpu.limit_mw, gpu.least_mw, gpu.most_mw) == (400_000, 100_000, 400_000)
        guard.set(0, 250_000)
        assert stub.limit_w(0) == 250.0
    assert stub.limit_w(0) == 400.0


def test_what_was_set_is_put_back_after_an_exception(stub: NvmlStub) -> None:
    def interrupted() -> None:
        with guarded() as guard:
            guard.set(0, 250_000)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stub.limit_w(0) == 400.0


TOOL = """
import sys, time
from advisor.power_limit.guarded import guarded
with guarded() as guard:
    guard.set(0, 200_000)
    print(guard.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_set_is_put_back_after_the_tool_was_killed(stub: NvmlStub, number: int) -> None:
    tool = subprocess.Popen(
        [sys.executable, "-c", TOOL], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert tool.stdout is not None
    guard_pid = int(tool.stdout.readline())
    assert stub.limit_w(0) == 200.0
    os.kill(guard_pid, signal.SIGTERM)  # as a shell's end of a session would: ignored
    os.killpg(tool.pid, number)
    tool.wait()
    tool.stdout.close()
    assert wait_until(lambda: stub.limit_w(0) == 400.0)


def test_without_permission_the_reason_is_said_and_nothing_is_changed(stub: NvmlStub) -> None:
    stub.change(0, faults=(Fault("nvmlDeviceSetPowerManagementLimit", NO_PERMISSION),))
    found = swept()
    assert "Insufficient Permissions" in found.why_not
    assert stub.limit_w(0) == 400.0


def test_without_a_driver_the_reason_is_said(stub: NvmlStub) -> None:
    stub.init_error = 9
    stub.write()
    with pytest.raises(CannotSetLimitError, match="the driver cannot be asked"), guarded():
        pass
    assert swept().why_not.startswith("the driver cannot be asked")


def test_a_limit_that_cannot_be_put_back_is_said(stub: NvmlStub) -> None:
    def lost() -> None:
        with guarded() as guard:
            guard.set(0, 250_000)
            stub.change(0, lost_at_s=stub.now_s())

    with pytest.raises(CannotSetLimitError, match="could not be put back"):
        lost()


def swept(
    replay: Callable[[], Replay] | None = None, environment: dict[str, str] | None = None
) -> Sweep:
    return sweep(
        replay or (lambda: used(100.0)),
        environment or {},
        time_s=0.0,
        seed=1,
        tell=lambda _: None,
    )


def used(joules: float, wall_s: float = 1.0) -> Replay:
    return Replay("ok", 0, 0, wall_s, 1.0, joules, "", "", "")


def test_the_limit_that_takes_least_joules_is_found_and_none_stays_set(stub: NvmlStub) -> None:
    """A card whose work takes longer, and less energy, down to 70 % of its limit."""
    best = 0.7
    noise = iter([1.0, 1.004, 0.996, 1.002, 0.998] * 20)

    def replay() -> Replay:
        share = stub.limit_w(0) / 400.0
        return used(100.0 * (1 + abs(share - best)) * next(noise), 1.0 + 0.5 * (1 - share))

    found = swept(replay)
    assert found.best is not None
    assert found.best.limits_w == {0: 280.0}
    assert found.best.energy is not None
    assert found.best.energy.value == pytest.approx(1 / 1.3, rel=0.02)
    assert found.best.wall is not None
    assert found.best.wall.value == pytest.approx(1.15, rel=0.02)
    assert "nvidia-smi -i 0 -pl 280 (unverified on hardware)" in found.in_words()[0]
    assert stub.limit_w(0) == 400.0
    assert sorted(set(stub.limits_set_w())) == sorted(400.0 * share for share in SHARES)


def test_where_nothing_surely_saves_nothing_is_recommended(stub: NvmlStub) -> None:
    found = swept()
    assert found.best is None
    assert "none that was tried surely saves" in found.in_words()[0]
    assert energy_j(used(3.0)) == 3.0


def test_a_gpu_on_which_others_compute_is_left_alone(stub: NvmlStub) -> None:
    stub.change(0, compute_pids=(4242,))
    assert "others compute on GPU 0 too (process 4242)" in swept().why_not
    assert not any("limit" in line for line in stub.log.read_text().splitlines())


def test_only_gpus_that_the_program_sees_are_set(stub: NvmlStub) -> None:
    stub.gpus.append(CARD)
    stub.write()
    found = swept(environment={"CUDA_VISIBLE_DEVICES": "1"})
    assert {i for step in found.steps for i in step.limits_w} == {1}
    found = swept(environment={"CUDA_VISIBLE_DEVICES": "7"})
    assert "names no GPU" in found.why_not
