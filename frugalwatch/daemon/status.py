"""What is known of the daemon on this machine, from its lock and its ledger or from its socket."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from collectors.daemon import DaemonCollector
from collectors.host import Host
from frugalwatch.config.settings import Settings
from frugalwatch.daemon.lock import lock_holder
from frugalwatch.daemon.places import SYSTEM_LEDGER, Places, daemon_places
from frugalwatch.daemon.session import RUN_PREFIX
from frugalwatch.errors import FrugalWatchError
from frugalwatch.ledger.reading import open_reader
from frugalwatch.machine import boot_key
from frugalwatch.metrics.probing import answers, url
from frugalwatch.remote.status import Sending, in_words, sending
from frugalwatch.sampler.sources import daemon_sockets

_RECENT_NS = 30_000_000_000
_EVENTS = 5


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """One device of the daemon: energy since it began to look in this boot, and recent power."""

    device: str
    domain: str
    origin: str
    energy_j: float
    power_w: float | None


@dataclass(frozen=True, slots=True)
class EventSeen:
    """Something that the daemon noted, so many seconds ago."""

    kind: str
    cause: str
    ago_s: float
    detail: str


@dataclass(frozen=True, slots=True)
class Status:
    """One daemon, or the lack of one. None is unknown, as most is to who may not read its ledger.

    `heartbeat_age_s` is the time since its last commit, which it makes every five seconds.
    `metrics` is the address and port on which it serves them, None if it does not. `sending` has
    how far its ledger was sent to each server, as in `frugalwatch send --status --json`.
    """

    running: bool
    why_not: str = ""
    pid: int | None = None
    ledger: str | None = None
    ledger_bytes: int | None = None
    socket: str | None = None
    interval_s: float | None = None
    recorded_s: float | None = None
    heartbeat_age_s: float | None = None
    devices: tuple[DeviceSeen, ...] = ()
    events: tuple[EventSeen, ...] = ()
    metrics: str | None = None
    metrics_answer: bool | None = None
    sending: tuple[Sending, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The same as JSON; SI units in the key names."""
        return asdict(self)


def find_status(settings: Settings, environ: Mapping[str, str], uid: int) -> Status:
    """The daemon that these settings name; where none is set, one's own and then the system's."""
    places = daemon_places(settings, environ, uid)
    found = _status_of(places)
    if found.running:
        return found
    if not settings.daemon_ledger and places.ledger != SYSTEM_LEDGER:
        system = _status_of(daemon_places(Settings(), {}, 0))
        if system.running:
            return system
    return _asked(settings, environ) or found


def _asked(settings: Settings, environ: Mapping[str, str]) -> Status | None:
    """What a daemon whose ledger is closed to us says on its socket; None if none answers."""
    sockets = [path for path in daemon_sockets(settings, environ) if os.path.exists(path)]
    collector = DaemonCollector(Host.from_environment(), sockets)
    try:
        probe = collector.probe()
        if not probe.ok:
            return None
        told = collector.energy_j()
        return Status(
            running=True,
            socket=collector.path,
            devices=tuple(
                DeviceSeen(device.key, device.domain, device.origin, float(told[device.key]), None)
                for device in probe.devices
            ),
        )
    finally:
        collector.close()


def _status_of(places: Places) -> Status:
    pid, why_not = _holder(places)
    status = Status(running=pid is not None, why_not=why_not, pid=pid, ledger=places.ledger)
    try:
        connection = open_reader(places.ledger)
    except FrugalWatchError:
        return status
    try:
        return _with_ledger(status, places, connection)
    except sqlite3.Error:
        return status
    finally:
        connection.close()


def _holder(places: Places) -> tuple[int | None, str]:
    try:
        pid = lock_holder(places.lock)
    except OSError as error:
        return None, f"{places.ledger} cannot be looked at: {error.strerror}"
    return pid, "" if pid is not None else f"no daemon writes to {places.ledger}"


