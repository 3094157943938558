"""The end of a run: its last rows, its totals, and what is sent to the supervisor."""

from __future__ import annotations

import os
from typing import NamedTuple

from frugalwatch.carbon.grid import GridFactor
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.records import RunEnd
from frugalwatch.sampler.context import RunContext

# Commands whose work is done by a process that is no descendant of theirs.
_HANDS_OVER = frozenset(
    "docker podman nerdctl kubectl srun sbatch salloc ssh rsh mpirun mpiexec systemd-run at batch"
    " condor_submit qsub bsub ray".split()
)


class Ending(NamedTuple):
    """How a run ended, as far as anybody saw. `exit_code` is None if nobody did."""

    state: str
    ended_mono_ns: int
    exit_code: int | None
    exit_signal: int | None
    cpu_us: int
    cpu_method: str
    busy_us: int | None
    slept_ns: int
    processes_left: int
    left_names: tuple[str, ...]
    bad_messages: int


def said_by_supervisor(
    message: dict[str, object],
    *,
    now_ns: int,
    cpu_us: int,
    ignores_children: bool,
    busy_us: int | None,
    slept_ns: int,
    bad_messages: int,
) -> Ending:
    """The ending from the supervisor's message, which is empty if the supervisor is gone.

    `cpu_us` is what the sampler itself counted, for that case.
    """
    exit_signal = _integer(message, "exit_signal")
    method = str(message.get("cpu_method", "tree-lower-bound"))
    if method == "tree" and ignores_children:
        method = "tree-lower-bound"
    names = message.get("left_names")
    return Ending(
        state="recovered" if not message else "killed" if exit_signal else "done",
        ended_mono_ns=_integer(message, "ended_mono_ns") or now_ns,
        exit_code=_integer(message, "exit_code") if message else None,
        exit_signal=exit_signal or None,
        cpu_us=_integer(message, "cpu_us") if message else cpu_us,
        cpu_method=method,
        busy_us=busy_us,
        slept_ns=slept_ns,
        processes_left=_integer(message, "processes_left"),
        left_names=tuple(map(str, names)) if isinstance(names, list) else (),
        bad_messages=bad_messages,
    )


def close_run(
    journal: Journal,
    context: RunContext,
    ending: Ending,
    factor: GridFactor,
    notices: list[str],
) -> dict[str, object]:
    """Write the end and the totals; returns the answer for the supervisor."""
    journal.usage(
        max(ending.ended_mono_ns, context.start.mono_ns + 1), ending.cpu_us, ending.busy_us
    )
    _last_events(journal, context, ending, notices)
    from frugalwatch.report.settle import settle_run

    connection = journal.finish(
        RunEnd(
            state=ending.state,
            ended_mono_ns=ending.ended_mono_ns,
            exit_code=ending.exit_code,
            exit_signal=ending.exit_signal,
            suspended_ns=ending.slept_ns,
            job_cpu_us=ending.cpu_us,
            job_cpu_method=ending.cpu_method,
            machine_busy_us=ending.busy_us,
        )
    )
    document, totals = settle_run(connection, context.plan.run_key, factor, context.plan.settings)
    journal.store_totals(totals)
    return {"run": document, "notices": notices, "ledger": journal.where}


def _last_events(journal: Journal, context: RunContext, ending: Ending, notices: list[str]) -> None:
    now = ending.ended_mono_ns
    if ending.processes_left:
        named = f" ({', '.join(ending.left_names)})" if ending.left_names else ""
        journal.event(
            "processes_left",
            t_mono_ns=now,
            detail=(
                f"{_counted(ending.processes_left, 'process', 'processes')} of the job outlived"
                f" it{named}; what happens from now on is not counted"
            ),
        )
    elsewhere = _work_elsewhere(context.plan.argv)
    if elsewhere:
        journal.event(
            "work_elsewhere",
            elsewhere,
            t_mono_ns=now,
            detail=f"`{elsewhere}` hands over: work ran outside this process tree",
        )
    if ending.bad_messages:
        journal.event(
            "bad_messages", t_mono_ns=now, detail=f"{ending.bad_messages} could not be read"
        )
    for notice in notices:
        journal.event("notice", t_mono_ns=now, detail=notice)


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _work_elsewhere(argv: tuple[str, ...]) -> str | None:
    name = os.path.basename(argv[0])
    return name if name in _HANDS_OVER else None


def _integer(values: dict[str, object], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) else 0
