"""Recorded runs of every kind that the screen has to read well, in one real ledger.

Each function writes one run and returns its clock's end. Time stands at 2025-01-01; power varies
by a fixed pattern, so that pictures are the same everywhere.
"""

from __future__ import annotations

from pathlib import Path

from frugalwatch.carbon.grid import resolve_or_world
from frugalwatch.crosscheck.codecarbon_csv import EmissionsRow
from frugalwatch.crosscheck.codecarbon_import import import_rows
from frugalwatch.ledger.connection import open_ledger
from frugalwatch.ledger.recover import Here, recover
from frugalwatch.ledger.totals import store_totals
from frugalwatch.report.settle import settle_run
from tests.frugalwatch.ledger.kit import SECOND
from tests.frugalwatch.screen.kit import CPU, GPU, MODEL, SETTINGS, LiveRun, World, device

TRAIN = ("python", "train.py", "--epochs", "3")
COMMIT, OLDER = "1f0c9e2d7ab", "77aa01bc3de"
PID = 4242


def wave(second: int, low_w: float, high_w: float, period_s: int) -> float:
    """Work and rest in turn, with a ramp between them."""
    place = second % period_s / period_s
    return low_w + (high_w - low_w) * min(1.0, 4 * min(place, 1 - place))


def trained(
    path: Path, world: World, key: str, *, watts: float = 230.0, commit: str = COMMIT
) -> None:
    """Ten minutes of training on GPU and CPU with phases, steps, metrics, and others beside it."""
    run = LiveRun(
        path, world, (GPU, CPU), run_key=key, command=TRAIN, command_hash="train",
        git_commit=commit, cwd="/home/user/project", cpu_model="AMD EPYC 7543", cpu_threads=64,
        memory_bytes=64 * 2**30, kernel="6.8.0", environment={"OMP_NUM_THREADS": "8", "PATH": None},
    )  # fmt: skip
    journal, begun = run.journal, world.second
    journal.gpu_usage(run.handles[GPU.key], world.mono_ns(), 0, 0)
    inside = journal.recording.inside
    inside.process((PID, world.mono_ns(), "3.12.1", "train.py", None, None, None, '["torch"]'))
    load = journal.phase_began(PID, "load", world.mono_ns())
    run.go(60, {GPU.key: 40.0, CPU.key: 90.0})
    journal.phase_ended(load, world.mono_ns())
    train = journal.phase_began(PID, "train", world.mono_ns())
    for epoch in range(3):
        token = journal.phase_began(PID, "epoch", world.mono_ns(), number=epoch, depth=1)
        for second in range(150):
            run.go(1, {GPU.key: wave(second, watts - 60, watts + 60, 150), CPU.key: 60.0})
            done = round(world.second - begun - 60)
            journal.step(PID, world.mono_ns(), 2 * done)
            journal.metric(PID, world.mono_ns(), "loss", 2.5 / (1 + done / 60))
            if second % 50 == 49:
                journal.metric(PID, world.mono_ns(), "accuracy", 1 - 0.9 / (1 + done / 60))
        journal.phase_ended(token, world.mono_ns())
    for name, seconds in (("data_wait", 90), ("forward", 120), ("backward", 200)):
        inside.activity((PID, name, world.mono_ns(), seconds * SECOND))
    journal.phase_ended(train, world.mono_ns())
    score = journal.phase_began(PID, "evaluate", world.mono_ns())
    run.go(90, {GPU.key: 120.0, CPU.key: 70.0})
    journal.phase_ended(score, world.mono_ns())
    journal.gpu_usage(run.handles[GPU.key], world.mono_ns(), 430 * 10**6, 500 * 10**6)
    begin, end = round((begun + 1) * SECOND), world.mono_ns()
    journal.processes(
        [
            (PID, 2000, "python", 1, begin, end, None, 620 * 10**6),
            (PID + 1, 2500, "pt_data_worker", 1, begin + 60 * SECOND, end, None, 82 * 10**6),
            (PID + 2, 2500, "pt_data_worker", 1, begin + 60 * SECOND, end, None, 79 * 10**6),
            (PID - 1, 1999, "sh", 1, begin, end, None, 10_000),
        ],
        [(run.handles[GPU.key], PID, 2000, 430 * 10**6)],
    )
    run.end(job_cpu_us=800 * 10**6, job_cpu_method="cgroup", machine_busy_us=1000 * 10**6)


def failed(path: Path, world: World) -> None:
    """Out of memory after four seconds."""
    run = LiveRun(path, world, (GPU, CPU), run_key="b-failed", command=(*TRAIN, "--batch", "4096"))
    run.go(4, {GPU.key: 140.0, CPU.key: 60.0})
    run.end(exit_code=1)


def killed(path: Path, world: World) -> None:
    """Killed by the kernel in the middle of a phase."""
    run = LiveRun(path, world, (CPU,), run_key="c-killed", command=("python", "sweep.py"))
    run.journal.phase_began(PID, "sweep", world.mono_ns())
    run.go(45, {CPU.key: 50.0})
    run.end(state="killed", exit_code=137, exit_signal=9)


def died(path: Path, world: World, *, machine_too: bool) -> None:
    """The watchers were killed, or the whole machine went down; settled afterwards."""
    key = "d-interrupted" if machine_too else "e-recovered"
    run = LiveRun(path, world, (CPU,), run_key=key, command=("make", "figures"))
    run.go(30, {CPU.key: 50.0})
    run.journal.close()
    connection = open_ledger(str(path), create=False)
    factor, _ = resolve_or_world(SETTINGS)

    def settle(conn: object, run_key: str) -> None:
        document, totals = settle_run(connection, run_key, factor, SETTINGS)
        store_totals(connection, int(str(document["number"])), totals)

    boot = "boot-2" if machine_too else "boot-1"
    place = Here("machine-1", boot, None, world.mono_ns() + 600 * SECOND, "/nonexistent")
    recover(connection, place, settle)
    connection.close()


