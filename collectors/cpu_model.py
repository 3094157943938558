"""Energy of the CPU where no counter says it: a model of watts, and CPU time that is measured.

    energy = idle_w * wall seconds + (full_w - idle_w) / threads * busy CPU seconds

for the hardware threads that this process may use, and no others. The watts come from the table
of published servers (then fans, power supply and RAM are inside), from what the user said of this
machine, or from a calibration file of a machine of the same family. Every figure carries bounds
and the word `estimated`; it must never be reported as measured.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from collectors.band import Band
from collectors.base import Device, Gap, GapCause, Observation, Probe, Reading
from collectors.cpu_identity import CpuIdentity, read_cpu_identity
from collectors.cpu_power_model import CpuPowerModel, table_model
from collectors.cpu_table import thread_power
from collectors.cpu_time import BusySource, busy_source, format_cpu_list
from collectors.host import Host
from collectors.limits import Limits, read_limits

if TYPE_CHECKING:
    from collectors.calibration import Calibration

KEY = "model:cpu"


class CpuModelCollector:
    """Modelled energy of the CPU, a `Collector` with the one device `model:cpu`."""

    name = "cpu_model"
    isolate = False

    def __init__(self, host: Host, model: CpuPowerModel, busy: BusySource) -> None:
        self._clock_ns = host.clock_ns
        self._model = model
        self._busy = busy
        self._opened_ns: int | None = None
        self._last_busy_us: int | None = None
        self._last_ok_ns = 0
        self._busy_us = 0
        self._energy_uj = self._low_uj = self._high_uj = 0

    @property
    def model(self) -> CpuPowerModel:
        """The watts that are used."""
        return self._model

    @property
    def busy(self) -> BusySource:
        """Busy CPU time of exactly the threads that the model covers: what a share divides by."""
        return self._busy

    def idle_power_w(self) -> Band:
        """Modelled watts of the covered threads when all of them are idle."""
        return self._model.idle_w

    def probe(self) -> Probe:
        """The model's device, or why busy CPU time cannot be read."""
        try:
            busy_us = self._busy.busy_us()
        except (OSError, ValueError) as error:
            return Probe(
                self.name,
                reason=f"CPU time cannot be read: {error}",
                remedy="mount /proc, or name it in FRUGALWATCH_PROCFS",
            )
        if self._opened_ns is None:
            self._opened_ns = self._last_ok_ns = self._clock_ns()
            self._last_busy_us = busy_us
        return Probe(self.name, devices=(self._device(),))

    def read(self) -> Sequence[Observation]:
        """Modelled micro-joules since `probe()`, or a gap that the next look makes good."""
        if self._opened_ns is None or self._last_busy_us is None:
            return ()
        try:
            busy_us = self._busy.busy_us()
        except (OSError, ValueError) as error:
            return (self._gap(error),)
        now_ns = self._clock_ns()
        wall_s = (now_ns - self._opened_ns) / 1e9
        # A counter that went back (a container's /proc was remounted) adds nothing.
        self._busy_us += max(0, busy_us - self._last_busy_us)
        self._last_busy_us = busy_us
        # Ticks of 10 ms may show a little more than all threads could do.
        busy_s = min(self._busy_us / 1e6, self._model.threads * wall_s)
        idle, active = self._model.idle_w, self._model.active_w
        self._energy_uj = max(self._energy_uj, _uj(idle.value, active.value, wall_s, busy_s))
        self._low_uj = max(self._low_uj, _uj(idle.low, active.low, wall_s, busy_s))
        self._high_uj = max(self._high_uj, _uj(idle.high, active.high, wall_s, busy_s))
        self._last_ok_ns = now_ns
        return (Reading(KEY, now_ns, self._energy_uj, low_uj=self._low_uj, high_uj=self._high_uj),)

    def close(self) -> None:
        """Nothing is held open."""

    def state(self) -> dict[str, tuple[int, ...]]:
        """What a successor must know to go on: both clocks' zeros and the figures so far."""
        if self._opened_ns is None or self._last_busy_us is None:
            return {}
        figures = (self._energy_uj, self._low_uj, self._high_uj)
        return {KEY: (self._opened_ns, self._last_busy_us, self._busy_us, *figures)}

    def resume(self, state: dict[str, tuple[int, ...]]) -> None:
        """Go on where a predecessor stopped: the time in between counts, since nobody was blind."""
        if KEY in state:
            self._opened_ns, self._last_busy_us, self._busy_us, *figures = state[KEY]
            self._energy_uj, self._low_uj, self._high_uj = figures

    def _device(self) -> Device:
        model = self._model
        threads = f"{model.threads:g} of {model.visible_threads} hardware threads"
        if model.threads == model.visible_threads:
            threads = f"{model.visible_threads} hardware threads"
        return Device(
            key=KEY,
            domain="cpu",
            name=f"CPU model, {threads}",
            origin="estimated",
            boundary=model.boundary,
            source=model.source,
            encloses=model.encloses,
            idle_w=model.idle_w.value,
            idle_low_w=model.idle_w.low,
            idle_high_w=model.idle_w.high,
            idle_origin=model.idle_origin,
            note=model.note,
        )

    def _gap(self, error: Exception) -> Gap:
        cause: GapCause = "invalid"
        if isinstance(error, PermissionError):
            cause = "permission"
        elif isinstance(error, FileNotFoundError):
            cause = "vanished"
        now_ns = self._clock_ns()
        return Gap(KEY, now_ns, self._last_ok_ns, cause, str(error), recoverable=True)


def _uj(idle_w: float, active_w: float, wall_s: float, busy_s: float) -> int:
    return round((idle_w * wall_s + active_w * busy_s) * 1e6)


def covered_threads(identity: CpuIdentity | None, limits: Limits) -> tuple[float, int]:
    """How many hardware threads the model covers, and how many this machine shows."""
    visible = identity.threads if identity is not None else 1
    return (min(limits.cpus, float(visible)) if limits.cpus else float(visible)), visible


def limit_note(limits: Limits) -> str:
    """Why fewer threads are covered than are visible, for a person; empty if all are."""
    if limits.cpus is None:
        return ""
    if limits.limited_by_quota:
        return f"covers the CPU quota of {limits.cpus:g}"
    if limits.cpu_list is not None:
        return f"covers CPUs {format_cpu_list(limits.cpu_list)} only (affinity or cpuset)"
    return ""


def cpu_model_collector(
    host: Host,
    choice: Literal["table", "codecarbon"] = "table",
    calibration: "Calibration | None" = None,
) -> CpuModelCollector:
    """The collector for this machine, within what this process may use of it.

    `choice` "codecarbon" takes the TDP that the installed codecarbon lists for this CPU; where that
    cannot be had the table stands, and the device's note says why. `calibration` is what this
    machine's ledger knows; what a person or a file said of this machine wins over either.
    """
    identity = read_cpu_identity(host)
    limits = read_limits(host, identity.threads if identity else None)
    threads, visible = covered_threads(identity, limits)
    power = thread_power(identity)
    model = table_model(power, threads, visible)
    if choice == "codecarbon":
        from collectors.tdp_codecarbon import tdp_model

        model = tdp_model(model, identity)
    if calibration is not None:
        from collectors.calibration import calibrated_model

        model = calibrated_model(model, calibration, power.key)
    note = "; ".join(part for part in (limit_note(limits), model.note) if part)
    return CpuModelCollector(host, model._replace(note=note), busy_source(host, limits))
