"""A collector in its own process: hung, killed or given up, it blocks nobody and loses nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors.base import (
    Collector,
    Condition,
    Device,
    Gap,
    Observation,
    Probe,
    ProcessUtilization,
    Reading,
)
from collectors.isolated import IsolatedCollector

KEY = "test:0"


class Clockwork:
    """A device whose energy is one micro-joule a nanosecond since its first look."""

    name = "clockwork"
    isolate = True

    def __init__(self) -> None:
        self.zero_ns = 0

    def probe(self) -> Probe:
        self.zero_ns = time.monotonic_ns()
        device = Device(KEY, "gpu", "Clockwork", "measured", "board", "test", encloses=("ram",))
        return Probe(self.name, (device,), "a reason", "a remedy", verified=False)

    def read(self) -> Sequence[Observation]:
        now_ns = time.monotonic_ns()
        return [Reading(KEY, now_ns, (now_ns - self.zero_ns) // 1000, power_w=1.0)]

    def close(self) -> None:
        pass


class Counter(Clockwork):
    """The same with a counter that outlives its reader: the monotonic clock itself."""

    def state(self) -> object:
        return self.zero_ns

    def resume(self, state: object) -> None:
        assert isinstance(state, int)
        self.old_zero_ns = state

    def probe(self) -> Probe:
        found = super().probe()
        self.zero_ns = getattr(self, "old_zero_ns", self.zero_ns)
        return found


class Hanging(Clockwork):
    """A read that begins while `flag` exists comes back once that is gone."""

    def __init__(self, flag: Path) -> None:
        super().__init__()
        self.flag = flag

    def read(self) -> Sequence[Observation]:
        while self.flag.exists():
            time.sleep(0.02)
        return super().read()


@contextmanager
def isolated(factory: Callable[[], Collector], **options: float) -> Iterator[IsolatedCollector]:
    worker = IsolatedCollector(factory, "test", **options)  # type: ignore[arg-type]
    worker.start()
    try:
        yield worker
    finally:
        worker.close(1.0)


def drain(worker: IsolatedCollector) -> list[Observation]:
    found: list[Observation] = []
    while (message := worker.receive()) is not None:
        if not isinstance(message, Probe):
            found += message
    return found


def wait_for(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.005)


def gone(pid: int) -> bool:
    """True if the process has ended, be it as a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rsplit(")", 1)[1].split()[0] == "Z"


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_probe_and_first_reading_come_without_being_asked() -> None:
    with isolated(Clockwork) as worker:
        wait_for(lambda: worker.receive() is not None)
        wait_for(lambda: not worker.outstanding or drain(worker))
        assert worker.probe is not None
        device = worker.probe.devices[0]
        assert (device.key, device.encloses, worker.probe.verified) == (KEY, ("ram",), False)
        assert (worker.probe.reason, worker.probe.remedy) == ("a reason", "a remedy")


def test_every_kind_of_observation_crosses_the_pipe_unchanged() -> None:
    sent: list[Observation] = [
        Reading("a", 1, 2, 3, 4, 5.5),
        Condition("a", 1, 45.5, 1.41e9, None, 0.5),
        Reading("b", 1, 2),
        Gap("c", 9, 8, "lost", "it fell", recoverable=True),
        ProcessUtilization("d", 2, 1, {4711: 0.25, 4712: 0.5}),
    ]

    class Several(Clockwork):
        def read(self) -> Sequence[Observation]:
            return sent

    with isolated(Several) as worker:
        assert worker.read_blocking(5.0) == sent


def test_an_answer_larger_than_the_pipe_arrives_whole() -> None:
    class Large(Clockwork):
        def read(self) -> Sequence[Observation]:
            return [Gap(f"device-{n}", n, n, "invalid", "x" * 100) for n in range(3000)]

    with isolated(Large) as worker:
        answer = worker.read_blocking(5.0)
        assert len(answer) == 3000
        assert answer[2999].device == "device-2999"


def test_one_request_at_a_time() -> None:
    with isolated(Clockwork) as worker:
        worker.read_blocking(5.0)
        assert worker.request()
        assert not worker.request()
        wait_for(lambda: drain(worker))
        assert worker.request()


