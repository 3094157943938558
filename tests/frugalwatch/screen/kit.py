"""Runs written second by second into real ledgers, and what a terminal would show of the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from collectors.base import Device, Reading
from frugalwatch.carbon.grid import resolve_or_world
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.journal import Journal
from frugalwatch.report.settle import settle_run
from frugalwatch.screen.app import Screen
from frugalwatch.screen.reading import LedgerWatch
from tests.frugalwatch.ledger.kit import SECOND, Notices, device, run_end, run_start

START_UTC_S = 1_735_689_600
START_S = 100
SETTINGS = Settings(zone="DE", price_per_kwh=0.34)

GPU = device(
    "nvidia:GPU-0", domain="gpu", name="RTX 4090", boundary="board", source="nvml",
    power_limit_w=450.0,
)  # fmt: skip
CPU = device("rapl:package-0", name="package-0", source="intel-rapl")
MODEL = device(
    "model:cpu", name="CPU model", origin="estimated", boundary="server_ac", source="table",
    encloses=("ram",),
)  # fmt: skip


SMALL, LARGE = (80, 24), (120, 40)


class World:
    """The clock of the machine that is looked at, moved by the test."""

    def __init__(self, second: float = START_S) -> None:
        self.second = second

    def mono_ns(self) -> int:
        return round(self.second * SECOND)

    def utc_ns(self) -> int:
        return round((START_UTC_S + self.second - START_S) * SECOND)


class LiveRun:
    """A run that goes on: `go(40, {"rapl:package-0": 50.0})` lets 40 s pass at 50 W."""

    def __init__(
        self,
        path: Path,
        world: World,
        devices: Sequence[Device] = (CPU,),
        run_key: str = "20250101T000000-aaaa",
        **changes: Any,
    ) -> None:
        self.world = world
        self.journal = Journal(str(path), notify=Notices(), fallback_dirs=())
        changes = {"price_per_kwh": 0.34, "currency": "EUR"} | changes
        self.start = run_start(
            run_key,
            started_mono_ns=world.mono_ns(),
            started_utc_ns=world.utc_ns(),
            **changes,
        )
        self.journal.open_run(self.start)
        self.handles = {d.key: self.journal.add_stream(d, world.mono_ns()) for d in devices}
        self.energy_uj = dict.fromkeys(self.handles, 0)
        self._write()

    def go(self, seconds: int, power_w: Mapping[str, float]) -> None:
        """Let time pass; a device that is not named gives no figure."""
        for _ in range(seconds):
            self.world.second += 1
            for key, watts in power_w.items():
                self.energy_uj[key] += round(watts * 1e6)
            self._write(power_w)

    def _write(self, power_w: Mapping[str, float] | None = None) -> None:
        now = self.world.mono_ns()
        for key in self.handles if power_w is None else power_w:
            energy = self.energy_uj[key]
            bounds = (energy // 2, energy * 2) if key.startswith("model:") else (None, None)
            self.journal.sample(self.handles[key], Reading(key, now, energy, *bounds))
        self.journal.heartbeat(now)
        assert self.journal.commit()

    def end(self, settings: Settings = SETTINGS, **changes: Any) -> None:
        """End the run and settle it, as the sampler does."""
        connection = self.journal.finish(
            run_end(**{"ended_mono_ns": self.world.mono_ns(), "job_cpu_us": 5_000_000} | changes)
        )
        factor, _ = resolve_or_world(settings)
        own = settings._replace(price_per_kwh=self.start.price_per_kwh)
        _, totals = settle_run(connection, self.start.run_key, factor, own)
        self.journal.store_totals(totals)
        self.journal.close()


def watch(path: Path, world: World, settings: Settings = SETTINGS) -> LedgerWatch:
    """A reader whose clocks are the test's."""
    return LedgerWatch(str(path), settings, clock_ns=world.mono_ns, utc_ns=world.utc_ns)


def many_runs(path: Path, count: int) -> None:
    """Finished runs of one device, a minute apart, every fifth of another command."""
    for number in range(count):
        world = World(START_S + 60 * number)
        command = ("python", "eval.py") if number % 5 == 4 else ("python", "train.py", str(number))
        run = LiveRun(path, world, run_key=f"2025-{number:06d}", command=command)
        run.go(3, {CPU.key: 50.0})
        run.end()


def shown(app: Screen) -> list[str]:
    """The lines of the terminal."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in line) for line in strips]


Drive = Callable[[Screen, Pilot[None]], Awaitable[None]]


def drive(reader: LedgerWatch, size: tuple[int, int], what: Drive, **options: Any) -> None:
    """Open the screen in a terminal of that size and let `what` use it."""

    async def main() -> None:
        app = Screen(reader, **options)
        async with app.run_test(size=size) as pilot:
            await settled(app, pilot)
            await what(app, pilot)

    asyncio.run(main())


async def settled(app: Screen, pilot: Pilot[None]) -> None:
    """Wait until the look that goes on is done and shown, and the one that was asked for since."""
    await pilot.pause()
    while True:
        await app.workers.wait_for_complete()
        await pilot.pause()
        if not app._looking:
            return


async def press(app: Screen, pilot: Pilot[None], *keys: str) -> list[str]:
    """Press keys, one after the other; what is on the screen then."""
    for key in keys:
        await pilot.press(key)
        await settled(app, pilot)
    return shown(app)


def look_at(
    ledger: Path, world: World, size: tuple[int, int] = SMALL, *keys: str, **options: Any
) -> list[str]:
    """The lines of the terminal after these keys."""
    lines: list[str] = []

    async def use(app: Screen, pilot: Pilot[None]) -> None:
        lines.extend(await press(app, pilot, *keys))

    drive(watch(ledger, world), size, use, **options)
    return lines


def line_with(lines: list[str], *words: str) -> str:
    """The first line with all of these words in it."""
    found = [line for line in lines if all(word in line for word in words)]
    assert found, f"no line with {words} in:\n" + "\n".join(lines)
    return found[0]
