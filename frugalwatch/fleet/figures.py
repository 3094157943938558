"""What a job used on all of its nodes: union per (boot, device), then a sum.

A *part* is what one ledger knows of the job on one boot of one machine. Parts of different boots
are different energy and are added up. Two ledgers of one boot (containers, two users) may have
recorded the same device at the same time: there the longer recording counts, and of the other one
what lies outside of it, in proportion to the time, with bounds that say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from frugalwatch.ledger.union import Interval, add, subtract

MEASURED = ("measured", "derived")


class DeviceFigure(NamedTuple):
    """Micro-joules of one device of the sum, in one part."""

    device: str
    domain: str
    boundary: str
    origin: str
    energy_uj: int
    low_uj: int
    high_uj: int


class Part(NamedTuple):
    """A job as one ledger knows it on one boot. `ended`: no recording of it still runs there.

    `coverage` None: nothing was read. `co2e_ug` None: unknown.
    """

    node: str
    boot_key: str
    ledger_key: str
    recordings: int
    ended: bool
    began_utc_ms: int
    ended_utc_ms: int | None
    coverage: float | None
    co2e_ug: int | None
    devices: tuple[DeviceFigure, ...]

    @property
    def window(self) -> Interval:
        """From its beginning to its end, in milliseconds of Unix time."""
        return self.began_utc_ms, max(self.began_utc_ms + 1, self.ended_utc_ms or 0)


class Sum(NamedTuple):
    """Micro-joules with bounds; None where there is no such device."""

    energy_uj: int
    low_uj: int
    high_uj: int


class NodeTotal(NamedTuple):
    """What a job used on one node. `measured` and `estimated` are never added up."""

    node: str
    boots: int
    recordings: int
    ended: bool
    began_utc_ms: int
    ended_utc_ms: int | None
    coverage: float | None
    measured: Sum | None
    estimated: Sum | None
    co2e_ug: int | None
    overlapped: bool  # several ledgers recorded the same device at the same time
    devices: tuple[DeviceFigure, ...]


class FleetTotal(NamedTuple):
    """A job on all nodes that told of it."""

    run_id: str
    nodes: tuple[NodeTotal, ...]

    @property
    def measured(self) -> Sum | None:
        """Counters and integrated power, of all nodes."""
        return add_up(node.measured for node in self.nodes)

    @property
    def estimated(self) -> Sum | None:
        """Models, of all nodes."""
        return add_up(node.estimated for node in self.nodes)

    @property
    def co2e_ug(self) -> int | None:
        """Carbon of all nodes; None if a node's is unknown."""
        known = [node.co2e_ug for node in self.nodes]
        return None if not known or None in known else sum(k for k in known if k is not None)

    @property
    def coverage(self) -> float | None:
        """The worst of the nodes'."""
        known = [node.coverage for node in self.nodes if node.coverage is not None]
        return min(known) if known else None

    @property
    def ended(self) -> bool:
        """Whether every node that told of it told its end."""
        return all(node.ended for node in self.nodes)


def total(run_id: str, parts: Iterable[Part]) -> FleetTotal:
    """The job's figures by node, in order of the nodes' names."""
    by_boot: dict[str, list[Part]] = {}
    for part in parts:
        by_boot.setdefault(part.boot_key, []).append(part)
    by_node: dict[str, list[NodeTotal]] = {}
    for boot in by_boot.values():
        one = _boot(boot)
        by_node.setdefault(one.node, []).append(one)
    return FleetTotal(run_id, tuple(_node(by_node[name]) for name in sorted(by_node)))


def add_up(sums: Iterable[Sum | None]) -> Sum | None:
    """The sum of what there is; None if there is nothing."""
    known = [one for one in sums if one is not None]
    if not known:
        return None
    return Sum(*(sum(column) for column in zip(*known, strict=True)))


def _boot(parts: Sequence[Part]) -> NodeTotal:
    """One boot from all ledgers that know it: the longest recording first."""
    ordered = sorted(parts, key=lambda p: (p.window[0] - p.window[1], p.node, p.ledger_key))
    covered: dict[tuple[str, str], list[Interval]] = {}
    devices: list[DeviceFigure] = []
    co2e: list[int | None] = []
    overlapped = False
    for part in ordered:
        shares = []
        for figure in part.devices:
            known = covered.setdefault((figure.device, figure.origin), [])
            left = sum(end - begin for begin, end in subtract(part.window, known))
            share = left / (part.window[1] - part.window[0])
            covered[figure.device, figure.origin] = add(known, part.window)
            shares.append(share)
            devices.append(_share_of(figure, share))
        overlapped |= any(share < 1 for share in shares)
        share = min(shares, default=1.0)
        co2e.append(None if part.co2e_ug is None else round(part.co2e_ug * share))
    known_co2e = [grams for grams in co2e if grams is not None]
    return NodeTotal(
        node=ordered[0].node,
        boots=1,
        recordings=sum(part.recordings for part in parts),
        ended=all(part.ended for part in parts),
        began_utc_ms=min(part.began_utc_ms for part in parts),
        ended_utc_ms=_latest([part.ended_utc_ms for part in parts]),
        coverage=min((p.coverage for p in parts if p.coverage is not None), default=None),
        measured=_sum(devices, estimated=False),
        estimated=_sum(devices, estimated=True),
        co2e_ug=sum(known_co2e) if len(known_co2e) == len(co2e) else None,
        overlapped=overlapped,
        devices=tuple(devices),
    )


def _share_of(figure: DeviceFigure, share: float) -> DeviceFigure:
    """What a part has beyond others. A whole part stays as it is, to the micro-joule."""
    if share >= 1:
        return figure
    return figure._replace(
        energy_uj=round(figure.energy_uj * share),
        low_uj=0,
        high_uj=figure.high_uj if share > 0 else 0,
    )


def _node(boots: Sequence[NodeTotal]) -> NodeTotal:
    """A node over its boots: a job that went on after a reboot."""
    first = boots[0]
    if len(boots) == 1:
        return first
    devices = tuple(figure for boot in boots for figure in boot.devices)
    grams = [boot.co2e_ug for boot in boots]
    return first._replace(
        boots=len(boots),
        recordings=sum(boot.recordings for boot in boots),
        ended=all(boot.ended for boot in boots),
        began_utc_ms=min(boot.began_utc_ms for boot in boots),
        ended_utc_ms=_latest([boot.ended_utc_ms for boot in boots]),
        coverage=min((b.coverage for b in boots if b.coverage is not None), default=None),
        measured=_sum(devices, estimated=False),
        estimated=_sum(devices, estimated=True),
        co2e_ug=None if None in grams else sum(g for g in grams if g is not None),
        overlapped=any(boot.overlapped for boot in boots),
        devices=devices,
    )


def _sum(devices: Iterable[DeviceFigure], *, estimated: bool) -> Sum | None:
    return add_up(
        Sum(one.energy_uj, one.low_uj, one.high_uj)
        for one in devices
        if (one.origin not in MEASURED) == estimated
    )


def _latest(times: Sequence[int | None]) -> int | None:
    """The last of the ends; None while any is missing."""
    return None if None in times else max(t for t in times if t is not None)
