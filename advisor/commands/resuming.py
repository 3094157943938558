"""`advise --resume`: which search it was, and whether it can go on here and now."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple  # Any: what JSON gives back

from advisor.commands.common import Replaying, asked_again, refuse_late_options
from advisor.workload import Workload, from_advice, from_command
from frugalwatch.errors import UsageError

_READ = """
SELECT machine_key, hostname, cpus, plan, progress FROM advice
JOIN machine ON machine.id = advice.machine_id WHERE advice.id = ?
"""


class CutShort(NamedTuple):
    """A search to go on with: `plan` is what it was asked for."""

    number: int
    workload: Workload
    replaying: Replaying
    plan: Mapping[str, Any]


def cut_short(
    conn: sqlite3.Connection, name: str, command: tuple[str, ...], replaying: Replaying
) -> CutShort:
    """The stored search, with its options, on its command.

    Raises UsageError where it is done, still runs, or was made of another command or elsewhere.
    """
    from frugalwatch.ledger.advice import find_advice

    stored, _ = find_advice(conn, name)
    row = conn.execute(_READ, (stored.id,)).fetchone()
    machine, host, cpus, plan_text, progress_text = row
    plan = json.loads(plan_text or "{}")
    more = replaying.budget is not None or replaying.rounds is not None
    if stored.state == "done" and not more:
        raise UsageError(
            f"advice {stored.name} is done: there is nothing left to do",
            hint=f"frugalwatch advice {stored.name}; or with more: --resume {stored.name}"
            " --budget 10min",
        )
    _refuse_running(stored.name, stored.state, json.loads(progress_text or "{}"))
    _refuse_elsewhere(stored.name, machine, host, cpus)
    again = asked_again(replaying, plan)
    words = command[1:] if command[:1] == ("--",) else command
    refuse_late_options(words, "the command")
    if not words:
        workload = from_advice(stored, dict(os.environ), again.stdin_file)
        return CutShort(stored.id, workload, again, plan)
    workload = from_command(words, dict(os.environ), again.stdin_file)
    if workload.masked != stored.command or workload.cwd != stored.cwd:
        raise UsageError(
            f"advice {stored.name} is about another command or folder: it cannot go on here",
            why=f"it replayed {' '.join(stored.command)} in {stored.cwd}",
            hint=f"leave the command out: frugalwatch advise --resume {stored.name}",
        )
    return CutShort(stored.id, workload, again, plan)


def _refuse_running(name: str, state: str, progress: Mapping[str, Any]) -> None:
    from frugalwatch.ledger.recover import is_alive
    from frugalwatch.machine import boot_key

    if state != "running" or progress.get("boot") != boot_key():
        return
    if is_alive("/proc", progress.get("pid"), progress.get("starttime")):
        raise UsageError(f"advice {name} is being made right now, by process {progress['pid']}")


def _refuse_elsewhere(name: str, machine: str, host: str, cpus: float | None) -> None:
    from advisor.setting import usable_cpus
    from frugalwatch.machine import machine_key

    if machine != machine_key():
        raise UsageError(
            f"advice {name} was begun on {host}: trials of two machines cannot be compared",
            hint="begin anew here: frugalwatch advise -- COMMAND",
        )
    if cpus is not None and int(cpus) != usable_cpus():
        raise UsageError(
            f"advice {name} was begun with {cpus:g} CPUs, and {usable_cpus()} can be used now",
            hint="begin anew: frugalwatch advise -- COMMAND",
        )
