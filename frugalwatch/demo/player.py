"""Writes recorded runs into a ledger, by the classes with which the sampler writes real ones."""

from __future__ import annotations

from dataclasses import dataclass

from collectors.base import Condition, Gap, GapCause, Observation, Reading
from frugalwatch.carbon.grid import resolve_or_world
from frugalwatch.config.settings import Settings
from frugalwatch.demo.recording import MODEL_BAND, RecordedRun, Recording
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.records import RunEnd, RunStart
from frugalwatch.report.settle import settle_run
from frugalwatch.sampler.recorder import Recorder

# The demo has a place and a price of its own: it says nothing of the user's.
SETTINGS = Settings(zone="DE", price_per_kwh=0.34)
HOST = "demo"
_S = 1_000_000_000
_HOUR_NS = 3600 * _S
_WEEK_NS = 8 * 24 * _HOUR_NS
_PID = 4711
_THREADS = 16
_BUSY_THREADS = 5.2  # what the job keeps busy, and the machine with it
_NOBODY = frozenset[int]()


@dataclass(frozen=True, slots=True)
class Stage:
    """Where and when the demo plays: a ledger, and the moment that is now."""

    ledger: str
    recording: Recording
    now_utc_ns: int

    def mono_ns(self, utc_ns: int) -> int:
        """The monotonic clock of the machine of the demo: it was switched on eight days ago."""
        return utc_ns - self.now_utc_ns + _WEEK_NS


