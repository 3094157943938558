"""Stored advice, as `run --with` and the commands read it. Standard library only: `run` is hot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from frugalwatch.errors import NotFoundError, UsageError

_SHORTEST_PREFIX = 4
_COLUMNS = "id, advice_key, state, command, cwd, stdin_path, result, run_id"


class Recommendation(NamedTuple):
    """One change that was recommended: variables of the environment to set and to remove.

    `switches` are applied inside the program by the hook.
    """

    number: int
    name: str
    set: Mapping[str, str]
    unset: tuple[str, ...]
    switches: Mapping[str, object] = {}

    def applied_to(self, environment: Mapping[str, str]) -> dict[str, str]:
        """This environment with the change."""
        kept = {k: v for k, v in environment.items() if k not in self.unset}
        return {**kept, **self.set}


class StoredAdvice(NamedTuple):
    """One `advise`: what was replayed, and what came of it. `result` is frugalwatch.advice/1."""

    id: int
    key: str
    state: str
    command: tuple[str, ...]
    cwd: str
    stdin_path: str | None
    result: Mapping[str, object]
    recommendations: tuple[Recommendation, ...]

    @property
    def name(self) -> str:
        """What a person types: A1."""
        return f"A{self.id}"


def find_advice(conn: sqlite3.Connection, name: str) -> tuple[StoredAdvice, int | None]:
    """The advice that a person means, and the number after the dot if one was given.

    A1, 1, A1.2 (the second recommendation of it), last, or the beginning of its key. Raises
    NotFoundError, or UsageError if several keys begin so.
    """
    advice, _, part = name.partition(".")
    if part[:1] in ("T", "t") and _is_number(part[1:]):
        raise UsageError(
            f"{name} was replayed on a trace of requests: it needs code, which the advice shows",
            hint=f"frugalwatch advice {advice}",
        )
    if part and not _is_number(part):
        raise UsageError(f"{name!r} names no advice", hint="A1 or A1.2; see: frugalwatch advice")
    number = advice[1:] if advice[:1] in ("A", "a") else advice
    if name == "last":
        rows = _rows(conn, "ORDER BY started_utc_ns DESC, id DESC LIMIT 1", ())
    elif _is_number(number):
        rows = _rows(conn, "WHERE id = ?", (int(number),))
    elif len(advice) >= _SHORTEST_PREFIX:
        rows = _rows(conn, "WHERE substr(advice_key, 1, ?) = ?", (len(advice), advice))
    else:
        rows = []
    if not rows:
        raise NotFoundError(f"no advice called {name!r}", hint="frugalwatch advice")
    if len(rows) > 1:
        raise UsageError(f"{name!r} is the beginning of several advices", hint="type more of it")
    return rows[0], int(part) if part else None


def list_advice(conn: sqlite3.Connection) -> list[StoredAdvice]:
    """Every stored advice, the latest first."""
    return _rows(conn, "ORDER BY started_utc_ns DESC, id DESC", ())


def recommended(advice: StoredAdvice, number: int | None) -> Recommendation:
    """The recommendation of that number (None: the first). Raises NotFoundError."""
    wanted = 1 if number is None else number
    for recommendation in advice.recommendations:
        if recommendation.number == wanted:
            return recommendation
    if not advice.recommendations:
        raise NotFoundError(
            f"advice {advice.name} recommends nothing", hint=f"frugalwatch advice {advice.name}"
        )
    raise NotFoundError(
        f"advice {advice.name} has no recommendation {wanted}",
        hint=f"frugalwatch advice {advice.name}",
    )


def _rows(conn: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[StoredAdvice]:
    rows = conn.execute(f"SELECT {_COLUMNS} FROM advice {where}", values).fetchall()
    return [_advice(row) for row in rows]


def _advice(row: tuple[object, ...]) -> StoredAdvice:
    id_, key, state, command, cwd, stdin_path, text, run_id = row
    result = json.loads(str(text)) if text else {}
    if result:  # numbers of this ledger: advice that was merged had others before
        result["advice"], result["run"] = f"A{id_}", run_id
    return StoredAdvice(
        id=int(str(id_)),
        key=str(key),
        state=str(state),
        command=tuple(json.loads(str(command))),
        cwd=str(cwd),
        stdin_path=None if stdin_path is None else str(stdin_path),
        result=result,
        recommendations=tuple(
            Recommendation(
                entry["number"],
                entry["name"],
                dict(entry["change"]["set"]),
                tuple(entry["change"]["unset"]),
                dict(entry["change"].get("switches", {})),
            )
            for entry in result.get("recommendations", ())
        ),
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
