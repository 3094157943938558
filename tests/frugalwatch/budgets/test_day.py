"""What the machine and its users may use in a day: from the minutes in a real ledger."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from frugalwatch.budgets.day import DayWatch, usable
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.minutes import Minute, MinuteRows, Share
from tests.frugalwatch.daemon.kit import DaemonKit
from tests.frugalwatch.ledger.kit import SECOND, Notices, device, run_start
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

NOON = time.mktime((2026, 6, 1, 12, 0, 0, 0, 0, -1))
BOOT_S = 100_000.0  # the monotonic clock at noon


class Day:
    """A daemon's recording at noon; minutes are placed by the wall clock's hour."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(str(folder / "ledger.db"), notify=Notices(), fallback_dirs=())
        began = BOOT_S - 90_000  # yesterday
        start = run_start(
            started_mono_ns=round(began * SECOND), started_utc_ns=round((NOON - 90_000) * 1e9)
        )
        self.journal.open_run(start)
        self.package = self.journal.add_stream(device(), start.started_mono_ns)
        core = device("rapl:core", part_of=device().key)
        self.core = self.journal.add_stream(core, start.started_mono_ns)
        self.rows = MinuteRows()
        self.journal.recording.minutes = self.rows

    def minute(
        self, hour: float, joules: float, *, handle: int | None = None, **users: float
    ) -> None:
        """A minute's energy at that hour of today, and what of it is whose."""
        stream = self.package if handle is None else handle
        t = round((BOOT_S + (hour - 12) * 3600) * SECOND)
        uj = round(joules * 1e6)
        shares = [
            Share(stream, t, "user", name, 1, round(j * 1e6), 0, uj) for name, j in users.items()
        ]
        self.rows.add([Minute(stream, t, t - 60 * SECOND, uj, uj, uj, uj, None, 1)], shares)
        self.journal.heartbeat(t)
        assert self.journal.commit()

    def look(self, *budgets: str, by_user: bool = True, after_s: float = 0.0) -> list[str]:
        """What a daemon that looks now says; the events go to the ledger."""
        said: list[str] = []
        settings = Settings(daemon_budgets=budgets, by_user=by_user)
        watch = DayWatch(settings, self.journal, said.append)
        now_mono = round((BOOT_S + after_s) * SECOND)
        assert self.journal.attend(lambda conn: watch.look(conn, NOON + after_s, now_mono))
        self.journal.commit()
        return said


@pytest.fixture
def day(tmp_path: Path) -> Day:
    return Day(tmp_path)


def test_the_machines_day_begins_at_midnight_and_counts_no_part_twice(day: Day) -> None:
    day.minute(-1, 5000.0)  # 23:00 yesterday
    day.minute(1, 600.0)
    day.minute(11, 600.0)
    day.minute(11, 500.0, handle=day.core)
    assert day.look("machine 1300J/day") == []
    (said,) = day.look("machine 1100J/day")
    assert said.startswith("budget machine 1100J/day is passed: the machine has used 1200 J today")


def test_it_is_told_once_a_day_also_by_a_daemon_that_was_restarted(day: Day) -> None:
    day.minute(11, 600.0)
    assert len(day.look("machine 500J/day")) == 1
    assert day.look("machine 500J/day", after_s=60) == []
    day.minute(25, 600.0)  # one in the night
    assert len(day.look("machine 500J/day", after_s=14 * 3600)) == 1


def test_users_are_told_apart(day: Day) -> None:
    day.minute(10, 1000.0, alice=700.0, bob=100.0)
    day.minute(11, 1000.0, alice=10.0, bob=100.0)
    assert day.look("user bob 500J/day") == []
    (said,) = day.look("user alice 500J/day")
    assert "user alice has used 710 J" in said
    assert "attributed by busy time" in said
    assert len(day.look("user * 150J/day")) == 2


def test_the_same_watch_tells_each_crossing_once(day: Day) -> None:
    said: list[str] = []
    watch = DayWatch(Settings(daemon_budgets=("machine 500J/day",)), day.journal, said.append)
    for minute in range(5):
        day.minute(11 + minute / 60, 300.0)
        now = round((BOOT_S + minute * 61) * SECOND)
        watch.tend(now)
        watch.tend(now + 1)
    assert len(said) <= 1  # the wall clock of today is not that of the story


@pytest.mark.parametrize(
    ("text", "by_user", "why"),
    [
        ("user alice 1kWh/day", False, "by_user = true"),
        ("machine 1EUR/day", True, "price"),
        ("machine 1kgCO2e/day", True, "zone"),
        ("machine 1kwh/day", True, "1kWh"),
        ("everybody 1kWh/day", True, "machine 5kWh/day"),
    ],
)
def test_what_cannot_be_judged_is_left_out_and_said(text: str, by_user: bool, why: str) -> None:
    good, problems = usable(Settings(daemon_budgets=(text,), by_user=by_user))
    assert good == []
    assert why in problems[0]


def test_a_daemon_judges_the_day_from_its_own_ledger(tmp_path: Path) -> None:
    with PowercapTree(tmp_path, [Zone("package-0", Constant(500.0))]) as tree:
        tree.start()
        kit = DaemonKit(tmp_path, tree, FRUGALWATCH_DAEMON_BUDGETS="machine 50J/day")
        try:
            kit.start()
            time.sleep(1.0)
            kit.end()  # which closes the minute that it was in
            kit.start()
            kit.wait_for("SELECT 1 FROM event WHERE kind = 'day_budget_passed'")
            status, said = kit.end()
        finally:
            kit.close()
    assert status == 0
    assert said.count("budget machine 50J/day is passed") == 1
