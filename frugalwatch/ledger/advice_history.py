"""What became of stored advice: verifications, and the runs that were started with it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from frugalwatch.ledger.transfer_advice import applied_advice

Cell = str | int | float | None


class Verification(NamedTuple):
    """One `verify`. `verdict` is held, not_held, cannot_tell, or None: it did not finish."""

    advice: int
    recommendation: int
    started_utc_s: float
    host: str
    verdict: str | None
    ratio: float | None
    low: float | None
    high: float | None
    rounds: int | None
    reason: str


class Use(NamedTuple):
    """A run that was started with a recommendation (`run --with`)."""

    run: int
    run_key: str
    advice: int
    recommendation: int


_VERIFICATIONS = """
SELECT advice_id, recommendation, started_utc_ns / 1e9, hostname, verdict, ratio, ratio_low,
       ratio_high, rounds, CASE WHEN json_valid(result) THEN json_extract(result, '$.reason') END
FROM verification JOIN machine ON machine.id = verification.machine_id ORDER BY started_utc_ns
"""
_USES = """
SELECT id, run_key, environment FROM run
WHERE id > ? AND id <= ? AND instr(environment, '"FRUGALWATCH_ADVICE"') ORDER BY id
"""


def verifications(conn: sqlite3.Connection) -> list[Verification]:
    """All of them, the oldest first."""
    rows = conn.execute(_VERIFICATIONS).fetchall()
    return [Verification._make((*row[:9], str(row[9] or ""))) for row in rows]


def uses(conn: sqlite3.Connection, after_run: int = 0, until_run: int = 2**62) -> Iterator[Use]:
    """Runs that were started with an advice; only those of these numbers."""
    for number, key, text in conn.execute(_USES, (after_run, until_run)):
        named = applied_advice(json.loads(text))
        if named is not None:
            yield Use(number, key, *named)


def recommendation_rows(
    name: str,
    key: str,
    document: Mapping[str, object],
    verified: list[Verification],
    used: list[Use],
) -> Iterator[dict[str, Cell]]:
    """A row for each recommendation: what was promised, where it was used, how it was verified.

    `name` is the advice's number (A1). Ratios are "with the change" over "as written".
    """
    found: object = document.get("recommendations")
    for entry in found if isinstance(found, list) else []:
        number = entry.get("number")
        promised = entry.get("ratio") or {}
        saved = entry.get("saved_per_run") or {}
        last = next((v for v in reversed(verified) if v.recommendation == number), None)
        unit = "j" if document.get("unit") == "energy_j" else "cpu_s"
        yield {
            "advice": name,
            "advice_key": key,
            "command": " ".join(map(str, _words(document))),
            "recommendation": number,
            "change": entry.get("name"),
            "compared": str(document.get("unit")),
            "promised_ratio": promised.get("value"),
            "promised_ratio_low": promised.get("low"),
            "promised_ratio_high": promised.get("high"),
            "saved_per_run_j": saved.get("value") if unit == "j" else None,
            "saved_per_run_cpu_s": saved.get("value") if unit == "cpu_s" else None,
            "output": (entry.get("quality") or {}).get("finding"),
            "runs_with_it": sum(use.recommendation == number for use in used),
            "verdict": last.verdict if last else None,
            "verified_ratio": last.ratio if last else None,
            "verified_ratio_low": last.low if last else None,
            "verified_ratio_high": last.high if last else None,
        }


def _words(document: Mapping[str, object]) -> list[object]:
    command = document.get("command")
    return command if isinstance(command, list) else []