def without_sensors(path: Path, world: World) -> None:
    """A machine on which nothing can be read or modelled."""
    run = LiveRun(path, world, (), run_key="f-nothing", command=("python", "infer.py"))
    run.go(20, {})
    run.end()


def modelled(path: Path, world: World, key: str = "g-modelled", cpu_s: float = 100.0) -> None:
    """A cloud machine: a model of the CPU, and CPU time."""
    run = LiveRun(path, world, (MODEL,), run_key=key, command=("python", "prep.py"))
    run.go(60, {MODEL.key: 33.0})
    run.end(job_cpu_us=round(cpu_s * 1e6), job_cpu_method="tree")


def ten_hours(path: Path, world: World) -> None:
    """A sample every 30 s for ten hours, twenty epochs, a machine that slept on the way."""
    run = LiveRun(
        path, world, (GPU, CPU), run_key="h-long", command=("python", "pretrain.py"),
        interval_ns=30 * SECOND,
    )  # fmt: skip
    for epoch in range(20):
        token = run.journal.phase_began(PID, "epoch", world.mono_ns(), number=epoch)
        for step in range(60):
            world.second += 29
            run.energy_uj[GPU.key] += round(29e6 * wave(step, 200, 400, 60))
            run.energy_uj[CPU.key] += round(29e6 * 80)
            run.go(1, {GPU.key: wave(step, 200, 400, 60), CPU.key: 80.0})
        run.journal.phase_ended(token, world.mono_ns())
        if epoch == 9:
            now = world.mono_ns()
            run.journal.event("suspended", "", t_mono_ns=now, since_mono_ns=now)
    run.end(suspended_ns=1800 * SECOND)


def eight_gpus(path: Path, world: World, *, lost: bool = True) -> None:
    """Eight GPUs of which one was lost on the way; the job went on."""
    gpus = [
        device(
            f"nvidia:GPU-{i}", domain="gpu", name=f"H100 {i}", boundary="board", source="nvml",
            power_limit_w=700.0,
        )
        for i in range(8)
    ]  # fmt: skip
    run = LiveRun(
        path, world, (*gpus, CPU), run_key="i-eight", command=("torchrun", "train.py"),
    )  # fmt: skip
    everyone = {g.key: 400.0 + 20 * i for i, g in enumerate(gpus)} | {CPU.key: 100.0}
    run.go(60, everyone)
    if lost:
        run.journal.event(
            "gap", "lost", t_mono_ns=world.mono_ns() + SECOND, since_mono_ns=world.mono_ns(),
            handle=run.handles[gpus[5].key], energy_missing=True, detail=f"{gpus[5].key}: Xid 79",
        )  # fmt: skip
        del everyone[gpus[5].key]
    run.go(60, everyone)
    if lost:
        run.journal.event(
            "gap_end", "lost", t_mono_ns=world.mono_ns(),
            since_mono_ns=world.mono_ns() - 60 * SECOND, handle=run.handles[gpus[5].key],
            energy_missing=True,
        )  # fmt: skip
    run.end()


def imported(path: Path) -> None:
    """A run that codecarbon recorded."""
    row = EmissionsRow(
        line=1, run_id="cc-1", project="old-training", ended_utc_s=1_735_700_000.0,
        duration_s=600.0,
        cpu_j=30_000.0, gpu_j=90_000.0, ram_j=6_000.0, version="2.8.3", tracking_mode="machine",
        cpu_model="Intel Xeon", cpu_count=16, gpu_model="1 x A100", os="Linux", pue=1.0,
        country="France", country_iso3="FRA", g_per_kwh=56.0,
    )  # fmt: skip
    connection = open_ledger(str(path), create=False)
    import_rows(connection, [row], SETTINGS)
    connection.close()


def running(path: Path, world: World) -> LiveRun:
    """A run that goes on, in its second phase."""
    run = LiveRun(path, world, (GPU, CPU), run_key="z-running", command=TRAIN)
    load = run.journal.phase_began(PID, "load", world.mono_ns())
    run.go(20, {GPU.key: 40.0, CPU.key: 90.0})
    run.journal.phase_ended(load, world.mono_ns())
    run.journal.phase_began(PID, "train", world.mono_ns())
    run.go(39, {GPU.key: 230.0, CPU.key: 60.0})
    now = world.mono_ns()
    run.journal.usage(now, 75 * 10**6, 80 * 10**6)
    rows = [(PID + i, 9000 + i, "python", 1, now - 58 * SECOND, now, None, 10**6 * c)
            for i, c in enumerate((55, 18))]  # fmt: skip
    run.journal.processes(rows, [])
    run.go(1, {GPU.key: 230.0, CPU.key: 60.0})
    return run


def every_kind(path: Path) -> World:
    """All of them, a day's worth; the clock stands at the end of the last one."""
    world = World()
    trained(path, world, "a-older", watts=300.0, commit=OLDER)
    for write in (failed, killed):
        _later(world)
        write(path, world)
    for machine_too in (True, False):
        _later(world)
        died(path, world, machine_too=machine_too)
    for write in (without_sensors, modelled, ten_hours, eight_gpus):
        _later(world)
        write(path, world)
    imported(path)
    _later(world)
    trained(path, world, "j-newer")
    _later(world)
    running(path, world)
    return world


def _later(world: World) -> None:
    world.second += 600