def test_a_hang_is_announced_once_and_its_late_answer_counts(tmp_path: Path) -> None:
    flag = tmp_path / "hang"
    with isolated(lambda: Hanging(flag), deadline_s=0.1) as worker:
        worker.read_blocking(5.0)
        first = worker.read_blocking(5.0)[0]
        assert isinstance(first, Reading)
        flag.touch()
        worker.request()
        time.sleep(0.15)
        before_s = time.monotonic()
        now_ns = time.monotonic_ns()
        assert worker.overdue(now_ns)
        gaps = worker.tend(now_ns)
        assert [(g.cause, g.recoverable, g.since_mono_ns) for g in gaps] == [
            ("timeout", True, first.t_mono_ns)
        ]
        assert worker.tend(time.monotonic_ns()) == []
        assert not worker.request()
        assert worker.receive() is None
        assert time.monotonic() - before_s < 0.1  # nothing of this waited
        flag.unlink()
        late: list[Observation] = []
        wait_for(lambda: late or late.extend(drain(worker)))
        assert isinstance(late[0], Reading)
        # As much energy as time passed, by the reading's own stamp.
        grown_uj = late[0].energy_uj - first.energy_uj
        assert grown_uj == pytest.approx((late[0].t_mono_ns - first.t_mono_ns) / 1e3, rel=0.01)
        assert not worker.overdue(time.monotonic_ns())


def test_an_answer_that_waits_in_the_pipe_is_not_late() -> None:
    with isolated(Clockwork, deadline_s=0.05, replace_after_s=0.1) as worker:
        worker.read_blocking(5.0)
        pid = worker.pid
        worker.request()
        time.sleep(0.3)  # the loop was busy elsewhere
        assert worker.tend(time.monotonic_ns()) == []
        assert worker.pid == pid
        assert len(drain(worker)) == 1


def test_a_stuck_reader_is_replaced_once(tmp_path: Path) -> None:
    flag = tmp_path / "hang"
    limits = {"deadline_s": 0.05, "replace_after_s": 0.2, "start_allowance_s": 0.2}
    with isolated(lambda: Hanging(flag), **limits) as worker:
        worker.read_blocking(5.0)
        first_pid = worker.pid
        assert first_pid is not None
        flag.touch()
        worker.request()
        wait_for(lambda: worker.tend(time.monotonic_ns()) is None or worker.pid != first_pid)
        second_pid = worker.pid
        time.sleep(0.4)  # the replacement hangs as well, long enough for another one
        worker.tend(time.monotonic_ns())
        assert worker.pid == second_pid
        assert {str(first_pid), str(second_pid)} <= set(children())
        flag.unlink()
        wait_for(lambda: drain(worker))
        wait_for(lambda: gone(first_pid))  # it found its pipe closed and left by itself
        worker.tend(time.monotonic_ns())
        assert str(first_pid) not in children()
        assert worker.pid == second_pid


@pytest.mark.parametrize("flagged", [True, False])
def test_close_never_waits_for_a_hung_reader(tmp_path: Path, flagged: bool) -> None:
    flag = tmp_path / "hang"
    worker = IsolatedCollector(lambda: Hanging(flag), "test")
    worker.start()
    worker.read_blocking(5.0)
    pid = worker.pid
    assert pid is not None
    if flagged:
        flag.touch()
        worker.request()
        time.sleep(0.05)
    before_s = time.monotonic()
    worker.close(0.3)
    took_s = time.monotonic() - before_s
    assert (0.25 < took_s < 0.6) if flagged else took_s < 0.25
    assert gone(pid) is not flagged  # not killed: it leaves once the driver lets it go
    if flagged:
        flag.unlink()
        wait_for(lambda: gone(pid))
    worker.close(0.1)
    assert str(pid) not in children()


def test_a_killed_reader_is_restarted_and_a_counter_loses_nothing() -> None:
    with isolated(Counter) as worker:
        first = worker.read_blocking(5.0)[0]
        assert isinstance(first, Reading)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        announced: list[Observation] = []
        wait_for(lambda: announced or announced.extend(drain(worker)))
        assert [(type(one), one.device) for one in announced] == [(Gap, KEY)]
        assert isinstance(announced[0], Gap)
        assert announced[0].recoverable
        found: list[Observation] = []
        wait_for(lambda: worker.tend(time.monotonic_ns()) or found or found.extend(drain(worker)))
        assert [type(one) for one in found] == [Reading]
        after = found[0]
        assert isinstance(after, Reading)
        grown_uj = after.energy_uj - first.energy_uj
        assert grown_uj == pytest.approx((after.t_mono_ns - first.t_mono_ns) / 1e3, rel=1e-3)


def test_a_collector_without_state_goes_on_from_where_it_stood_and_says_what_is_missing() -> None:
    with isolated(Clockwork) as worker:
        time.sleep(0.1)
        worker.read_blocking(5.0)
        before = worker.read_blocking(5.0)[0]
        assert isinstance(before, Reading)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        found: list[Observation] = []
        wait_for(
            lambda: (
                found.extend(drain(worker)) or worker.tend(time.monotonic_ns()) or len(found) > 2
            )
        )
        gap, reading = found[1:3]
        assert isinstance(gap, Gap)
        assert isinstance(reading, Reading)
        assert (gap.since_mono_ns, gap.recoverable) == (before.t_mono_ns, False)
        assert 0 <= reading.energy_uj - before.energy_uj < 100_000
        later = worker.read_blocking(5.0)[0]
        assert isinstance(later, Reading)
        assert later.energy_uj > reading.energy_uj


