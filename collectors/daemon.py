"""Energy counters that this process may not read, as a daemon on this machine tells them.

The daemon measured them: the origin stays what it was, and so does the device's name, so that a run
which read the counter itself and one which asked are never added up. What changes is the bounds:
the figures come once a second, in whole joules (collectors/daemon_wire.py says why).

Nothing here waits for the daemon but `probe()`, and that a quarter of a second at most.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, cast, get_args

from collectors.base import (
    Boundary,
    Device,
    Domain,
    Gap,
    GapCause,
    Observation,
    Origin,
    Probe,
    Reading,
)
from collectors.daemon_wire import (
    LONGEST_ANSWER,
    PERIOD_NS,
    FrameError,
    Message,
    decode,
    encode,
    take_frame,
)
from collectors.host import Host

_PATIENCE_S = 0.25
_SILENT_NS = 3 * PERIOD_NS
_FIRST_PAUSE_NS = 1_000_000_000
_LONGEST_PAUSE_NS = 30_000_000_000
_CHUNK = 16_384
_MOST_UJ = 1 << 62
_NOTE = "read by the daemon, once a second to the joule"
_SERVED = ("measured", "derived")


class _Told(NamedTuple):
    """What the daemon said last of one device: instant, and joules since it began to count."""

    t_mono_ns: int
    energy_uj: int
    low_uj: int
    high_uj: int


class _Series:
    """One device: what was `told` last, what was `shown` of it, and what is added to it here.

    The figure here starts within a joule of 0 and goes on when the daemon begins to count anew.
    """

    __slots__ = ("shift_uj", "shown", "told")

    def __init__(self, told: _Told) -> None:
        self.told = told
        self.shown: _Told | None = None
        self.shift_uj = -told.low_uj


class DaemonCollector:
    """Devices that the daemon behind `paths` serves, without those in `known`.

    The first of the sockets that answers is used from then on, also when it must be opened again.
    """

    isolate = False

    def __init__(
        self,
        host: Host,
        paths: Sequence[str],
        known: Collection[str] = (),
        connect: Callable[[str], socket.socket] | None = None,
    ) -> None:
        self.name = "daemon"
        self._host = host
        self._paths = tuple(paths)
        self._known = frozenset(known)
        self._connect = connect or _connect
        self._connection: socket.socket | None = None
        self._buffer = bytearray()
        self.path = ""
        self._devices: dict[str, Device] = {}
        self._series: dict[str, _Series] = {}
        self._lost: tuple[GapCause, str] = ("timeout", "the daemon says nothing")
        self._pause_ns = _FIRST_PAUSE_NS
        self._again_ns = 0

    # -- the contract ------------------------------------------------------------------------------

    def probe(self) -> Probe:
        """Ask the daemon for its devices. Waits a quarter of a second for it at most."""
        reason = "no daemon runs here"
        for path in self._paths:
            if not os.path.exists(path):
                continue
            try:
                self._open(path)
                self._take_devices(self._wait_for_devices())
            except PermissionError:
                reason = f"{path} is for members of its group only"
            except OSError as error:
                reason = f"{path}: {error.strerror or error}"
            except FrameError as error:
                reason = f"{path}: {error}"
            else:
                if self._devices:
                    return Probe(self.name, tuple(self._devices.values()))
                reason = "the daemon has nothing that cannot be read without it"
            self.close()
        return Probe(self.name, reason=reason, remedy="frugalwatch doctor says how it is set up")

    def read(self) -> Sequence[Observation]:
        """What has come since the last look, without waiting for more."""
        now_ns = self._host.clock_ns()
        self._hear(now_ns)
        found: list[Observation] = []
        for key, series in self._series.items():
            shown = series.shown
            if shown is None or series.told.t_mono_ns > shown.t_mono_ns:
                found += _step(key, series)
            elif now_ns - shown.t_mono_ns > _SILENT_NS:
                cause, detail = self._lost
                found.append(Gap(key, now_ns, shown.t_mono_ns, cause, detail, recoverable=True))
        return found

    def close(self) -> None:
        """Hang up. Safe to call twice."""
        connection, self._connection = self._connection, None
        self._buffer.clear()
        if connection is not None:
            connection.close()

    def state(self) -> dict[str, tuple[int, ...]]:
        """What a successor in another process must know to go on with the figures."""
        return {
            key: (*series.shown, series.shift_uj)
            for key, series in self._series.items()
            if series.shown is not None
        }

    def resume(self, state: dict[str, tuple[int, ...]]) -> None:
        """Go on from a predecessor's `state()`."""
        for key, series in self._series.items():
            if len(known := state.get(key, ())) == len(_Told._fields) + 1:
                *shown, series.shift_uj = known
                series.shown = _Told(*shown)

    def energy_j(self) -> dict[str, int]:
        """Joules by device since the daemon began to count, as told last."""
        return {key: series.told.energy_uj // 1_000_000 for key, series in self._series.items()}

    # -- the connection ----------------------------------------------------------------------------

    def _open(self, path: str) -> None:
        self.close()
        self._connection = self._connect(path)
        self.path = path
        self._connection.setblocking(False)
        self._connection.send(encode({"want": "watch"}))

    def _hear(self, now_ns: int) -> None:
        """Take what lies in the socket; open it again where it was lost."""
        try:
            if self._connection is None:
                if now_ns < self._again_ns:
                    return
                self._again_ns = now_ns + self._pause_ns
                self._pause_ns = min(_LONGEST_PAUSE_NS, 2 * self._pause_ns)
                self._open(self.path)
            self._receive()
            while (body := take_frame(self._buffer, LONGEST_ANSWER)) is not None:
                self._take(decode(body))
                self._pause_ns = _FIRST_PAUSE_NS
        except OSError as error:
            self._lose("vanished", f"the daemon is gone: {error.strerror or error}", now_ns)
        except FrameError as error:
            self._lose("invalid", f"the daemon is not understood: {error}", now_ns)

    def _receive(self) -> None:
        assert self._connection is not None
        while True:
            try:
                data = self._connection.recv(_CHUNK)
            except (BlockingIOError, InterruptedError):
                return
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "it hung up")
            self._buffer += data
            if len(self._buffer) > 4 * LONGEST_ANSWER:
                return  # the rest can wait for the next look

    def _lose(self, cause: GapCause, detail: str, now_ns: int) -> None:
        self.close()
        self._lost = (cause, detail)
        self._again_ns = max(self._again_ns, now_ns + _FIRST_PAUSE_NS)

    def _wait_for_devices(self) -> Message:
        assert self._connection is not None
        deadline_ns = self._host.clock_ns() + int(_PATIENCE_S * 1e9)
        while True:
            body = take_frame(self._buffer, LONGEST_ANSWER)
            if body is not None:
                return decode(body)
            left_ms = (deadline_ns - self._host.clock_ns()) / 1e6
            poller = select.poll()
            poller.register(self._connection, select.POLLIN)
            if left_ms <= 0 or not poller.poll(left_ms):
                raise TimeoutError(errno.ETIMEDOUT, "the daemon does not answer")
            self._receive()

    # -- what it says ------------------------------------------------------------------------------

    def _take_devices(self, message: Message) -> None:
        if message.get("is") == "error":
            raise FrameError(f"it says: {message.get('message')!s:.200}")
        devices = message.get("devices")
        if not isinstance(devices, dict):
            raise FrameError("no devices in its answer")
        for key, facts in devices.items():
            device = _device(key, facts)
            if key not in self._known and not key.startswith("nvidia:"):
                self._devices[key] = device
        self._take(message)
        self._devices = {key: self._devices[key] for key in self._series}

    def _take(self, message: Message) -> None:
        energy = message.get("energy_j")
        if not isinstance(energy, dict):
            return
        for key, figures in energy.items():
            if key not in self._devices:
                continue
            told = _told(figures)
            series = self._series.get(key)
            if series is None:
                self._series[key] = _Series(told)
            elif told.t_mono_ns > series.told.t_mono_ns:
                series.told = told


