"""Colours that people with any colour vision tell apart (Okabe and Ito), beside letters and order.

A second device of one domain takes the lighter of its two.
"""

from __future__ import annotations

from collections.abc import Sequence

from frugalwatch.screen.records import DeviceNow

_HUES = {
    "gpu": ("#0072B2", "#56B4E9"),
    "cpu": ("#E69F00", "#F0C860"),
    "ram": ("#009E73", "#66C4A8"),
    "other": ("#CC79A7", "#E0AFCA"),
    "system": ("#CC79A7", "#E0AFCA"),
}


def colours(devices: Sequence[DeviceNow]) -> list[str]:
    """One colour a device, in their order."""
    seen: dict[str, int] = {}
    found = []
    for device in devices:
        place = seen[device.domain] = seen.get(device.domain, -1) + 1
        found.append(_HUES.get(device.domain, _HUES["other"])[place % 2])
    return found
