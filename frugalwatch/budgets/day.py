"""What the machine, or one user, may use in a day: watched by the daemon, from its own ledger.

    machine 5kWh/day          all devices that count
    user alice 1kWh/day       what of it is attributed to one user (needs by_user)
    user * 200gCO2e/day       to each user

A day is one of the machine's local time. It is judged once a minute from the minutes in the ledger,
so a daemon that was restarted knows what the day had used before. A day's budget is told once, when
the best figure passes it; nobody is ever signalled for it.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from frugalwatch.alerts.courier import Courier, routes_of
from frugalwatch.alerts.notice import Notice
from frugalwatch.budgets.day_sums import DaySum, machine_today, users_today
from frugalwatch.budgets.grammar import BadBudgetError, Budget, parse_budget
from frugalwatch.budgets.judge import Rate, rate, refusal, used
from frugalwatch.budgets.words import used_words
from frugalwatch.carbon.grid import resolve_or_world
from frugalwatch.config.settings import Settings

if TYPE_CHECKING:
    from frugalwatch.ledger.journal import Journal

_PERIOD_NS = 60_000_000_000
_SHAPE = re.compile(r"(machine|user\s+(\S+))\s+(.+?)\s*/\s*day")
_KIND = "day_budget_passed"
EXAMPLE = "write machine 5kWh/day, user alice 1kWh/day or user * 1kWh/day"


class DayBudget(NamedTuple):
    """What may be used in a day. `user` None: by the machine; "*": by each user."""

    text: str
    user: str | None
    budget: Budget


def parse_day_budget(text: str) -> DayBudget:
    """The budget that a person wrote. Raises BadBudgetError."""
    found = _SHAPE.fullmatch(text.strip())
    if found is None:
        raise BadBudgetError(f"{text!r} is no budget of a day", EXAMPLE)
    return DayBudget(text.strip(), found[2], parse_budget(found[3]))


def usable(settings: Settings) -> tuple[list[DayBudget], list[str]]:
    """The day budgets that can be judged with these settings, and what is wrong with the others."""
    good: list[DayBudget] = []
    problems: list[str] = []
    for text in dict.fromkeys(settings.daemon_budgets):
        try:
            found = parse_day_budget(text)
        except BadBudgetError as error:
            problems.append(f"daemon_budgets: {error}; left out (hint: {error.hint})")
            continue
        refused = refusal(found.budget, settings)
        if refused is not None:
            problems.append(f"daemon_budgets {text}: {refused.why}; left out ({refused.hint})")
        elif found.user is not None and not settings.by_user:
            why = "users are not recorded; left out (hint: by_user = true)"
            problems.append(f"daemon_budgets {text}: {why}")
        else:
            good.append(found)
    return good, problems


class DayWatch:
    """The budgets of the day that goes on. `say` writes to the daemon's log."""

    def __init__(self, settings: Settings, journal: Journal, say: Callable[[str], None]) -> None:
        self._journal = journal
        self._say = say
        self._courier = Courier(routes_of(settings))
        self._budgets, problems = usable(settings)
        factor = resolve_or_world(settings)[0]
        self._rates = [rate(each.budget, factor, settings) for each in self._budgets]
        self._told: set[str] = set()
        self._day: tuple[int, ...] = ()
        self._begin_mono_ns = 0
        self._due_ns = 0
        self._problems: set[str] = set()
        for problem in problems:
            say(problem)
            journal.event("notice", t_mono_ns=time.monotonic_ns(), detail=problem)

    def tend(self, now_mono_ns: int) -> None:
        """Judge, if a minute has gone by since the last time."""
        if now_mono_ns < self._due_ns or not self._budgets:
            return
        self._due_ns = now_mono_ns + _PERIOD_NS
        self._journal.attend(lambda connection: self.look(connection, time.time(), now_mono_ns))
        for problem in self._courier.problems():
            if problem not in self._problems:
                self._problems.add(problem)
                self._say(problem)
                self._journal.event("alert_undelivered", t_mono_ns=now_mono_ns, detail=problem)

    def look(self, connection: sqlite3.Connection, now_utc_s: float, now_mono_ns: int) -> None:
        """Judge the day until now. Raises sqlite3.Error."""
        self._begin_day(connection, now_utc_s, now_mono_ns)
        boot = self._journal.recording.start.boot_key
        day = (self._midnight_utc_ns, boot, self._begin_mono_ns)
        machine: DaySum | None = None
        users: dict[str, DaySum] = {}
        if any(each.user is None for each in self._budgets):
            machine = machine_today(connection, *day)
        if any(each.user is not None for each in self._budgets):
            users = users_today(connection, *day)
        for each, per_joule in zip(self._budgets, self._rates, strict=True):
            if each.user is None:
                found = {} if machine is None else {"": machine}
            elif each.user == "*":
                found = users
            else:
                found = {each.user: users[each.user]} if each.user in users else {}
            for user, today in found.items():
                self._judge(each, per_joule, user, today, now_mono_ns)

    def close(self) -> None:
        """No more will come."""
        self._courier.close()

    def _begin_day(
        self, connection: sqlite3.Connection, now_utc_s: float, now_mono_ns: int
    ) -> None:
        local = time.localtime(now_utc_s)
        day = (local.tm_year, local.tm_yday)
        if day == self._day:
            return
        midnight_s = time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1))
        self._midnight_utc_ns = round(midnight_s * 1e9)
        # On this boot's clock, as it stands to the wall's now: that may have been set since.
        self._begin_mono_ns = now_mono_ns - round((now_utc_s - midnight_s) * 1e9)
        self._told = _told_since(connection, self._midnight_utc_ns) if not self._day else set()
        self._day = day

    def _judge(
        self, each: DayBudget, per_joule: Rate, user: str, today: DaySum, now_mono_ns: int
    ) -> None:
        subject = f"{each.text} ({user})" if each.user == "*" else each.text
        figure = used(today.figure, per_joule)
        if figure.value <= each.budget.amount or subject in self._told:
            return
        self._told.add(subject)
        whose = f"user {user}" if user else "the machine"
        what = "above idle, attributed by busy time" if user else "all devices"
        part = what if each.budget.measure == "energy" else f"{what}, {per_joule.words}"
        words = used_words(each.budget, figure, modelled=today.modelled)
        detail = f"{whose} has used {words} today; judged by {part}"
        self._journal.event(_KIND, subject, t_mono_ns=now_mono_ns, detail=detail)
        text = f"budget {subject} is passed: {detail}"
        self._say(text)
        self._courier.send(
            Notice(
                _KIND,
                subject,
                text,
                self._journal.recording.start.run_key,
                value=figure.value,
                limit=each.budget.amount,
                unit=each.budget.unit,
            )
        )


def _told_since(connection: sqlite3.Connection, midnight_utc_ns: int) -> set[str]:
    """What an earlier daemon told of this day already."""
    rows: Sequence[tuple[str]] = connection.execute(
        "SELECT cause FROM event JOIN run ON run.id = event.run_id WHERE kind = ?"
        " AND event.t_mono_ns + run.started_utc_ns - run.started_mono_ns >= ?",
        (_KIND, midnight_utc_ns),
    ).fetchall()
    return {row[0] for row in rows}
