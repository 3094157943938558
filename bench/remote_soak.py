"""An hour of a node on a simulated clock, with random faults: does the server get every joule?

    python bench/remote_soak.py                       an hour in five minutes
    python bench/remote_soak.py --hours 1 --speed 60 --seed 7

One process records two simulated counters through the product's own journal, another sends the
ledger as `frugalwatch send --follow` does, and a strict receiver (of the tests) stands for
Prometheus. All three see a clock that runs `--speed` times as fast. Meanwhile, at random:
a sensor is lost and comes back, a counter is reset (energy that nobody can know), the disk is full
for both processes (RLIMIT_FSIZE), the server refuses, hangs, takes requests without an answer or is
down, and either process is killed by SIGKILL and started again.

At the end it must hold that the receiver's newest totals are the ledger's union to the micro-joule;
that the ledger is the counters' truth, less what was reset away; that every stretch without looks
has an event with a cause; and that memory did not grow.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

_REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_REPOSITORY))

SECOND = 1_000_000_000
_WATTS = (180.123457, 45.000001)
_KEYS = ("rapl:package-0", "rapl:package-1")
_MONO_0 = 1000 * SECOND
_COMMIT_S = 5
_END_OF_FILE = 4096  # nothing can be written behind this: the disk is full


def main() -> int:
    """Run the parts; exit status 1 if a promise was broken."""
    options = _arguments()
    if options.role == "writer":
        return _write(options)
    if options.role == "sender":
        return _send(options)
    with tempfile.TemporaryDirectory(prefix="frugalwatch-soak-") as folder:
        return _Soak(options, Path(folder)).run()


class _Time:
    """Simulated seconds since the beginning, of a clock that all processes share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._zero, self._speed = options.zero, options.speed

    def now_s(self) -> float:
        return float((time.time() - self._zero) * self._speed)

    def utc_ns(self) -> int:
        return round(self._zero * 1e9) + round(self.now_s() * 1e9)

    def wait_until(self, simulated_s: float) -> None:
        time.sleep(max(0.0, (simulated_s - self.now_s()) / self._speed))


# -- the node's recording ------------------------------------------------------------------------


def _truth_uj(device: int, second: int) -> int:
    """The counter's micro-joules at a simulated second."""
    return round(_WATTS[device] * second * 1e6)


def _losses(options: argparse.Namespace) -> list[tuple[int, int, int, bool]]:
    """When a device is lost, from the seed: device, from, to, and whether it comes back reset."""
    chance = random.Random(f"sensors {options.seed}")
    found, second = [], 60
    while second < options.hours * 3600 - 120:
        length = chance.randint(5, 60)
        found.append((chance.randint(0, 1), second, second + length, chance.random() < 0.3))
        second += length + chance.randint(60, 400)
    return found


def _write(options: argparse.Namespace) -> int:
    from collectors.base import Reading
    from frugalwatch.ledger.journal import Journal
    from tests.frugalwatch.ledger.kit import device, run_end, run_start

    clock = _Time(options)
    journal = Journal(options.ledger, notify=lambda *_: None, fallback_dirs=(), lasting=True)
    seen_ns = journal.reopen_run(
        run_start(
            "soak-run",
            machine_key="soak-machine",
            hostname="soak",
            boot_key="soak-boot",
            group_key="soak",
            started_utc_ns=round(options.zero * 1e9),
            started_mono_ns=_MONO_0,
        )
    )
    handles = [journal.add_stream(device(key), _MONO_0) for key in _KEYS]
    last = journal.last_readings()
    second = 0 if seen_ns is None else int(clock.now_s()) + 1
    if seen_ns is not None:
        t = _MONO_0 + second * SECOND
        since = min([one.t_mono_ns for one in last.values()], default=seen_ns)
        journal.event("daemon_restarted", "killed", since_mono_ns=since, t_mono_ns=t)
    losses = _losses(options)
    end = round(options.hours * 3600)
    full = False
    while second <= end:
        clock.wait_until(second)
        full = _follow_the_disk(options.ledger, full)
        t = _MONO_0 + second * SECOND
        for number, key in enumerate(_KEYS):
            lost = [one for one in losses if one[0] == number and one[1] <= second < one[2]]
            if lost:
                continue
            before = last.get(key)
            energy = 0
            if before is not None:
                from_s = (before.t_mono_ns - _MONO_0) // SECOND
                reset = [one for one in losses if one[0] == number and from_s < one[2] <= second]
                _tell_gaps(journal, handles[number], reset, before.t_mono_ns, t)
                known_s = second if any(one[3] for one in reset) else from_s
                energy = before.energy_uj + _truth_uj(number, second) - _truth_uj(number, known_s)
                if known_s == second:  # what the counter had since `before` is unknown
                    energy = before.energy_uj
            elif second:
                energy = 0
            reading = Reading(key, t, energy)
            journal.sample(handles[number], reading)
            last[key] = reading
        journal.heartbeat(t)
        if second % _COMMIT_S == 0:
            journal.commit()
        second += 1  # late or not: a machine that is too busy is no fault of this soak
    while journal.recording.rows_queued():
        _follow_the_disk(options.ledger, full)
        journal.commit()
        time.sleep(0.05)
    journal.finish(run_end(0, ended_mono_ns=_MONO_0 + end * SECOND))
    journal.close()
    return 0


