"""Reads the stored advice and what became of it. A look costs what is new since the last one."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from frugalwatch.ledger.advice_history import Use, Verification, uses, verifications
from frugalwatch.ledger.recover import is_alive
from frugalwatch.machine import boot_key
from frugalwatch.screen.reading import Source
from frugalwatch.screen.records import Document

# A look follows at most so many runs: their environments are long, and a first look is short.
_RUNS_A_LOOK = 2000
# So many are listed; nobody reads further, and `frugalwatch advice` lists all.
MOST_ADVICE = 200

_LISTED = """
SELECT advice.id, advice_key, state, command, cwd, hostname, started_utc_ns / 1e9, ended_utc_ns
FROM advice JOIN machine ON machine.id = advice.machine_id
ORDER BY started_utc_ns DESC, advice.id DESC LIMIT ?
"""


class SoFar(NamedTuple):
    """One variant of an advice that is being made. What it used is not confirmed."""

    variant: str
    replays: int
    failed: int
    cpu_s: float | None


@dataclass(frozen=True, slots=True)
class AdviceEntry:
    """One `advise`: `document` is frugalwatch.advice/1, empty while it is made or where it failed.

    `replays` counts what an advice that is being made has replayed so far, and `progress` is what
    it told when its last replay began; empty otherwise. `gone`: the process that made it is no
    more, and left it unfinished. `so_far` has a line for each variant of one that is being made.
    """

    number: int
    key: str
    state: str
    command: tuple[str, ...]
    cwd: str
    host: str
    started_utc_s: float
    document: Document
    replays: int
    progress: Document
    gone: bool
    so_far: tuple[SoFar, ...]
    verifications: tuple[Verification, ...]
    uses: tuple[Use, ...]

    @property
    def name(self) -> str:
        """What a person types: A1."""
        return f"A{self.number}"

    @property
    def recommendations(self) -> list[Document]:
        """Its recommendations, the best first."""
        found = self.document.get("recommendations")
        return found if isinstance(found, list) else []

    def verdict_on(self, recommendation: int) -> Verification | None:
        """The last verification of one recommendation that came to a verdict."""
        found = [v for v in self.verifications if v.recommendation == recommendation and v.verdict]
        return found[-1] if found else None

    def runs_with(self, recommendation: int) -> list[int]:
        """Numbers of the runs that one recommendation was applied to."""
        return [use.run for use in self.uses if use.recommendation == recommendation]


@dataclass(frozen=True, slots=True)
class AdviceLook:
    """All of it, the latest first."""

    entries: tuple[AdviceEntry, ...]


class AdvicePart:
    """See `screen.reading.Part`."""

    def __init__(self) -> None:
        self._documents: dict[int, tuple[object, Document]] = {}
        self._uses: dict[str, Use] = {}
        self._last_run = 0

    def look(self, source: Source, question: object) -> AdviceLook:
        """The stored advice."""
        del question
        connection = source.connection
        rows = connection.execute(_LISTED, (MOST_ADVICE,)).fetchall()
        if not rows:
            return AdviceLook(())
        self._follow_uses(connection)
        verified = verifications(connection)
        entries = []
        for number, key, state, command, cwd, host, started, ended in rows:
            document = self._document(connection, number, (key, state, ended))
            running = state == "running"
            progress = _progress(connection, number) if running else {}
            entries.append(
                AdviceEntry(
                    number=number,
                    key=key,
                    state=state,
                    command=_words(command),
                    cwd=cwd,
                    host=host,
                    started_utc_s=started,
                    document=document,
                    replays=_replays(connection, number) if running else 0,
                    progress=progress,
                    gone=_gone(progress, host),
                    so_far=_so_far(connection, number) if running else (),
                    verifications=tuple(v for v in verified if v.advice == number),
                    uses=tuple(use for use in self._uses.values() if use.advice == number),
                )
            )
        return AdviceLook(tuple(entries))

    def _document(self, connection: sqlite3.Connection, number: int, version: object) -> Document:
        """The document, read again only when the advice has changed."""
        known = self._documents.get(number)
        if known is not None and known[0] == version:
            return known[1]
        row = connection.execute("SELECT result FROM advice WHERE id = ?", (number,)).fetchone()
        document = _parsed(row[0] if row else None)
        self._documents[number] = (version, document)
        return document

    def _follow_uses(self, connection: sqlite3.Connection) -> None:
        """Take in the runs that began since the last look."""
        newest = connection.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()[0]
        last = min(newest, self._last_run + _RUNS_A_LOOK)
        for use in uses(connection, self._last_run, last):
            self._uses[use.run_key] = use
        self._last_run = last


def _replays(connection: sqlite3.Connection, number: int) -> int:
    row = connection.execute("SELECT count(*) FROM trial WHERE advice_id = ?", (number,))
    return int(row.fetchone()[0])


def _progress(connection: sqlite3.Connection, number: int) -> Document:
    """How far an advice is that is being made; empty where the ledger is an older one."""
    try:
        row = connection.execute("SELECT progress FROM advice WHERE id = ?", (number,)).fetchone()
    except sqlite3.OperationalError:
        return {}
    return _parsed(row[0] if row else None)


def _gone(progress: Document, host: str) -> bool:
    """Whether the process that told this has ended; on another machine nobody can look."""
    if not progress or host != os.uname().nodename:
        return False
    if progress.get("boot") != boot_key():
        return True
    return not is_alive("/proc", progress.get("pid"), progress.get("starttime"))


def _so_far(connection: sqlite3.Connection, number: int) -> tuple[SoFar, ...]:
    """Replays of each variant in the order in which they were tried, looks left out."""
    rows = connection.execute(
        "SELECT variant, count(*), sum(state != 'ok'),"
        " avg(CASE WHEN state = 'ok' THEN cpu_us END) / 1e6 FROM trial"
        " WHERE advice_id = ? AND verification_id IS NULL AND stage != 'probe'"
        " GROUP BY variant ORDER BY min(id)",
        (number,),
    )
    return tuple(SoFar._make(row) for row in rows)


def _words(command: str) -> tuple[str, ...]:
    """The command; one that nobody can read is shown as it stands, for the others' sake."""
    try:
        found = json.loads(command)
    except ValueError:
        return (command,)
    return tuple(map(str, found)) if isinstance(found, list) else (command,)


def _parsed(text: str | None) -> Document:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {"state": "unreadable"}
    return found if isinstance(found, dict) else {}


def counted(entries: Iterable[AdviceEntry]) -> tuple[int, int, int]:
    """How many advices recommend something, how many were applied, how many held."""
    some = [e for e in entries if e.recommendations]
    applied = sum(bool(e.uses) for e in some)
    held = sum(any(v.verdict == "held" for v in e.verifications) for e in some)
    return len(some), applied, held
