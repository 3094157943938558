"""What GPUs used with no job on them: recorded by runs that left them alone, and between runs.

Between two runs nobody records. Of that time only its length is known, as long as the machine did
not start anew; the energy is the GPU's idle watts times that, an estimate, where those are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from frugalwatch.report.attribution import Energy
from frugalwatch.screen.machine.records import GpuUse, IdleGpu, added
from frugalwatch.screen.machine.union import Cluster, Piece


class _Waiting(NamedTuple):
    """What is gathered about one GPU."""

    host: str
    use: GpuUse
    measured: Energy | None = None
    recorded_s: float = 0.0
    between_s: float = 0.0


class IdleSums:
    """Adds up idle GPUs from one day on. Clusters of one boot come in the order of their begin."""

    def __init__(self, begin_utc_s: float, from_day: int) -> None:
        self._begin_utc_s = begin_utc_s
        self._from_day = from_day
        self._found: dict[int, _Waiting] = {}
        self._last: dict[int, tuple[Cluster, Mapping[int, Sequence[GpuUse]]]] = {}

    def copy(self) -> IdleSums:
        """The same sums, to be added to by themselves."""
        other = IdleSums(self._begin_utc_s, self._from_day)
        other._found, other._last = dict(self._found), dict(self._last)
        return other

    def add(
        self, cluster: Cluster, pieces: Sequence[Piece], gpus: Mapping[int, Sequence[GpuUse]]
    ) -> None:
        """Add a cluster; `gpus` says by number of the device what its runs knew about it."""
        self.wait_until(cluster.boot, cluster.begin_ns)
        before = self._last.get(cluster.boot)
        # A run that nobody ended, found again in a later one's past, is not the last one.
        if before is None or before[0].end_ns <= cluster.end_ns:
            self._last[cluster.boot] = (cluster, gpus)
        shown = [piece for piece in pieces if piece.day >= self._from_day]
        if not shown:
            return
        for device, uses in gpus.items():
            waiting = self._waiting(cluster, device, uses)
            # Each run sees all processes: a GPU that any of them saw busy was not idle.
            if all(use.busy is False for use in uses):
                for piece in shown:
                    joules = piece.energies.get(device)
                    if joules is not None:
                        waiting = waiting._replace(
                            measured=added(waiting.measured, joules.energy),
                            recorded_s=waiting.recorded_s + piece.seconds,
                        )
            self._found[device] = waiting

    def wait_until(self, boot: int, mono_ns: int) -> None:
        """Add the time from the end of the last cluster of a boot until then."""
        if boot not in self._last:
            return
        cluster, gpus = self._last[boot]
        begin = max(cluster.end_ns, round(self._begin_utc_s * 1e9) - cluster.offset_ns)
        if mono_ns > begin:
            for device, uses in gpus.items():
                waiting = self._waiting(cluster, device, uses)
                between_s = waiting.between_s + (mono_ns - begin) / 1e9
                self._found[device] = waiting._replace(between_s=between_s)

    def gpus(self) -> tuple[IdleGpu, ...]:
        """What is known, by host and name."""
        return tuple(sorted((_idle(one) for one in self._found.values()), key=_place))

    def _waiting(self, cluster: Cluster, device: int, uses: Sequence[GpuUse]) -> _Waiting:
        known = [use for use in uses if use.idle_w is not None]
        waiting = self._found.get(device)
        if waiting is None:
            return _Waiting(cluster.runs[0].host, (known or list(uses))[-1])
        return waiting._replace(use=known[-1]) if known else waiting


def _place(gpu: IdleGpu) -> tuple[str, str]:
    return gpu.host, gpu.key


def _idle(one: _Waiting) -> IdleGpu:
    watts = one.use.idle_w
    estimated = None
    if watts is not None and one.between_s > 0:
        estimated = Energy(
            watts.value * one.between_s, watts.low * one.between_s, watts.high * one.between_s
        )
    return IdleGpu(
        host=one.host,
        key=one.use.key,
        name=one.use.name,
        measured=one.measured,
        recorded_s=one.recorded_s,
        between_s=one.between_s,
        estimated=estimated,
        idle_w=watts,
        idle_origin=one.use.idle_origin,
    )
