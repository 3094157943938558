"""What is known of the job's Python processes, of the hook in them, and why it saw nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from frugalwatch.report.told import Process, processes_of, units_of_the_hook
from frugalwatch.report.window import Span

# Of a build or a test suite with a thousand interpreters, the first ones.
_MOST_PROCESSES = 64


def inside_object(
    connection: sqlite3.Connection, run_id: int, window: Span
) -> dict[str, object] | None:
    """The hook's processes, problems and notes; None for a job in which no Python was seen."""
    processes = processes_of(connection, run_id)
    said: dict[str, list[tuple[str, str, int]]] = {}
    for kind, cause, detail, t in connection.execute(
        "SELECT kind, cause, detail, t_mono_ns FROM event WHERE run_id = ?"
        " AND kind IN ('no_hook', 'hook_problem', 'hook_note') ORDER BY t_mono_ns, id",
        (run_id,),
    ):
        said.setdefault(kind, []).append((cause, detail, t))
    missing = [] if processes else said.get("no_hook", [])
    if not processes and not said:
        return None
    return {
        "hook": "reported" if processes else "off" if _is_off(missing) else "silent",
        "reason": missing[0][1] if missing else None,
        "processes_count": len(processes),
        "processes": _process_objects(connection, run_id, processes, window),
        "problems": [
            {"where": where, "text": text, "t_s": (t - window.begin) / 1e9}
            for where, text, t in said.get("hook_problem", [])
        ],
        "notes": [text for _, text, _ in said.get("hook_note", [])],
    }


def _is_off(missing: Sequence[tuple[str, str, int]]) -> bool:
    return any(cause == "off" for cause, _, _ in missing)


def _process_objects(
    connection: sqlite3.Connection, run_id: int, processes: Sequence[Process], window: Span
) -> list[dict[str, object]]:
    """Processes that counted something first, each with its own counts."""
    counts: dict[Process, dict[str, int]] = {}
    samples: dict[Process, int] = {}
    for unit, work in units_of_the_hook(connection, run_id, processes).items():
        for life in work.lives:
            if life.process is not None:
                counts.setdefault(life.process, {})[unit] = life.last.done
                if life.last.samples is not None:
                    before = samples.get(life.process, 0)
                    samples[life.process] = max(before, life.last.samples)
    chosen = sorted(processes, key=lambda p: (p not in counts, p.rank or 0, p.begin_ns))
    return [
        {
            "pid": process.pid,
            "program": process.program,
            "python": process.python,
            "rank": process.rank,
            "local_rank": process.local_rank,
            "world_size": process.world_size,
            "features": list(process.features),
            "began_s": (process.begin_ns - window.begin) / 1e9,
            "counts": counts.get(process, {}),
            "samples": samples.get(process),
        }
        for process in chosen[:_MOST_PROCESSES]
    ]