def _with_ledger(status: Status, places: Places, connection: sqlite3.Connection) -> Status:
    run = connection.execute(
        "SELECT run.id, interval_ns, started_mono_ns, heartbeat_mono_ns"
        " FROM run JOIN boot ON boot.id = run.boot_id"
        " WHERE boot_key = ? AND substr(run_key, 1, ?) = ? ORDER BY run.id DESC LIMIT 1",
        (boot_key(), len(RUN_PREFIX), RUN_PREFIX),
    ).fetchone()
    if run is None:
        return status
    run_id, interval_ns, started_ns, heartbeat_ns = run
    now = time.monotonic_ns()
    metrics = _metrics(connection, run_id) if status.running else None
    return Status(
        running=status.running,
        why_not=status.why_not,
        pid=status.pid,
        ledger=places.ledger,
        ledger_bytes=os.stat(places.ledger).st_size,
        socket=places.socket if os.path.exists(places.socket) else None,
        interval_s=interval_ns / 1e9,
        recorded_s=(heartbeat_ns - started_ns) / 1e9,
        heartbeat_age_s=(now - heartbeat_ns) / 1e9,
        devices=_devices(connection, run_id),
        events=tuple(
            EventSeen(kind, cause, (now - t) / 1e9, detail)
            for kind, cause, t, detail in connection.execute(
                "SELECT kind, cause, t_mono_ns, detail FROM event"
                " WHERE run_id = ? AND kind <> 'metrics_served' ORDER BY id DESC LIMIT ?",
                (run_id, _EVENTS),
            )
        ),
        metrics=metrics,
        metrics_answer=None if metrics is None else answers(metrics),
        sending=tuple(sending(connection)),
    )


def _metrics(connection: sqlite3.Connection, run_id: int) -> str | None:
    """Where the daemon serves metrics since its last start, if it does."""
    row = connection.execute(
        "SELECT kind, detail FROM event WHERE run_id = ?"
        " AND kind IN ('metrics_served', 'daemon_restarted') ORDER BY id DESC LIMIT 1",
        (run_id,),
    ).fetchone()
    return row[1] if row is not None and row[0] == "metrics_served" else None


def _devices(connection: sqlite3.Connection, run_id: int) -> tuple[DeviceSeen, ...]:
    found = []
    for stream_id, key, domain, origin in connection.execute(
        "SELECT stream.id, key, domain, origin FROM stream"
        " JOIN device ON device.id = stream.device_id WHERE run_id = ? ORDER BY stream.id",
        (run_id,),
    ):
        last = connection.execute(
            "SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = ?"
            " ORDER BY t_mono_ns DESC LIMIT 1",
            (stream_id,),
        ).fetchone()
        if last is None:
            continue
        before = connection.execute(
            "SELECT t_mono_ns, energy_uj FROM sample WHERE stream_id = ? AND t_mono_ns >= ?"
            " ORDER BY t_mono_ns LIMIT 1",
            (stream_id, last[0] - _RECENT_NS),
        ).fetchone()
        span_ns = last[0] - before[0]
        power_w = (last[1] - before[1]) * 1e3 / span_ns if span_ns else None
        found.append(DeviceSeen(key, domain, origin, last[1] / 1e6, power_w))
    return tuple(found)


def as_text(status: Status) -> str:
    """A few lines for a person."""
    from frugalwatch.report.format import duration, energy

    if not status.running:
        lines = [f"no daemon: {status.why_not}"]
        if status.heartbeat_age_s is not None:
            lines.append(f"the last one was alive {duration(status.heartbeat_age_s)} ago")
        return "\n".join([*lines, "hint: frugalwatch daemon install"])
    who = f"process {status.pid}" if status.pid else "answers on its socket"
    lines = [f"the daemon runs ({who})"]
    if status.ledger_bytes is not None:
        lines.append(f"ledger   {status.ledger} ({status.ledger_bytes / 2**20:.1f} MiB)")
    if status.socket:
        lines.append(f"socket   {status.socket}")
    if status.metrics:
        silent = "" if status.metrics_answer else " (does not answer)"
        lines.append(f"metrics  {url(status.metrics)}{silent}")
    for each in status.sending:
        lines.append(f"sending  {in_words(each)}")
    if status.recorded_s is not None and status.interval_s is not None:
        every = f"a look every {status.interval_s:g} s"
        lines.append(f"recorded {duration(status.recorded_s)} of this boot, {every}")
    for seen in status.devices:
        mark = "~" if seen.origin == "estimated" else ""
        power = "" if seen.power_w is None else f", now {mark}{seen.power_w:.3g} W"
        lines.append(f"{seen.device}: {mark}{energy(seen.energy_j)} {seen.origin}{power}")
    for event in status.events:
        cause = f" ({event.cause})" if event.cause else ""
        lines.append(f"{duration(event.ago_s)} ago: {event.kind}{cause} {event.detail}".rstrip())
    return "\n".join(lines)
