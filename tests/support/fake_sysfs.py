"""A fake /sys whose counters follow a power trace with a known integral.

`PowercapTree` builds what Linux shows for RAPL (the class folder's links, zones nested below
devices/virtual/powercap); `write_chip` and `write_power_supply` build sensor folders; `Feeder` is
a process of its own that moves their files in real time. Files are written in place with a fixed
width, so that a reader never sees a half-written number.

    with PowercapTree(tmp_path, [Zone("package-0", Square(20, 60, 0.7), range_j=150)]) as tree:
        tree.start()
        ...  # FRUGALWATCH_SYSFS=tree.sysfs
        tree.true_energy_j("package-0", t0_mono_ns, t1_mono_ns)
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collectors.fake import Constant, Ramp, Square, Trace

__all__ = [
    "Constant",
    "Feeder",
    "PowercapTree",
    "Ramp",
    "Square",
    "Target",
    "Zone",
    "write_amd_gpu",
    "write_chip",
    "write_power_supply",
]

_NS = 1_000_000_000
_REPOSITORY = Path(__file__).resolve().parents[2]
REAL_RANGE_J = 262_143.328850  # 2^32 - 1 units of 2^-14 J, what most processors show


@dataclass(frozen=True)
class Target:
    """One file to move. `quantity` energy: scale * joules since the start; power: scale * watts.

    The default scale gives micro-joules and microwatts. `start` is added, `wrap` is the modulus.
    """

    path: str
    trace: Trace
    quantity: str = "energy"
    scale: float = 1e6
    start: int = 0
    wrap: int | None = None

    def value(self, t_s: float, offset: int = 0) -> int:
        amount = self.trace.energy_j(t_s) if self.quantity == "energy" else self.trace.power_w(t_s)
        shown = self.start + offset + round(self.scale * amount)
        return shown if self.wrap is None else shown % self.wrap


class Feeder:
    """A process that writes every target's value each `interval_s`, until it is stopped.

    Commands are sent while it runs: `offset(path, amount)` adds to what a target shows (negative: a
    fall), `reopen(path)` writes to the path anew after it was removed and made again. The process
    ends with its parent, since its standard input closes then.
    """

    def __init__(self, targets: Sequence[Target], interval_s: float = 0.003) -> None:
        self._targets = list(targets)
        self._interval_s = interval_s
        self._process: subprocess.Popen[bytes] | None = None
        self.start_ns = 0

    def start(self) -> None:
        """Start feeding. The traces begin now; returns when the first values are written."""
        program = "from tests.support.fake_sysfs import feed; feed()"
        # The interpreter's start takes longer than a trace may wait, so it tells when it is ready.
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=_REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send((self._targets, self._interval_s))
        self.start_ns = self._receive()

    def offset(self, path: str, amount: int) -> None:
        """Add `amount` to what the target shows from now on."""
        self._ask(("offset", path, amount))

    def restart(self, path: str) -> None:
        """Make the target show 0 now and count on from there."""
        self._ask(("restart", path, 0))

    def reopen(self, path: str) -> None:
        """Write to `path` anew after it was removed and made again."""
        self._ask(("reopen", path, 0))

    @property
    def lateness_s(self) -> float:
        """The longest pause between two rounds of writing so far: how old a value may have been."""
        return self._ask(("lateness", "", 0)) / _NS

    def stop(self) -> None:
        """End the process. Safe to call twice."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            self._process.wait(timeout=10)
            self._process = None

    def _ask(self, command: tuple[str, str, int]) -> int:
        self._send(command)
        return self._receive()

    def _send(self, message: object) -> None:
        assert self._process is not None, "the feeder is not running"
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()

    def _receive(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the feeder ended"
        return int(line)


def feed() -> None:
    """The feeder's process: targets from standard input, then commands, until it closes."""
    # A late write looks like missing energy, or too much of it, on a busy machine.
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        with contextlib.suppress(OSError):
            os.nice(-10)
    commands = sys.stdin.buffer
    targets, interval_s = pickle.load(commands)
    descriptors = {target.path: os.open(target.path, os.O_WRONLY) for target in targets}
    offsets = dict.fromkeys(descriptors, 0)
    start_ns = time.monotonic_ns()
    written_ns, lateness_ns = start_ns, 0

    def write_all() -> None:
        for target in targets:
            t_s = (time.monotonic_ns() - start_ns) / _NS
            text = f"{target.value(t_s, offsets[target.path]):020d}\n"
            os.pwrite(descriptors[target.path], text.encode(), 0)

    write_all()
    answer: int | None = start_ns
    while True:
        if answer is not None:
            os.write(1, f"{answer}\n".encode())
            answer = None
        ready, _, _ = select.select([commands], [], [], interval_s)
        if ready:
            try:
                what, path, amount = pickle.load(commands)
            except EOFError:
                return
            answer = 0
            if what == "offset":
                offsets[path] += amount
            elif what == "restart":
                (target,) = (t for t in targets if t.path == path)
                t_s = (time.monotonic_ns() - start_ns) / _NS
                offsets[path] = -target.start - round(target.scale * target.trace.energy_j(t_s))
            elif what == "reopen":
                os.close(descriptors[path])
                descriptors[path] = os.open(path, os.O_WRONLY)
            elif what == "lateness":
                answer = lateness_ns
        write_all()
        now_ns = time.monotonic_ns()
        lateness_ns = max(lateness_ns, now_ns - written_ns)
        written_ns = now_ns


@dataclass(frozen=True)
class Zone:
    """One RAPL zone: its name as the kernel shows it, its power, its counter's range.

    `start_j` is what the counter shows at first. `max_power_w` and `limit_w` write constraint_0.
    `mmio` adds an intel-rapl-mmio copy that shows the same figure; `msr` False leaves only that.
    """

    name: str
    trace: Trace = field(default_factory=lambda: Constant(0.0))
    range_j: float = REAL_RANGE_J
    start_j: float = 0.0
    max_power_w: float | None = None
    limit_w: float | None = None
    subzones: tuple[Zone, ...] = ()
    mmio: bool = False
    msr: bool = True


class PowercapTree:
    """A fake /sys with RAPL zones. Zones are named by path: `package-0`, `package-0:dram`, `psys`.

    Without `start()` the counters stand still and `set_j` moves them; with it a feeder does.
    `links` False leaves out the class folder's links to the zones, so that they are only nested.
    """

    def __init__(
        self,
        root: Path,
        zones: Sequence[Zone],
        *,
        interval_s: float = 0.003,
        energy_mode: int = 0o644,
        links: bool = True,
    ) -> None:
        self._sysfs = Path(root) / "sys"
        self._class = self._sysfs / "class" / "powercap"
        self._devices = self._sysfs / "devices" / "virtual" / "powercap"
        self._energy_mode = energy_mode
        self._links = links
        self._zones: dict[str, Zone] = {}
        self._folders: dict[
            str, Path
        ] = {}  # of the MSR zone, or of the copy where there is only it
        self._targets: list[Target] = []
        self._targets_by_zone: dict[str, list[Target]] = {}
        self._running = False
        self._class.mkdir(parents=True)
        self._control("intel-rapl")
        for index, zone in enumerate(zones):
            if zone.msr:
                folder = self._devices / "intel-rapl" / f"intel-rapl:{index}"
                self._build(zone, folder, zone.name)
            if zone.mmio:
                self._control("intel-rapl-mmio")
                folder = self._devices / "intel-rapl-mmio" / f"intel-rapl-mmio:{index}"
                self._build(zone, folder, zone.name)
        self._feeder = Feeder(self._targets, interval_s)

    def __enter__(self) -> PowercapTree:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def sysfs(self) -> str:
        """The root to hand to `Host(sysfs=...)` or FRUGALWATCH_SYSFS."""
        return str(self._sysfs)

    @property
    def lateness_s(self) -> float:
        """How old a counter's value may have been at worst: see `Feeder.lateness_s`."""
        return self._feeder.lateness_s

    def folder(self, zone: str) -> Path:
        """The zone's folder below devices/virtual/powercap."""
        return self._folders[zone]

    def energy_file(self, zone: str) -> Path:
        """The zone's energy_uj."""
        return self._folders[zone] / "energy_uj"

    def start(self) -> None:
        """Let the counters follow their traces from now on."""
        self._feeder.start()
        self._running = True

    def stop(self) -> None:
        """Stop the feeder. Safe to call twice."""
        self._feeder.stop()
        self._running = False

    def true_energy_j(self, zone: str, t0_mono_ns: int, t1_mono_ns: int) -> float:
        """The trace's exact energy between two instants of CLOCK_MONOTONIC."""
        trace, start_ns = self._zones[zone].trace, self._feeder.start_ns
        return trace.energy_j((t1_mono_ns - start_ns) / _NS) - trace.energy_j(
            (t0_mono_ns - start_ns) / _NS
        )

    # ---- what can happen to a counter

    def set_j(self, zone: str, energy_j: float) -> None:
        """Show this value now (only while no feeder runs)."""
        assert not self._running, "the feeder would overwrite it"
        for target in self._targets_of(zone):
            Path(target.path).write_text(f"{round(energy_j * 1e6):020d}\n")

    def reset(self, zone: str) -> None:
        """The counter starts again at 0 (firmware did that)."""
        for target in self._targets_of(zone):
            if self._running:
                self._feeder.restart(target.path)
            else:
                Path(target.path).write_text(f"{0:020d}\n")

    def jump(self, zone: str, energy_j: float) -> None:
        """The counter leaps by this much at once (negative: back). Needs the feeder."""
        for target in self._targets_of(zone):
            self._feeder.offset(target.path, round(energy_j * 1e6))

    def make_unreadable(self, zone: str) -> None:
        """chmod 0: EACCES for everyone but root, and not for those who have the file open."""
        for target in self._targets_of(zone):
            os.chmod(target.path, 0)

    def make_readable(self, zone: str) -> None:
        """Undo `make_unreadable`."""
        for target in self._targets_of(zone):
            os.chmod(target.path, self._energy_mode)

    def fail(self, zone: str, text: str = "nonsense\n") -> None:
        """A read fails: the file holds a text that is no number, which our reader takes as EINVAL.

        A plain file cannot answer EINVAL itself. Only while no feeder runs; `set_j` ends it.
        """
        assert not self._running
        self.energy_file(zone).write_text(text)

    def make_directory(self, zone: str) -> None:
        """A folder in place of energy_uj: opening works, reading gives EISDIR (class `invalid`)."""
        self.energy_file(zone).unlink()
        self.energy_file(zone).mkdir()

    def vanish(self, zone: str) -> None:
        """Remove the zone's folder with all below it (the module was unloaded)."""
        shutil.rmtree(self._folders[zone])

    def restore(self, zone: str) -> None:
        """Bring a vanished zone back: where its trace stands by then, or at its start."""
        self._build(self._zones[zone], self._folders[zone], zone, again=True)
        if self._running:
            for target in self._targets:
                if target.path.startswith(f"{self._folders[zone]}/"):
                    self._feeder.reopen(target.path)

    # ---- building

    def _shown_uj(self, path: str, start_uj: int) -> int:
        """What a zone that is built shows at first: it may be one that comes back."""
        if not self._running:
            return start_uj
        target = self._targets_by_zone[path][0]
        return target.value((time.monotonic_ns() - self._feeder.start_ns) / _NS)

    def _targets_of(self, zone: str) -> list[Target]:
        """The counter's own file and its MMIO copy's."""
        return self._targets_by_zone[zone]

    def _control(self, control: str) -> None:
        folder = self._devices / control
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "enabled").write_text("1\n")
            if self._links:
                self._link(folder)
            else:
                shutil.copytree(folder, self._class / control)

    def _link(self, folder: Path) -> None:
        link = self._class / folder.name
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(folder, self._class))

    def _build(self, zone: Zone, folder: Path, path: str, again: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        range_uj = round(zone.range_j * 1e6)
        start_uj = round(zone.start_j * 1e6)
        texts = {
            "name": zone.name,
            "enabled": "1",
            "max_energy_range_uj": str(range_uj),
            "energy_uj": f"{self._shown_uj(path, start_uj):020d}",
        }
        if zone.max_power_w is not None or zone.limit_w is not None:
            texts["constraint_0_name"] = "long_term"
            texts["constraint_0_time_window_us"] = "27983872"
            texts["constraint_0_max_power_uw"] = str(round((zone.max_power_w or 0) * 1e6))
            texts["constraint_0_power_limit_uw"] = str(round((zone.limit_w or 0) * 1e6))
        for name, text in texts.items():
            (folder / name).write_text(f"{text}\n")
        os.chmod(folder / "energy_uj", self._energy_mode)
        if not again:
            self._zones[path] = zone
            self._folders.setdefault(path, folder)
            energy = str(folder / "energy_uj")
            target = Target(energy, zone.trace, start=start_uj, wrap=range_uj)
            self._targets.append(target)
            self._targets_by_zone.setdefault(path, []).append(target)
        if self._links:
            self._link(folder)
        for index, subzone in enumerate(zone.subzones):
            below = folder / f"{folder.name}:{index}"
            self._build(subzone, below, f"{path}:{subzone.name}", again)


def write_chip(sysfs: str | Path, folder: str, name: str, files: dict[str, int | str]) -> Path:
    """A sensor chip at class/hwmon/<folder> with its name and files. Returns its folder."""
    chip = Path(sysfs) / "class" / "hwmon" / folder
    chip.mkdir(parents=True, exist_ok=True)
    (chip / "name").write_text(f"{name}\n")
    for file, content in files.items():
        (chip / file).write_text(f"{content}\n")
    return chip


def write_amd_gpu(sysfs: str | Path, card: str, address: str, files: dict[str, int | str]) -> Path:
    """An AMD GPU: the PCI device, its DRM card and its hwmon chip. Returns the chip's folder."""
    device = Path(sysfs) / "devices" / "pci0000:00" / address
    chip = device / "hwmon" / f"hwmon{10 + int(card.removeprefix('card'))}"
    chip.mkdir(parents=True, exist_ok=True)
    (device / "vendor").write_text("0x1002\n")
    (chip / "name").write_text("amdgpu\n")
    for file, content in files.items():
        (chip / file).write_text(f"{content}\n")
    for link, target in (
        (Path(sysfs) / "class" / "drm" / card / "device", device),
        (Path(sysfs) / "class" / "hwmon" / chip.name, chip),
        (chip / "device", device),
    ):
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(target, link.parent))
    return chip


def write_power_supply(sysfs: str | Path, name: str, files: dict[str, int | str]) -> Path:
    """A battery or a mains adapter at class/power_supply/<name>. Returns its folder."""
    supply = Path(sysfs) / "class" / "power_supply" / name
    supply.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (supply / file).write_text(f"{content}\n")
    return supply