class RunWriter:
    """One recorded run on its way into the ledger."""

    def __init__(self, stage: Stage, run: RecordedRun, started_utc_ns: int, name: str) -> None:
        self._run = run
        self._begin_ns = stage.mono_ns(started_utc_ns)
        self._run_key = f"demo-{name}"
        self._journal = Journal(stage.ledger, notify=_nobody_is_told, fallback_dirs=())
        self._recorder = Recorder(self._journal)
        self._ticks = 0
        self._energy_uj = dict.fromkeys(run.power_w, 0)
        self._seen_ns = dict.fromkeys(run.power_w, self._begin_ns)
        self._told = 0  # boundaries of phases
        self._open: list[int] = []
        self._journal.open_run(_start(stage, run, started_utc_ns, self._run_key))
        self._devices = stage.recording.devices
        self._recorder.add_devices(self._devices.values(), self._begin_ns)
        self._recorder.record(
            [Reading(d.key, self._begin_ns, 0, 0, 0) for d in self._devices.values()], _NOBODY
        )
        self._journal.usage(self._begin_ns, 0, 0)
        self._say_goal()
        self._commit(self._begin_ns)

    def is_over(self) -> bool:
        """Whether everything that was recorded has been played."""
        return self._ticks * self._run.interval_s >= self._run.lasts_s

    def play(self, until_s: float) -> None:
        """Write everything up to this second of the run, in one transaction."""
        run = self._run
        last = min(until_s, run.lasts_s) // run.interval_s
        while self._ticks < last:
            place = self._ticks
            self._ticks += 1
            second = self._ticks * run.interval_s
            t_ns = self._begin_ns + second * _S
            self._recorder.record(self._observations(place, t_ns), _NOBODY)
            self._recorder.record(self._conditions(second - run.interval_s, t_ns), _NOBODY)
            cpu_us = round(second * 1e6 * _BUSY_THREADS)
            self._journal.usage(t_ns, round(cpu_us * 0.93), cpu_us)
            self._say_phases(second)
            self._journal.step(_PID, t_ns, run.steps_at(second))
        self._commit(self._begin_ns + self._ticks * run.interval_s * _S)

    def end(self) -> None:
        """Write its end, and the totals."""
        run = self._run
        end_ns = self._begin_ns + run.lasts_s * _S
        self._recorder.close(end_ns)
        cpu_us = round(run.lasts_s * 1e6 * _BUSY_THREADS)
        connection = self._journal.finish(
            RunEnd(
                state="killed" if run.exit_signal else "done",
                ended_mono_ns=end_ns,
                exit_code=run.exit_code,
                exit_signal=run.exit_signal or None,
                job_cpu_us=round(cpu_us * 0.93),
                job_cpu_method="tree",
                machine_busy_us=cpu_us,
            )
        )
        factor, _ = resolve_or_world(SETTINGS)
        _, totals = settle_run(connection, self._run_key, factor, SETTINGS)
        self._journal.store_totals(totals)
        self._journal.close()

    def _observations(self, place: int, t_ns: int) -> list[Observation]:
        found: list[Observation] = []
        for name, powers in self._run.power_w.items():
            key, power_w = self._devices[name].key, powers[place]
            if power_w is None:
                cause: GapCause = "lost" if self._run.lost.get(name) == "lost" else "invalid"
                found.append(Gap(key, t_ns, self._seen_ns[name], cause, "as recorded"))
                continue
            self._seen_ns[name] = t_ns
            energy_uj = self._energy_uj[name] + round(power_w * self._run.interval_s * 1e6)
            self._energy_uj[name] = energy_uj
            low = high = None
            if self._devices[name].origin == "estimated":
                low, high = (round(energy_uj * factor) for factor in MODEL_BAND)
            found.append(Reading(key, t_ns, energy_uj, low, high, power_w))
        return found

    def _conditions(self, after_s: float, t_ns: int) -> list[Condition]:
        second = (t_ns - self._begin_ns) // _S
        return [
            Condition(
                self._devices[name].key,
                t_ns,
                temperature_c=celsius,
                clock_hz=self._run.clock_hz.get(name),
            )
            for name, rows in self._run.temperature_c.items()
            for at_s, celsius in rows
            if after_s < at_s <= second
        ]

    def _say_goal(self) -> None:
        if self._run.epochs > 1:
            self._journal.goal(_PID, self._begin_ns, "epoch", self._run.epochs)

    def _say_phases(self, second: int) -> None:
        """Epochs with an evaluation at the end of each, as far as they have begun or ended."""
        run = self._run
        if run.epochs <= 1:
            return
        for place in range(self._told, 4 * run.epochs):
            epoch, what = divmod(place, 4)
            begin_s = epoch * run.epoch_s
            at_s = (begin_s, begin_s + run.epoch_s - run.evaluation_s, begin_s + run.epoch_s)
            if at_s[min(what, 2)] > second:
                return
            t_ns = self._begin_ns + at_s[min(what, 2)] * _S
            self._told += 1
            if what == 0:
                self._open.append(self._journal.phase_began(_PID, "epoch", t_ns, number=epoch + 1))
            elif what == 1:
                self._open.append(self._journal.phase_began(_PID, "evaluate", t_ns, depth=1))
            else:
                self._journal.phase_ended(self._open.pop(), t_ns)
            if what == 3:
                accuracy = 0.94 - 0.35 / (epoch + 1.6)
                self._journal.metric(_PID, t_ns, "accuracy", round(accuracy, 4))

    def _commit(self, t_ns: int) -> None:
        self._journal.heartbeat(t_ns)
        self._journal.commit()


def play_history(stage: Stage) -> None:
    """Write every run of the past week."""
    for number, run in enumerate(stage.recording.history, start=1):
        started = stage.now_utc_ns - round((run.hours_ago or 0) * _HOUR_NS)
        writer = RunWriter(stage, run, started, f"{number:03d}")
        writer.play(run.lasts_s)
        writer.end()


def _start(stage: Stage, run: RecordedRun, started_utc_ns: int, run_key: str) -> RunStart:
    return RunStart(
        run_key=run_key,
        machine_key="demo",
        hostname=HOST,
        boot_key="demo",
        command=run.command,
        command_hash=f"demo {' '.join(run.command)}",
        cwd="/demo",
        interval_ns=run.interval_s * _S,
        started_utc_ns=started_utc_ns,
        started_mono_ns=stage.mono_ns(started_utc_ns),
        cpu_model="scripted",
        cpu_threads=_THREADS,
        price_per_kwh=SETTINGS.price_per_kwh,
        currency=SETTINGS.currency,
    )


def _nobody_is_told(kind: str, message: str) -> None:
    del kind, message  # the ledger is ours alone, and is thrown away
