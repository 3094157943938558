"""codecarbon's tracker in a process of its own, run as a script; see `tracker_process` for the
talk.

Imports nothing of ours: codecarbon loads as it would in a user's program, but without a network.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

KWH_J = 3.6e6
# codecarbon wants a country before it measures energy. Without one nothing of the answer but its
# energy is used, so which country stands here does not matter.
ANY_COUNTRY = "FRA"


def main() -> int:
    """Prepare, say so, measure between two lines of stdin, print what was found."""
    talk = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the library prints is no part of the talk
    warnings.simplefilter("ignore")
    _cut_network()
    country = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        # Any release may lack an option or a file: whatever it is, it is a reason and no crash.
        import codecarbon

        tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code=country or ANY_COUNTRY,
            measure_power_secs=1,
            save_to_file=False,
            save_to_api=False,
            tracking_mode="machine",
            log_level="critical",
            allow_multiple_runs=True,
        )
        if hasattr(tracker, "get_detected_hardware"):
            tracker.get_detected_hardware()  # looks for sensors now and not inside the window
    except Exception as error:  # noqa: BLE001 - a process's edge; the reason is passed on
        print(json.dumps({"unavailable": f"{type(error).__name__}: {error}"}), file=talk)
        return 0
    print(json.dumps({"ready": True, "version": codecarbon.__version__}), file=talk)
    if not sys.stdin.readline():
        return 0
    tracker.start()
    sys.stdin.readline()
    grams = tracker.stop()
    data = tracker.final_emissions_data
    answer = {
        "seconds": data.duration,
        "cpu_j": data.cpu_energy * KWH_J,
        "ram_j": data.ram_energy * KWH_J,
        "ram_power_w": data.ram_power,
        "gpu_j": data.gpu_energy * KWH_J if data.gpu_count else None,
        "co2e_g": None if not country or grams is None else grams * 1000,
        "pue": data.pue,
        **_methods(tracker),
    }
    print(json.dumps(answer), file=talk)
    return 0


def _methods(tracker: object) -> dict[str, object]:
    """How codecarbon came to its figures, which its output does not say; empty if it hides that."""
    found: dict[str, object] = {}
    for part in getattr(tracker, "_hardware", []):
        if type(part).__name__ == "CPU":
            found["cpu_method"] = getattr(part, "_mode", None)
            found["tdp_w"] = getattr(part, "_tdp", None)
    return found


def _cut_network() -> None:
    import socket

    def refuse(_self: socket.socket, _address: object) -> None:
        raise OSError("no network in a cross-check")

    socket.socket.connect = refuse  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    sys.exit(main())
