"""CPU, DRAM and platform energy from RAPL, as Linux shows it under /sys/class/powercap.

RAPL zones overlap: a package contains its cores and uncore, psys contains everything, and
`intel-rapl-mmio` shows a package a second time. Each zone becomes a device that says what already
contains it, and no second copy of one becomes a device. DRAM lies outside of the package counter.

Unverified on hardware: this reader ran on simulated trees only; none of the machines that it was
built on shows RAPL. The layout follows Linux 6.x (`drivers/powercap/`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from collectors.base import Device, Domain, Observation, Probe
from collectors.channel import CounterChannel
from collectors.counter import Unwrapper
from collectors.host import Host
from collectors.sysfs import SensorFile, gap_cause, list_names, read_int, read_text

_MSR = "intel-rapl"  # also what Linux calls the counters of AMD Zen, and those read through TPMI
_MMIO = "intel-rapl-mmio"
_TICK_S = 0.001  # the counters are renewed about every millisecond (Intel SDM volume 3, RAPL)
_SOCKET_MAX_W = 2000.0
_TDP_FACTOR = 3.0  # short turbo peaks stay below three times the published maximum
_LEAST_CONSTRAINT_W = 1.0  # firmware writes 0 or nonsense where it knows nothing
_MIRROR_TRIES = 3

_REMEDY_MODULE = "sudo modprobe intel_rapl_msr"
_REMEDY_VIRTUAL = (
    f"on bare metal: {_REMEDY_MODULE}; in a virtual machine the host would have to pass it on"
)
_REMEDY_MASKED = "start the container with: -v /sys:/host/sys:ro -e FRUGALWATCH_SYSFS=/host/sys"
# Group-readable, never world-readable: these counters leak what other users compute.
_REMEDY_PERMISSION = (
    "sudo groupadd -f rapl && sudo usermod -aG rapl $USER && "
    "sudo chgrp -R rapl /sys/class/powercap/intel-rapl*/ && "
    "sudo chmod g+r /sys/class/powercap/intel-rapl*/energy_uj, then log in again "
    "(docs/reference/collectors.md has the udev rule that outlives a reboot)"
)
_REMEDY_KERNEL = "sudo dmesg | grep -i rapl"
_REASON_PERMISSION = "energy_uj is readable by root only since CVE-2020-8694 (PLATYPUS)"


class _Candidate(NamedTuple):  # a frozen dataclass costs every job's start 1.3 ms more
    """A zone folder: its control type, its place in the tree, and the name that it gives itself."""

    control: str
    place: tuple[int, ...]
    path: str
    label: str


class RaplCollector:
    """Reads every RAPL zone that this user may read."""

    name = "rapl"
    isolate = False  # a read takes microseconds and cannot hang

    def __init__(self, host: Host) -> None:
        self._host = host
        self._root = host.sys("class", "powercap")
        self._zones: dict[str, CounterChannel] = {}

    def probe(self) -> Probe:
        """Find the zones. Zones known from an earlier call keep their figure."""
        candidates = _find(self._root)
        if not candidates:
            reason, remedy = self._absent()
            return Probe("rapl", reason=reason, remedy=remedy, verified=False)
        problems: dict[str, OSError] = {}
        # MSR zones come before their MMIO copies, packages before their sub-zones.
        for candidate in sorted(candidates, key=lambda c: (c.control != _MSR, c.place)):
            key = _key(candidate, candidates)
            if key is None or key in self._zones:
                continue
            try:
                self._add(candidate, key)
            except OSError as error:
                problems[key] = error
        self._drop_mirrored_dies()
        for key in self._zones:  # read through the MMIO copy after all
            problems.pop(key, None)
        reason, remedy = _explain(problems)
        return Probe(
            "rapl",
            devices=tuple(zone.device for zone in self._zones.values()),
            reason=reason,
            remedy=remedy,
            verified=False,
        )

    def read(self) -> Sequence[Observation]:
        """One look at every zone, each stamped right before its own read."""
        clock_ns = self._host.clock_ns
        found: list[Observation] = []
        for zone in self._zones.values():
            found += zone.observe(clock_ns)
        return found

    def state(self) -> dict[str, tuple[int, ...]]:
        """What a successor must know of every zone to lose no energy."""
        return {key: zone.state() for key, zone in self._zones.items()}

    def resume(self, state: dict[str, tuple[int, ...]]) -> None:
        """Go on from a predecessor's `state()`, in the zones that both know."""
        for key, zone in self._zones.items():
            zone.resume(state.get(key, ()))

    def close(self) -> None:
        """Close every counter file."""
        for zone in self._zones.values():
            zone.close()

    def _absent(self) -> tuple[str, str]:
        names = list_names(self._root)
        if any(n.startswith(_MSR) and not os.path.exists(f"{self._root}/{n}") for n in names):
            return "the RAPL counters are hidden inside this container", _REMEDY_MASKED
        if names:
            return "no RAPL zone (module intel_rapl_msr is not loaded)", _REMEDY_MODULE
        return (
            "this machine shows no RAPL counters (virtual machine, container, "
            "or module intel_rapl_msr not loaded)",
            _REMEDY_VIRTUAL,
        )

    def _add(self, candidate: _Candidate, key: str) -> None:
        file = SensorFile(f"{candidate.path}/energy_uj")
        t_ns = self._host.clock_ns()
        raw_uj = file.read()
        range_uj = read_int(f"{candidate.path}/max_energy_range_uj")
        max_w = _constraint_w(candidate.path, "max_power_uw")
        counter = Unwrapper(range_uj, _TDP_FACTOR * max_w if max_w else _SOCKET_MAX_W)
        counter.update(t_ns, raw_uj)
        device = _device(candidate, key, counter.max_poll_s)
        self._zones[key] = CounterChannel(device, file, counter)

    def _drop_mirrored_dies(self) -> None:
        """Forget a die whose counter is another name of its neighbour's in the same package."""
        dies = [key for key in self._zones if "-die-" in key and key.count(":") == 1]
        for position, key in enumerate(dies):
            for other in dies[position + 1 :]:
                if (
                    key.split("-die-")[0] == other.split("-die-")[0]
                    and key in self._zones
                    and other in self._zones
                    and _mirrored(self._zones[key], self._zones[other])
                ):
                    self._forget(other)

    def _forget(self, key: str) -> None:
        for each in [k for k in self._zones if k == key or k.startswith(f"{key}:")]:
            self._zones.pop(each).close()


