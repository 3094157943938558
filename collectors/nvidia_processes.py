"""Which processes kept a GPU busy: shares of SM time by process id.

NVML reports process ids of the host's namespace. Inside a container with its own they are not the
ids that the job sees, and the reader finds no match (that is the consumer's to say).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from collectors.base import ProcessUtilization

_NS: Final = 1_000_000_000
_PAUSE_NS: Final = _NS * 9 // 10  # the driver renews utilisation about once a second


class ProcessWatch:
    """One GPU's utilisation by process over the time between two looks."""

    __slots__ = ("_clock_s", "_device", "_handle", "_nvml", "_sampled", "_seen_us", "_since_ns")

    def __init__(
        self, nvml: Any, handle: Any, device: str, clock_s: Callable[[], float] = time.time
    ) -> None:
        self._nvml = nvml  # the untyped pynvml module or a stand-in
        self._handle = handle
        self._device = device
        self._clock_s = clock_s
        self._seen_us = 0  # NVML stamps its samples with wall-clock micro-seconds
        self._since_ns: int | None = None
        self._sampled = True  # False once the card refused samples; then only the list is used

    def look(self, t_ns: int) -> ProcessUtilization | None:
        """Shares since the last look, at most once a second. None: unknown or not yet time."""
        if self._since_ns is None:
            self._since_ns = t_ns
            self._seen_us = int(self._clock_s() * 1e6)
            return None
        if t_ns - self._since_ns < _PAUSE_NS:
            return None
        shares = self._from_samples() if self._sampled else None
        if shares is None:
            shares = self._from_list()
        since_ns, self._since_ns = self._since_ns, t_ns
        if shares is None:
            return None
        return ProcessUtilization(self._device, t_ns, since_ns, shares)

    def _from_samples(self) -> dict[int, float] | None:
        nvml = self._nvml
        try:
            samples = nvml.nvmlDeviceGetProcessUtilization(self._handle, self._seen_us)
        except nvml.NVMLError as error:
            # pynvml raises "success" for an empty list; NOT_FOUND says that nothing ran.
            if error.value in (nvml.NVML_SUCCESS, nvml.NVML_ERROR_NOT_FOUND):
                return {}
            if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
                self._sampled = False
            return None
        sums: dict[int, int] = {}
        counts: dict[int, int] = {}
        for sample in samples:
            # Older drivers return leftovers from before the asked time and figures above 100.
            if sample.timeStamp <= self._seen_us or sample.smUtil > 100:
                continue
            sums[sample.pid] = sums.get(sample.pid, 0) + sample.smUtil
            counts[sample.pid] = counts.get(sample.pid, 0) + 1
        self._seen_us = max((sample.timeStamp for sample in samples), default=self._seen_us)
        # A process that was there for some of the samples only was idle in the others.
        most = max(counts.values(), default=1)
        return {pid: total / 100 / most for pid, total in sums.items()}

    def _from_list(self) -> dict[int, float] | None:
        """Without samples only one case is certain: a single process has all there is."""
        nvml = self._nvml
        try:
            processes = nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except nvml.NVMLError:
            return None
        pids = {int(process.pid) for process in processes}
        if len(pids) > 1:
            return None
        return dict.fromkeys(pids, 1.0)