def _step(key: str, series: _Series) -> list[Observation]:
    """The reading of what was told since the last one, after a gap if the daemon counts anew."""
    told, before = series.told, series.shown
    found: list[Observation] = []
    if before is not None and told.energy_uj < before.energy_uj:
        series.shift_uj += before.energy_uj - told.energy_uj
        detail = "the daemon began to count anew"
        found.append(Gap(key, told.t_mono_ns, before.t_mono_ns, "reset", detail))
    series.shown = told
    figures = (figure_uj + series.shift_uj for figure_uj in told[1:])
    found.append(Reading(key, told.t_mono_ns, *figures))
    return found


def _connect(path: str) -> socket.socket:
    """A connection to a daemon that this user may believe. Raises OSError; never waits.

    That is root's or one's own, or any below /run, where only root lets somebody listen; what lies
    in a folder such as /tmp may be anybody's.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.connect(path)
        if not path.startswith("/run/") and _peer_uid(connection) not in (0, os.getuid()):
            raise OSError(errno.EACCES, "another user listens there")
    except BaseException:
        connection.close()
        raise
    return connection


def _device(key: object, facts: object) -> Device:
    """A device as it was told. Raises FrameError for what is none."""
    if not isinstance(key, str) or not isinstance(facts, dict):
        raise FrameError("a device without facts")
    domain, origin, boundary = (facts.get(name) for name in ("domain", "origin", "boundary"))
    encloses = facts.get("encloses")
    known = domain in get_args(Domain) and boundary in get_args(Boundary) and origin in _SERVED
    if not known or not isinstance(encloses, list) or not set(encloses) <= set(get_args(Domain)):
        raise FrameError(f"{key}: facts of another kind")
    note = _text(facts, "note")
    return Device(
        key=key,
        domain=cast(Domain, domain),
        name=_text(facts, "name"),
        origin=cast(Origin, origin),
        boundary=cast(Boundary, boundary),
        source=_text(facts, "source"),
        encloses=tuple(encloses),
        tick_s=PERIOD_NS / 1e9,
        power_limit_w=_number(facts, "power_limit_w"),
        gain_low=_number(facts, "gain_low") or 1.0,
        gain_high=_number(facts, "gain_high") or 1.0,
        idle_w=_number(facts, "idle_w"),
        idle_low_w=_number(facts, "idle_low_w"),
        idle_high_w=_number(facts, "idle_high_w"),
        idle_origin=_text(facts, "idle_origin"),
        note=f"{note}; {_NOTE}" if note else _NOTE,
    )


def _told(figures: object) -> _Told:
    """Instant and joules. Raises FrameError unless these are four plausible integers."""
    if not isinstance(figures, list) or len(figures) != 4:
        raise FrameError("no figures")
    for value in figures:
        if not isinstance(value, int) or isinstance(value, bool):
            raise FrameError("a figure that is no whole number")
    t_mono_ns, energy_j, low_j, high_j = figures
    most_j = _MOST_UJ // 1_000_000
    if not 0 <= t_mono_ns < _MOST_UJ or not low_j <= energy_j <= high_j:
        raise FrameError("figures that contradict each other")
    if max(abs(low_j), abs(high_j)) > most_j:
        raise FrameError("figures beyond all measure")
    return _Told(t_mono_ns, energy_j * 1_000_000, low_j * 1_000_000, high_j * 1_000_000)


def _text(facts: dict[str, object], name: str) -> str:
    value = facts.get(name)
    return value[:200] if isinstance(value, str) else ""


def _number(facts: dict[str, object], name: str) -> float | None:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _peer_uid(connection: socket.socket) -> int:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", data)[1])
