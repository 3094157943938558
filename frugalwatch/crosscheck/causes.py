"""Why two trackers disagree about one window: known causes, and only those that apply here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collectors.base import Device
from collectors.cpu_identity import CpuIdentity
from collectors.limits import Limits
from frugalwatch.crosscheck.tracker_process import Opinion

# codecarbon's figure for a CPU that it does not know (core/cpu.py).
_GENERIC_W_PER_THREAD = 4.0
_SHORT_WINDOW_S = 5.0
_WHOLE_WINDOW = 0.98


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known about the window and the machine."""

    seconds: float
    devices: tuple[Device, ...]
    limits: Limits
    identity: CpuIdentity | None
    lost: tuple[str, ...]

    def has(self, domain: str, *origins: str) -> bool:
        """True if a device of ours covers this domain with one of these origins."""
        return any(
            device.domain == domain and device.part_of is None and device.origin in origins
            for device in self.devices
        )


def causes_of(situation: Situation, opinions: Sequence[Opinion]) -> tuple[str, ...]:
    """Sentences for a person, most important first; empty if nobody else measured."""
    if not opinions:
        return ()
    found: list[str] = []
    for opinion in opinions:
        if opinion.name == "codecarbon":
            found += _codecarbon_cpu(situation, opinion)
            found += _codecarbon_ram(situation, opinion)
            found += _codecarbon_window(opinion)
        elif opinion.name == "pyRAPL":
            found += _pyrapl(opinion)
    found += _ours(situation, opinions)
    return tuple(found)


def _codecarbon_cpu(situation: Situation, opinion: Opinion) -> Iterator[str]:
    method, tdp = opinion.details.get("cpu_method"), opinion.details.get("tdp_w")
    if method == "intel_rapl" or not isinstance(tdp, int | float):
        if method == "intel_rapl" and not situation.has("cpu", "measured"):
            yield (
                "codecarbon reads RAPL counters that are not among our sources (or not below the"
                " same /sys)"
            )
        return
    curve = "TDP x (0.1 + 0.9 x load^3)" if method == "cpu_load" else f"a constant share ({method})"
    identity = situation.identity
    if situation.has("cpu", "measured"):
        yield f"codecarbon models the CPU from {tdp:g} W ({curve}); ours is a hardware counter"
    elif identity is not None and tdp == _GENERIC_W_PER_THREAD * identity.threads:
        yield (
            f"codecarbon does not know this CPU and takes 4 W for each of {identity.threads}"
            f" threads as its TDP ({curve}); ours is the model of {_cpu_source(situation)}"
        )
    else:
        yield f"both are models: codecarbon's is {tdp:g} W TDP, {curve}"
        if identity is not None and identity.hypervisor:
            yield (
                f"codecarbon charges the TDP of the whole socket, {tdp:g} W, though this guest sees"
                f" {identity.threads} threads; ours covers those threads"
            )


def _codecarbon_ram(situation: Situation, opinion: Opinion) -> Iterator[str]:
    watts = opinion.details.get("ram_power_w")
    if not opinion.ram_j or not isinstance(watts, int | float):
        return
    flat = f"codecarbon takes a flat {watts:g} W for RAM (5 W for each memory module it assumes)"
    if situation.has("ram", "measured", "derived"):
        yield f"{flat} and does not read the DRAM counter, which ours is"
    elif any("ram" in device.encloses for device in situation.devices):
        yield f"{flat}; ours has the RAM inside the whole server's watts"
    else:
        yield flat


def _codecarbon_window(opinion: Opinion) -> Iterator[str]:
    """Its RAM power is constant, so its RAM energy tells how much of the window it integrated."""
    watts, energy_j = opinion.details.get("ram_power_w"), opinion.ram_j
    if not isinstance(watts, int | float) or not watts or not energy_j:
        return
    covered = energy_j / (watts * opinion.seconds)
    if covered < _WHOLE_WINDOW:
        yield (
            f"codecarbon's energies cover {covered:.0%} of the {opinion.seconds:.1f} s that it"
            " gives as their duration, which lowers its watts by as much"
        )


def _pyrapl(opinion: Opinion) -> Iterator[str]:
    wraps, two_ends_j = opinion.details.get("wraps"), opinion.details.get("two_ends_j")
    if isinstance(wraps, int) and wraps and isinstance(two_ends_j, int | float):
        yield (
            f"a counter wrapped ({wraps} seen): read at two ends only, as pyRAPL's own measurement"
            f" does, the CPU's energy would have come out as {two_ends_j:.4g} J and not"
            f" {opinion.cpu_j:.4g} J"
        )
        if opinion.details.get("ranges_known") is False:
            yield "a counter's range could not be read, so energy before its wrap is missing above"


def _ours(situation: Situation, opinions: Sequence[Opinion]) -> Iterator[str]:
    if any(device.boundary == "server_ac" for device in situation.devices):
        yield (
            "ours is the server at its plug, with fans, power supply and RAM inside; the others'"
            " CPU figure is the processor alone"
        )
    limits = situation.limits
    if limits.cpus is not None and situation.has("cpu", "estimated"):
        yield (
            f"ours covers the {limits.cpus:g} CPUs that this process may use, the others the"
            " whole machine"
        )
    if situation.seconds < _SHORT_WINDOW_S and any(o.name == "codecarbon" for o in opinions):
        yield (
            f"{situation.seconds:.1f} s is short for codecarbon, which samples once a second:"
            " try 20 s"
        )
    for lost in situation.lost:
        yield f"energy is missing from ours: {lost}"


def _cpu_source(situation: Situation) -> str:
    for device in situation.devices:
        if device.domain == "cpu":
            return device.source.removeprefix("model: ")
    return "nothing"
