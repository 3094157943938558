"""What is recorded about a run when it starts: command, machine, version of the code."""

from __future__ import annotations

import json
import os
import zlib

from frugalwatch.carbon.grid import resolve_or_world
from frugalwatch.ledger.records import RunStart
from frugalwatch.machine import (
    boot_key,
    cpu_name,
    machine_key,
    memory_bytes,
    pid_namespace,
    read_line,
    read_text,
    user_name,
)
from frugalwatch.privacy import mask_arguments, storable_environment
from frugalwatch.sampler.context import RunContext
from frugalwatch.sampler.job_tree import start_time


def _environment(context: RunContext) -> dict[str, str | None]:
    """What of the environment is stored; the user's name only where that was switched on."""
    settings = context.plan.settings
    stored = storable_environment(
        context.plan.environment, settings.environment_allow, settings.mask
    )
    if settings.by_user:
        stored["USER"] = user_name()
    return stored


def describe_run(context: RunContext) -> RunStart:
    """Everything known about a run at its start. Reads a few small files; never raises."""
    command = mask_arguments(context.plan.argv, context.plan.settings.mask)
    system = os.uname()
    settings = context.plan.settings
    return RunStart(
        run_key=context.plan.run_key,
        machine_key=machine_key(),
        hostname=system.nodename,
        boot_key=boot_key(),
        command=tuple(command),
        command_hash=command_hash(command, context.plan.cwd),
        cwd=context.plan.cwd,
        interval_ns=round(settings.interval_s * 1e9),
        started_utc_ns=context.start.utc_ns,
        started_mono_ns=context.start.mono_ns,
        cpu_model=cpu_name(),
        cpu_threads=os.cpu_count(),
        memory_bytes=memory_bytes(),
        kernel=system.release,
        group_key=context.plan.group_key,
        parent_run_key=context.plan.parent_run_key,
        git_commit=git_commit(context.plan.cwd),
        environment=_environment(context),
        pid_namespace=pid_namespace(),
        supervisor_pid=context.plan.supervisor_pid,
        supervisor_starttime=start_time(context.plan.supervisor_pid),
        sampler_pid=os.getpid(),
        sampler_starttime=start_time(os.getpid()),
        job_pid=context.start.job_pid,
        job_starttime=start_time(context.start.job_pid),
        cpu_limit=float(len(os.sched_getaffinity(0))),
        pue=settings.pue,
        price_per_kwh=settings.price_per_kwh,
        currency=settings.currency if settings.price_per_kwh is not None else None,
        carbon=json.dumps(resolve_or_world(settings)[0].as_json()),
    )


def command_hash(masked: list[str], cwd: str) -> str:
    """What makes two runs "the same command": the masked words and the folder."""
    data = "\0".join([*masked, cwd]).encode(errors="surrogateescape")
    return f"{zlib.crc32(data):08x}{zlib.adler32(data):08x}"


def git_commit(folder: str) -> str | None:
    """The commit that is checked out around `folder`, read from the files of git; None if none."""
    while True:
        git = os.path.join(folder, ".git")
        if os.path.exists(git):
            return _head(git)
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent


def _head(git: str) -> str | None:
    if os.path.isfile(git):  # a worktree or submodule: "gitdir: <path>"
        named = read_line(git).partition("gitdir: ")[2]
        git = os.path.normpath(os.path.join(os.path.dirname(git), named))
    head = read_line(os.path.join(git, "HEAD"))
    if not head.startswith("ref: "):
        return _commit(head)
    reference = head[5:]
    common = os.path.normpath(os.path.join(git, read_line(os.path.join(git, "commondir"))))
    found = read_line(os.path.join(git, reference)) or read_line(os.path.join(common, reference))
    if found:
        return _commit(found)
    for line in read_text(os.path.join(common, "packed-refs")).splitlines():
        if line.endswith(f" {reference}"):
            return _commit(line.split(" ", 1)[0])
    return None


def _commit(text: str) -> str | None:
    return text if len(text) in (40, 64) and not set(text) - set("0123456789abcdef") else None