def test_a_reader_that_dies_again_and_again_is_restarted_more_and_more_rarely() -> None:
    clock = [0]

    def broken() -> Collector:
        raise RuntimeError("no such thing")

    worker = IsolatedCollector(broken, "test", clock_ns=lambda: clock[0])
    worker.start()
    starts = []
    for second in range(40):
        clock[0] = second * 1_000_000_000
        worker.tend(clock[0])
        if worker.pid is not None:
            starts.append(second)
            wait_for(lambda: worker.receive() or worker.pid is None)
    worker.close(0.5)
    assert starts == [0, 1, 3, 7, 15, 31]
    assert "RuntimeError: no such thing" in worker.last_error


def test_probe_blocking_says_why_a_reader_failed() -> None:
    def broken() -> Collector:
        raise RuntimeError("no such thing")

    with isolated(broken) as worker:
        probe = worker.probe_blocking(5.0)
        assert not probe.ok
        assert "no such thing" in probe.reason


def test_read_blocking_gives_up_at_its_timeout(tmp_path: Path) -> None:
    flag = tmp_path / "hang"
    with isolated(lambda: Hanging(flag)) as worker:
        worker.read_blocking(5.0)
        flag.touch()
        before_s = time.monotonic()
        answer = worker.read_blocking(0.2)
        assert time.monotonic() - before_s < 0.5
        assert [one.cause for one in answer if isinstance(one, Gap)] == ["timeout"]
        flag.unlink()


def test_the_reader_ends_when_its_parent_is_killed() -> None:
    read_fd, write_fd = os.pipe()
    middle = os.fork()
    if middle == 0:
        worker = IsolatedCollector(Clockwork, "test")
        worker.start()
        worker.read_blocking(5.0)
        os.write(write_fd, str(worker.pid).encode())
        time.sleep(60)
        os._exit(1)
    pid = int(os.read(read_fd, 32))
    assert not gone(pid)
    os.kill(middle, signal.SIGKILL)
    os.waitpid(middle, 0)
    wait_for(lambda: gone(pid))
    os.close(read_fd)
    os.close(write_fd)


def test_signals_to_the_whole_group_do_not_end_the_reader() -> None:
    with isolated(Clockwork) as worker:
        worker.read_blocking(5.0)
        assert worker.pid is not None
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGHUP,
            signal.SIGUSR1,
            signal.SIGTSTP,
        ):
            os.kill(worker.pid, number)
        assert isinstance(worker.read_blocking(5.0)[0], Reading)


def test_the_reader_keeps_no_file_of_its_parent(tmp_path: Path) -> None:
    with (tmp_path / "held").open("w") as held, isolated(Clockwork) as worker:
        os.set_inheritable(held.fileno(), True)
        worker.read_blocking(5.0)
        links = {
            os.readlink(f"/proc/{worker.pid}/fd/{fd}")
            for fd in os.listdir(f"/proc/{worker.pid}/fd")
        }
        assert Path(f"/proc/{worker.pid}/comm").read_text() == "fw-test\n"
    assert len(links) == 3
    assert "/dev/null" in links
    assert sum(link.startswith("pipe:") for link in links) == 2


def test_the_parents_handlers_do_not_run_in_the_reader(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    old = signal.signal(signal.SIGUSR1, lambda *_: mark.touch())
    try:
        with isolated(Clockwork) as worker:
            worker.read_blocking(5.0)
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGUSR1)
            worker.read_blocking(5.0)
        assert not mark.exists()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_no_files_or_zombies_are_left_after_many_readers() -> None:
    before = open_fds()
    pids = set()
    for _ in range(20):
        with isolated(Clockwork) as worker:
            worker.read_blocking(5.0)
            pids.add(str(worker.pid))
    assert open_fds() == before
    assert pids.isdisjoint(children())


def test_background_looks_happen_between_reads() -> None:
    class Polling(Clockwork):
        looks = 0

        def background_interval_s(self) -> float | None:
            return 0.01

        def background(self) -> None:
            self.looks += 1

        def read(self) -> Sequence[Observation]:
            return [Reading(KEY, time.monotonic_ns(), self.looks)]

    with isolated(Polling) as worker:
        worker.read_blocking(5.0)
        time.sleep(0.3)
        reading = worker.read_blocking(5.0)[0]
        assert isinstance(reading, Reading)
        assert 10 <= reading.energy_uj <= 32