def _tell_gaps(journal: Any, handle: int, ended: Any, since_ns: int, t_ns: int) -> None:
    for _, _, _, was_reset in ended:
        cause = "reset" if was_reset else "vanished"
        values = {"since_mono_ns": since_ns, "handle": handle, "energy_missing": was_reset}
        journal.event("gap", cause, t_mono_ns=t_ns, detail=cause, **values)
        journal.event("gap_end", cause, t_mono_ns=t_ns, detail=cause, **values)


def _follow_the_disk(ledger: str, full: bool) -> bool:
    """Let the disk be full, or not, as the file beside the ledger says."""
    wanted = os.path.exists(f"{ledger}.full")
    if wanted != full:
        limit = _END_OF_FILE if wanted else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    return wanted


def _send(options: argparse.Namespace) -> int:
    from frugalwatch.ledger.connection import open_ledger
    from frugalwatch.remote.backoff import Backoff
    from frugalwatch.remote.follow import Follower

    while True:
        try:
            conn = open_ledger(options.ledger, create=False)
            break
        except Exception:
            time.sleep(0.1)
    follower = Follower(
        _sender(options, conn),
        every_s=15 / options.speed,
        say=lambda words: print(words, file=sys.stderr, flush=True),
        ledger=options.ledger,
        backoff=Backoff(first_s=1 / options.speed, longest_s=300 / options.speed),
    )
    follower.stop_on_signals()

    def disk() -> None:
        full = False
        while True:
            full = _follow_the_disk(options.ledger, full)
            time.sleep(0.02)

    threading.Thread(target=disk, daemon=True).start()
    follower.follow()
    return 0


def _sender(options: argparse.Namespace, conn: sqlite3.Connection) -> Any:
    from frugalwatch.remote.query import Queries
    from frugalwatch.remote.sender import Plan, Sender
    from frugalwatch.remote.transport import Transport, address

    url = options.url
    return Sender(
        conn,
        url,
        Transport(address(url), timeout_s=max(0.5, 30 / options.speed)).post,
        Plan("soak", None),
        queries=Queries(address(url.removesuffix("/api/v1/write")), timeout_s=5),
        clock=_Time(options).utc_ns,
    )


# -- the soak itself -----------------------------------------------------------------------------