def _find(root: str) -> list[_Candidate]:
    """Every zone folder below `root`, flat as the class folder shows them or nested.

    The class folder of real kernels lists zones of all levels as links; sub-zones are also folders
    inside their parents, which is all that some simulated trees have.
    """
    found: dict[str, _Candidate] = {}
    folders = [root]
    while folders:
        folder = folders.pop(0)
        for name in list_names(folder):
            control, *digits = name.split(":")
            if control not in (_MSR, _MMIO) or name in found:
                continue
            path = f"{folder}/{name}"
            if not os.path.isdir(path):
                continue
            folders.append(path)
            label = read_text(f"{path}/name")
            if digits and label and all(digit.isdigit() for digit in digits):
                found[name] = _Candidate(control, tuple(map(int, digits)), path, label)
    return list(found.values())


def _key(candidate: _Candidate, candidates: list[_Candidate]) -> str | None:
    """`rapl:package-0`, `rapl:package-0:core`; None for a sub-zone whose parent is missing.

    The MMIO copy of a zone has the same key as the zone, which is how it is told to be a copy.
    """
    if len(candidate.place) == 1:
        twins = [
            c.place
            for c in candidates
            if (c.control, c.label, len(c.place)) == (candidate.control, candidate.label, 1)
        ]
        copy = f"#{candidate.place[0]}" if candidate.place != min(twins) else ""
        return f"rapl:{candidate.label}{copy}"
    for parent in candidates:
        if (parent.control, parent.place) == (candidate.control, candidate.place[:-1]):
            above = _key(parent, candidates)
            return None if above is None else f"{above}:{candidate.label}"
    return None


def _device(candidate: _Candidate, key: str, max_poll_s: float | None) -> Device:
    label = candidate.label
    parent = key.rpartition(":")[0] if len(candidate.place) > 1 else None
    domain: Domain = "other"
    encloses: tuple[Domain, ...] = ()
    if label == "psys":
        domain, encloses = "system", ("cpu", "ram")
    elif label == "dram":
        domain, parent = "ram", None  # RAPL's package counter does not contain the memory
    elif label.startswith("package") or label in ("core", "uncore"):
        domain = "cpu"
    return Device(
        key=key,
        domain=domain,
        name=f"RAPL {key.removeprefix('rapl:').replace(':', ' ')}",
        origin="measured",
        boundary="board" if label == "psys" else "die",
        source=candidate.control,
        part_of=parent,
        encloses=encloses,
        tick_s=_TICK_S,
        max_poll_s=max_poll_s,
        power_limit_w=_constraint_w(candidate.path, "power_limit_uw"),
        note="unverified on hardware",
    )


def _constraint_w(path: str, what: str) -> float | None:
    """The highest of a zone's constraints (long term, short term, peak), or None."""
    highest_w: float | None = None
    for number in range(3):
        value_uw = read_int(f"{path}/constraint_{number}_{what}")
        if value_uw is None:
            break
        if value_uw >= _LEAST_CONSTRAINT_W * 1e6:
            highest_w = max(highest_w or 0.0, value_uw / 1e6)
    return highest_w


def _mirrored(first: CounterChannel, second: CounterChannel) -> bool:
    """True if two counters show one figure: what one shows lies between two looks at the other.

    Two counters of their own, running since boot, agree to the micro-joules of such a bracket about
    once in a million; that both stand at 0 says nothing.
    """
    try:
        for _ in range(_MIRROR_TRIES):
            before_uj, between_uj, after_uj = first.peek(), second.peek(), first.peek()
            if between_uj > 0 and before_uj <= between_uj <= after_uj:
                return True
    except OSError:
        return False
    return False


def _explain(problems: dict[str, OSError]) -> tuple[str, str]:
    """Reason and remedy for the zones that cannot be read, or two empty texts."""
    if not problems:
        return "", ""
    if all(gap_cause(error) == "permission" for error in problems.values()):
        return _REASON_PERMISSION, _REMEDY_PERMISSION
    told = "; ".join(
        f"{key}: {_REASON_PERMISSION if gap_cause(e) == 'permission' else e.strerror}"
        for key, e in sorted(problems.items())
    )
    permission = any(gap_cause(error) == "permission" for error in problems.values())
    return told, _REMEDY_PERMISSION if permission else _REMEDY_KERNEL
