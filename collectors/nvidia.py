"""NVIDIA GPUs through NVML: the energy counter where there is one, else integrated power.

Devices are keyed by UUID, so two equal cards and CUDA_VISIBLE_DEVICES make no difference. A driver
call can hang, so the sampler reads this collector in a process of its own (`isolate`). pynvml is
imported only once there is a sign of a driver (`nvidia_presence`).

Unverified on hardware: this reader ran on a stand-in driver library only, loaded by the real
pynvml. The calls and their meaning follow nvml.h and the measurements cited beside each constant.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Final

from collectors.base import Observation, Probe
from collectors.disagreement import Disagreement
from collectors.host import Host
from collectors.nvidia_gpu import DRIVER_GONE, Gpu, open_gpu
from collectors.nvidia_presence import (
    NO_DEVICES,
    explain_absence,
    explain_error,
    might_be_present,
    preload_library,
)

__all__ = ["NvidiaCollector", "might_be_present"]

_NS: Final = 1_000_000_000
_REOPEN_PAUSE_NS: Final = 10 * _NS
_UNINITIALIZED: Final = 1


class NvidiaCollector:
    """Every GPU that the NVIDIA driver shows to this user."""

    name = "nvidia"
    isolate = True

    def __init__(self, host: Host, nvml: Any = None) -> None:
        """`nvml` stands in for the pynvml module (untyped); None: import it when it is needed."""
        self._host = host
        self._nvml: Any = nvml
        self._open = False
        self._gpus: dict[str, Gpu] = {}
        self._state: dict[str, tuple[Any, ...]] = {}
        self._disagreements: list[Disagreement] = []
        self._reopen_at_ns = 0

    def probe(self) -> Probe:
        """List the GPUs. Those known from an earlier call keep their figure."""
        if self._nvml is None:
            if not might_be_present(self._host):
                return self._no(*explain_absence(self._host))
            preload_library()
            import pynvml

            self._nvml = pynvml
        nvml = self._nvml
        try:
            if not self._open:
                nvml.nvmlInit()
                self._open = True
            problems = self._find()
        except nvml.NVMLError as error:
            return self._no(*explain_error(int(error.value), str(error)))
        devices = tuple(gpu.device for gpu in self._gpus.values())
        reason, remedy = problems[0] if problems else ("", "")
        if not devices and not problems:
            reason, remedy = NO_DEVICES
        return Probe(self.name, devices, reason, remedy, verified=False)

    def read(self) -> Sequence[Observation]:
        """One look at every GPU. Process shares come about once a second."""
        observations: list[Observation] = []
        for gpu in self._gpus.values():
            found, disagreement = gpu.look()
            observations += found
            if disagreement is not None:
                self._disagreements.append(disagreement)
        if self._gpus and all(gpu.last_error in DRIVER_GONE for gpu in self._gpus.values()):
            self._reopen()
        return observations

    def close(self) -> None:
        """Let go of the driver. Safe to call twice."""
        if self._open:
            self._open = False
            with contextlib.suppress(self._nvml.NVMLError):  # we are leaving in any case
                self._nvml.nvmlShutdown()

    # -- for the reader process (`isolated_worker`) ----------------------------------------------

    def background_interval_s(self) -> float | None:
        """Seconds until the next look between two reads is due; None if none is wanted."""
        due_ns = [due for gpu in self._gpus.values() if (due := gpu.due_ns()) is not None]
        return max(0.0, (min(due_ns) - self._host.clock_ns()) / _NS) if due_ns else None

    def background(self) -> None:
        """Look at every GPU for which that is due."""
        now_ns = self._host.clock_ns()
        for gpu in self._gpus.values():
            due_ns = gpu.due_ns()
            if due_ns is not None and due_ns <= now_ns:
                gpu.poll()

    def state(self) -> object:
        """By device key, what the meters need to go on in another process."""
        return {**self._state, **{key: gpu.meter.state() for key, gpu in self._gpus.items()}}

    def resume(self, state: object) -> None:
        """Continue from a predecessor's `state()`."""
        if isinstance(state, dict):
            self._state = state

    def take_disagreements(self) -> Sequence[Disagreement]:
        """Counter and power sensor of one GPU differ by more than a tenth; once per GPU."""
        found, self._disagreements = self._disagreements, []
        return found

    # -- inside ----------------------------------------------------------------------------------

    def _no(self, reason: str, remedy: str) -> Probe:
        return Probe(self.name, reason=reason, remedy=remedy, verified=False)

    def _find(self) -> list[tuple[str, str]]:
        """Add the GPUs not yet known; what is wrong with those that cannot be read."""
        nvml = self._nvml
        problems: list[tuple[str, str]] = []
        for index in range(int(nvml.nvmlDeviceGetCount())):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                if f"nvidia:{nvml.nvmlDeviceGetUUID(handle)}" in self._gpus:
                    continue
                gpu = open_gpu(nvml, handle, self._host.clock_ns)
            except nvml.NVMLError as error:
                reason, remedy = explain_error(int(error.value), str(error))
                problems.append((f"GPU {index}: {reason}", remedy))
                continue
            if isinstance(gpu, str):
                problems.append((gpu, ""))
                continue
            key = gpu.device.key
            if key in self._state:
                gpu.meter.resume(self._state[key])
            self._gpus[key] = gpu
        return problems

    def _reopen(self) -> None:
        """The driver was unloaded beneath us: start again with it, at most every ten seconds."""
        now_ns = self._host.clock_ns()
        if now_ns < self._reopen_at_ns:
            return
        self._reopen_at_ns = now_ns + _REOPEN_PAUSE_NS
        self.close()
        state = self.state()
        gpus, self._gpus = self._gpus, {}
        self.resume(state)
        if not self.probe().ok:
            self._gpus = gpus  # still gone; their looks go on failing and saying so