class _Soak:
    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        from tests.frugalwatch.remote.receiver import Receiver

        self._make = Receiver
        self._options = options
        self._options.ledger = str(folder / "node.db")
        # The receiver takes the wall clock for its queries: the soak ends now, simulated.
        self._options.zero = time.time()
        self._chance = random.Random(options.seed)
        self._clock = _Time(options)
        self._receiver: Any = Receiver()
        self._options.url = self._receiver.url
        self._said = open(folder / "said", "ab")  # noqa: SIM115 - as long as the soak
        self._log = folder / "said"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._memory: dict[str, list[tuple[float, float]]] = {"writer": [], "sender": []}
        self.counts: dict[str, int] = {}

    def run(self) -> int:
        for role in ("writer", "sender"):
            self._start(role)
        end_s = self._options.hours * 3600
        faults = [self._kill, self._kill, self._disk, self._server_down, self._refuse, self._hang]
        faults += [self._silent, self._too_old]
        while self._clock.now_s() < end_s:
            self._clock.wait_until(self._clock.now_s() + self._chance.uniform(20, 90))
            self._look()
            fault = self._chance.choice(faults)
            name = fault.__name__.strip("_")
            self.counts[name] = self.counts.get(name, 0) + 1
            fault()
        self._calm()
        self._processes["writer"].wait(120)
        self._processes["sender"].terminate()
        self._processes["sender"].wait(60)
        return self._judge()

    def _start(self, role: str) -> None:
        names = ("hours", "speed", "seed", "zero", "ledger", "url")
        words = [f"--{name}={getattr(self._options, name)}" for name in names]
        self._processes[role] = subprocess.Popen(
            [sys.executable, __file__, "--role", role, *words], stderr=self._said, cwd=_REPOSITORY
        )

    def _lasting(self) -> None:
        """A fault lasts from seconds to ten minutes of simulated time."""
        until = self._clock.now_s() + self._chance.choice((5, 20, 60, 200, 600))
        self._clock.wait_until(min(until, self._options.hours * 3600))

    # -- faults ----------------------------------------------------------------------------

    def _kill(self) -> None:
        role = self._chance.choice(("writer", "sender"))
        process = self._processes[role]
        if role == "writer" and process.poll() is not None:
            return
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._clock.wait_until(self._clock.now_s() + self._chance.choice((0, 5, 60)))
        self._start(role)

    def _disk(self) -> None:
        full = Path(f"{self._options.ledger}.full")
        full.touch()
        self._lasting()
        full.unlink()

    def _server_down(self) -> None:
        port, held, least = self._receiver.port, self._receiver.series, self._receiver.least_ms
        self._faults(self._receiver)
        self._receiver.close()
        self._lasting()
        self._receiver = self._make(port=port)
        self._receiver.series, self._receiver.least_ms = held, least

    def _refuse(self) -> None:
        answers = [(503, {"Retry-After": "0"}, b"busy"), (500, {}, b"error"), (429, {}, b"slow")]
        self._receiver.refuse = [self._chance.choice(answers) for _ in range(50)]
        self._lasting()
        self._receiver.refuse = []

    def _hang(self) -> None:
        self._receiver.hold = threading.Event()
        self._lasting()
        self._receiver.hold.set()
        self._receiver.hold = None

    def _silent(self) -> None:
        self._receiver.drop_answers = 3

    def _too_old(self) -> None:
        self._receiver.least_ms = self._clock.utc_ns() // 1_000_000 - 30_000

    def _calm(self) -> None:
        self._receiver.refuse, self._receiver.drop_answers = [], 0

    # -- what came of it -------------------------------------------------------------------

    def _look(self) -> None:
        for role, process in self._processes.items():
            with contextlib.suppress(OSError, IndexError, ValueError):
                text = Path(f"/proc/{process.pid}/status").read_text()
                kib = int(text.partition("VmRSS:")[2].split()[0])
                started = int(Path(f"/proc/{process.pid}/stat").read_text().split()[21])
                self._memory[role].append((self._clock.now_s() + started * 1e-9, kib / 1024))

    def _faults(self, receiver: Any) -> None:
        self.counts["protocol_faults"] = self.counts.get("protocol_faults", 0) + len(
            receiver.faults
        )

    def _judge(self) -> int:
        from frugalwatch.ledger.connection import open_ledger
        from frugalwatch.ledger.union import energy_between

        self._options.speed = 1.0
        conn = open_ledger(self._options.ledger, create=False)
        end_s = self._options.hours * 3600
        sender = _sender(self._options, conn)
        sender._clock = lambda: round((self._options.zero + end_s + 60) * 1e9)
        while sender.send(everything=True).more:
            pass
        boot = conn.execute("SELECT id FROM boot").fetchone()[0]
        ledger_uj = {e.device: e.energy_uj for e in energy_between(conn, boot, 0, 1 << 62)}
        found = self._receiver.find("frugalwatch_energy_joules_total")
        central_uj = {
            labels["device"]: round(max(v for _, v in samples) * 1e6) for labels, samples in found
        }
        ordered = all(
            s == sorted(s) and [v for _, v in s] == sorted(v for _, v in s) for _, s in found
        )
        truth, missing = _truth(conn, round(end_s))
        unexplained = _unexplained(conn)
        self._faults(self._receiver)
        growth = {role: _growth(seen) for role, seen in self._memory.items()}
        largest = {
            role: max((mib for _, mib in s), default=0.0) for role, s in self._memory.items()
        }
        losses = conn.execute(
            "SELECT count(*), coalesce(sum(points), 0) FROM remote_loss"
        ).fetchone()
        integrity = conn.execute("PRAGMA integrity_check").fetchone()[0]
        traces = self._log.read_text(errors="replace").count("Traceback")
        held = {
            "central sum is the ledger's, to the micro-joule": central_uj == ledger_uj,
            "the ledger is the truth, less what was reset": all(
                abs(ledger_uj[k] - truth[k]) <= 2 for k in truth
            ),
            "no gap without a cause": unexplained == 0,
            "values in order, counters never fall": ordered,
            "protocol kept": self.counts.get("protocol_faults", 0) == 0,
            "database whole": integrity == "ok",
            "no traceback": traces == 0,
            "memory flat (under 4 MiB more at the end)": all(g < 4 for g in growth.values()),
        }
        figures = {
            "faults": {k: v for k, v in self.counts.items() if k != "protocol_faults"},
            "ledger_j": {k: v / 1e6 for k, v in ledger_uj.items()},
            "central_j": {k: v / 1e6 for k, v in central_uj.items()},
            "unknowable_j": missing,
            "values_on_the_server": sum(len(s) for _, s in found),
            "losses_of_detail_told": losses[0],
            "values_refused_for_good": losses[1],
            "largest_rss_mib": largest,
            "growth_mib": growth,
            "promises": held,
        }
        print(json.dumps(figures, indent=2))
        return 0 if all(held.values()) else 1


