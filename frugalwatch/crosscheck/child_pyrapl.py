"""pyRAPL's sensor in a process of its own, run as a script; see `tracker_process` for the talk.

pyRAPL reads its counters at two ends and never their range, so a wrap is lost. Here its sensor is
read often and the ranges are read beside it; what two ends alone would have said is told too.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
import warnings

POLL_S = 0.1
POWERCAP = "/sys/class/powercap/intel-rapl"  # pyRAPL knows no other; tests name one


def main() -> int:
    """Prepare, say so, measure between two lines of stdin, print what was found."""
    talk = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")  # its regular expressions are a SyntaxWarning since 3.12
    logging.disable(logging.CRITICAL)  # importing it warns twice on the root logger
    try:
        import pyRAPL

        sensor = pyRAPL.Sensor()
        first = list(sensor.energy())
    except Exception as error:  # noqa: BLE001 - a process's edge; the reason is passed on
        reason = str(error)
        if type(error).__name__ == "PyRAPLCantRecordEnergyConsumption":
            reason = "it finds no RAPL counters here"
        if isinstance(error, PermissionError):
            reason = "it may not read the RAPL counters"
        print(json.dumps({"unavailable": reason or type(error).__name__}), file=talk)
        return 0
    ranges = _ranges(sys.argv[1] if len(sys.argv) > 1 else POWERCAP, len(first))
    print(json.dumps({"ready": True, "version": _version()}), file=talk)
    if not sys.stdin.readline():
        return 0
    begun_s, first = time.monotonic(), list(sensor.energy())
    before, total, wraps = first, [0.0] * len(first), 0
    stopped = False
    while not stopped:
        stopped = bool(select.select([sys.stdin], [], [], POLL_S)[0])
        now = list(sensor.energy())
        for index, (old, new) in enumerate(zip(before, now, strict=True)):
            if old < 0 or new < 0:
                continue  # -1: no such counter
            step = new - old
            if step < 0:
                wraps += 1
                step += ranges[index] or 0
            total[index] += step
        before = now
    seconds = time.monotonic() - begun_s
    ends = [new - old for old, new in zip(first, before, strict=True)]
    answer = {
        "seconds": seconds,
        "cpu_j": _sum(total, first, 0),
        "ram_j": _sum(total, first, 1),
        "wraps": wraps,
        "two_ends_j": sum(end for end, at in zip(ends[::2], first[::2], strict=True) if at >= 0)
        / 1e6,
        "cpu_method": "RAPL package",
        "ranges_known": all(r for r, at in zip(ranges, first, strict=True) if at >= 0),
    }
    print(json.dumps(answer), file=talk)
    return 0


def _sum(total: list[float], first: list[float], device: int) -> float | None:
    """Joules over the sockets of device 0 (package) or 1 (DRAM); None if there is none."""
    parts = [t for t, at in zip(total[device::2], first[device::2], strict=True) if at >= 0]
    return sum(parts) / 1e6 if parts else None


def _ranges(powercap: str, length: int) -> list[int | None]:
    """The range of each of the sensor's figures: package and DRAM of socket 0, of socket 1, ..."""
    found: list[int | None] = [None] * length
    zone = 0
    while os.path.isdir(f"{powercap}/intel-rapl:{zone}"):
        folder = f"{powercap}/intel-rapl:{zone}"
        name = _line(f"{folder}/name")
        if name.startswith("package-"):
            index = 2 * int(name.partition("-")[2])
            if index + 1 < length:
                found[index] = _range(folder)
                for sub in range(8):
                    inner = f"{folder}/intel-rapl:{zone}:{sub}"
                    if _line(f"{inner}/name") == "dram":
                        found[index + 1] = _range(inner)
        zone += 1
    return found


def _range(folder: str) -> int | None:
    text = _line(f"{folder}/max_energy_range_uj")
    return int(text) if text.isdigit() else None


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pyRAPL")
    except PackageNotFoundError:  # on the path without being installed
        return ""


if __name__ == "__main__":
    sys.exit(main())
