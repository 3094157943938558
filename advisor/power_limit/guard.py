"""The one process that touches power limits: `python -m advisor.power_limit.guard`.

It does what it is asked in JSON lines on stdin, and when stdin ends, however that comes about (the
tool is done, was interrupted, or was killed by `kill -9`), it puts every limit back that it has
changed, and ends. It has a session of its own and ignores the signals by which the tool is ended.
A driver call that hangs hangs here, and nobody else. Unverified on hardware.

    {"ask": "read"}                              -> {"gpus": [{"index", "name", ...}]}
    {"ask": "set", "index": 0, "limit_mw": N}    -> {"limit_mw": N} or {"error": TEXT}
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any  # NVML's handles, and what JSON gives back

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT)
_TRIES, _PAUSE_S = 20, 0.5


class Limits:
    """Power limits of this machine's NVIDIA GPUs; remembers those that it has changed."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._before_mw: dict[int, int] = {}

    def read(self) -> list[dict[str, object]]:
        """What each GPU has, in milliwatts. `pids` are the processes that compute on it."""
        count = int(self._nvml.nvmlDeviceGetCount())
        return [self._read(index) for index in range(count)]

    def set(self, index: int, limit_mw: int) -> int:
        """Change one; the limit that is in force then. Raises NVML's errors."""
        handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
        now_mw = int(self._nvml.nvmlDeviceGetPowerManagementLimit(handle))
        if now_mw != limit_mw:
            self._nvml.nvmlDeviceSetPowerManagementLimit(handle, limit_mw)
            self._before_mw.setdefault(index, now_mw)
        return int(self._nvml.nvmlDeviceGetPowerManagementLimit(handle))

    def restore(self) -> bool:
        """Put back what was changed, trying for some time; whether all of it is as it was."""
        for _ in range(_TRIES):
            left = {i: mw for i, mw in self._before_mw.items() if not self._put_back(i, mw)}
            self._before_mw = left
            if not left:
                return True
            time.sleep(_PAUSE_S)
        return False

    def _read(self, index: int) -> dict[str, object]:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        least_mw, most_mw = nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
        running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        return {
            "index": index,
            "uuid": _text(nvml.nvmlDeviceGetUUID(handle)),
            "name": _text(nvml.nvmlDeviceGetName(handle)),
            "limit_mw": int(nvml.nvmlDeviceGetPowerManagementLimit(handle)),
            "least_mw": int(least_mw),
            "most_mw": int(most_mw),
            "pids": [int(each.pid) for each in running],
        }

    def _put_back(self, index: int, limit_mw: int) -> bool:
        try:
            return self.set(index, limit_mw) == limit_mw
        except Exception as error:  # noqa: BLE001 - whatever NVML raises, it is tried again
            print(f"power limit of GPU {index}: {error}", file=sys.stderr)
            return False


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def main() -> int:
    """Serve until stdin ends. 0: every limit is as it was; 1: NVML fails; 2: one is not."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 - no driver, no library, no permission
        _say({"error": f"the driver cannot be asked: {error}"})
        return 1
    limits = Limits(pynvml)
    _say({"ready": os.getpid()})
    for line in sys.stdin:
        try:
            _say(_answer(limits, json.loads(line)))
        except Exception as error:  # noqa: BLE001 - said to who asked
            _say({"error": str(error)})
    return 0 if limits.restore() else 2


def _answer(limits: Limits, asked: dict[str, Any]) -> dict[str, object]:
    if asked["ask"] == "read":
        return {"gpus": limits.read()}
    return {"limit_mw": limits.set(int(asked["index"]), int(asked["limit_mw"]))}


def _say(answer: dict[str, object]) -> None:
    try:
        print(json.dumps(answer), flush=True)
    except OSError:  # nobody reads any more; the limits are put back when stdin ends
        return


if __name__ == "__main__":
    sys.exit(main())