def _truth(conn: sqlite3.Connection, end: int) -> tuple[dict[str, int], dict[str, float]]:
    """What each counter counted in all, less what a reset made unknowable."""
    truth, missing = {}, {}
    for number, key in enumerate(_KEYS):
        first, last = conn.execute(
            "SELECT min(x.t_mono_ns), max(x.t_mono_ns) FROM sample x JOIN stream s"
            " ON s.id = x.stream_id JOIN device d ON d.id = s.device_id WHERE d.key = ?",
            (key,),
        ).fetchone()
        gone = conn.execute(
            "SELECT DISTINCT since_mono_ns, e.t_mono_ns FROM event e JOIN stream s"
            " ON s.id = e.stream_id JOIN device d ON d.id = s.device_id"
            " WHERE d.key = ? AND energy_missing AND e.kind = 'gap'",
            (key,),
        ).fetchall()
        lost = sum(_counted(number, since, until) for since, until in gone)
        truth[key] = _counted(number, first, last) - lost
        missing[key] = lost / 1e6
    assert end > 0
    return truth, missing


def _counted(number: int, since_ns: int, until_ns: int) -> int:
    since, until = ((t - _MONO_0) // SECOND for t in (since_ns, until_ns))
    return _truth_uj(number, until) - _truth_uj(number, since)


def _unexplained(conn: sqlite3.Connection) -> int:
    """Stretches of over two seconds without a look that no event explains."""
    events = conn.execute("SELECT since_mono_ns, t_mono_ns FROM event WHERE since_mono_ns > 0")
    known = events.fetchall()
    thinned = conn.execute("SELECT count(*) FROM event WHERE kind = 'samples_thinned'").fetchone()
    count = 0
    for (stream,) in conn.execute("SELECT id FROM stream").fetchall():
        times = [
            row[0]
            for row in conn.execute(
                "SELECT t_mono_ns FROM sample WHERE stream_id = ? ORDER BY 1", (stream,)
            )
        ]
        for before, after in itertools.pairwise(times):
            if after - before > 3 * SECOND and not thinned[0]:
                count += not any(s <= before + SECOND and t >= after - SECOND for s, t in known)
    return count


def _growth(seen: list[tuple[float, float]]) -> float:
    """The largest of the second half over the largest of the first, in MiB.

    Processes are killed and begin small again, so means would tell of kills and not of growth.
    """
    half = len(seen) // 2
    if half < 2:
        return 0.0
    return max(mib for _, mib in seen[half:]) - max(mib for _, mib in seen[:half])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--speed", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--role", choices=("writer", "sender"))
    parser.add_argument("--zero", type=float, default=0.0)
    parser.add_argument("--ledger", default="")
    parser.add_argument("--url", default="")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
