"""Temperature, clock, fan and utilisation of a device: the last ones, or those of a whole run."""

from __future__ import annotations

import sqlite3

from frugalwatch.screen.records import Condition

# Conditions are written every five seconds; older ones are no longer what it is like.
_FRESH_NS = 20_000_000_000

_LAST = """
SELECT temperature_mdegc, clock_hz, fan_ppm, busy_ppm FROM condition
WHERE stream_id = ? AND t_mono_ns > ? ORDER BY t_mono_ns DESC LIMIT 1
"""
_WHOLE = """
SELECT max(temperature_mdegc), avg(clock_hz), max(fan_ppm), avg(busy_ppm)
FROM condition WHERE stream_id = ?
"""


def condition_now(connection: sqlite3.Connection, stream_id: int, end_ns: int) -> Condition | None:
    """What the device was like in the last seconds before `end_ns`; None: nobody knows."""
    row = connection.execute(_LAST, (stream_id, end_ns - _FRESH_NS)).fetchone()
    return None if row is None else _condition(row)


def condition_of_run(connection: sqlite3.Connection, stream_id: int) -> Condition | None:
    """Of a run that is over: the highest temperature and fan speed, the mean clock and use.

    Reads every row of the stream, one for five seconds: 5 ms for a run of a day.
    """
    row = connection.execute(_WHOLE, (stream_id,)).fetchone()
    return None if row is None or row == (None,) * 4 else _condition(row)


def _condition(row: tuple[float | None, ...]) -> Condition:
    temperature, clock, fan, busy = row
    return Condition(
        temperature_c=None if temperature is None else temperature / 1e3,
        clock_hz=clock,
        fan_share=None if fan is None else fan / 1e6,
        busy_share=None if busy is None else busy / 1e6,
    )
