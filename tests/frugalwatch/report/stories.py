"""The runs whose summaries are kept as golden files: one of each kind of machine and end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from frugalwatch.carbon.grid import resolve_or_world
from frugalwatch.carbon.live_value import LiveValue, live_factor
from frugalwatch.config.settings import Settings
from tests.frugalwatch.report.inside_kit import Inside
from tests.frugalwatch.report.kit import CORE, DRAM, GPU, GPU_KEY, MODEL, PACKAGE, PSYS, Story

_COMMAND = {"command": ("python", "train.py", "--epochs", "10")}
EVERY_SECOND = tuple(float(s) for s in range(61))


def measured(path: Path) -> dict[str, Any]:
    """GPU, CPU and RAM with counters, a price and a zone; the machine is the job's own."""
    story = Story(path, seconds=4350, start=_COMMAND)
    story.reads(PACKAGE._replace(idle_w=20.0, idle_low_w=19.0, idle_high_w=21.0), 58)
    story.reads(CORE, 40).reads(DRAM._replace(idle_w=3.0), 13).reads(PSYS, 120)
    story.reads(GPU._replace(idle_w=50.0), 225, times=(0.2, 2, 3, 4350.002))
    story.gpu_use(GPU_KEY, 0.2, 0, 0).gpu_use(GPU_KEY, 4350, 4000, 4000)
    return story.ends(cpu_s=6400, busy_s=6500).settled(zone="DE", price_per_kwh=0.34)


def cloud(path: Path) -> dict[str, Any]:
    """A virtual machine without counters, no zone set."""
    story = Story(path, start=_COMMAND).reads(MODEL, 6.2, spread=(0.5, 2))
    return story.ends(cpu_s=80, busy_s=82).settled()


def cloud_failed(path: Path) -> dict[str, Any]:
    """The same, and the job failed after four seconds."""
    story = Story(path, seconds=4.2, start=_COMMAND).reads(MODEL, 6.2, spread=(0.5, 2))
    return story.ends(cpu_s=3.1, busy_s=3.2, exit_code=1).settled(zone="DE")


def killed(path: Path) -> dict[str, Any]:
    """Killed by a signal."""
    story = Story(path, start=_COMMAND).reads(PACKAGE, 58).reads(DRAM, 13)
    return story.ends(state="killed", exit_code=137, exit_signal=9).settled(zone="FR")


def lost_gpu(path: Path) -> dict[str, Any]:
    """A GPU that fell off the bus half-way."""
    story = Story(path, start=_COMMAND).reads(PACKAGE, 58).reads(GPU, 225, times=(0, 10, 30))
    story.gap(GPU_KEY, 30, 60, "lost", "GPU is lost")
    story.gpu_use(GPU_KEY, 0, 0, 0).gpu_use(GPU_KEY, 29, 28, 28)
    return story.ends().settled(zone="FR")


def noisy(path: Path) -> dict[str, Any]:
    """Others used the machine as well."""
    story = Story(path, start=_COMMAND).reads(PACKAGE, 58).reads(DRAM, 13)
    return story.ends(cpu_s=12, busy_s=110).settled(zone="FR")


def noisy_cloud(path: Path) -> dict[str, Any]:
    """Others used the machine as well, and it has no counters."""
    story = Story(path, start=_COMMAND).reads(MODEL, 6.2, spread=(0.5, 2))
    return story.ends(cpu_s=12, busy_s=110).settled(zone="FR")


def steps(path: Path) -> dict[str, Any]:
    """A job that reports steps, phases and metrics."""
    story = Story(path, start=_COMMAND).reads(PACKAGE, 58, times=EVERY_SECOND)
    story.reads(GPU._replace(origin="derived", source="NVML power"), 225, times=EVERY_SECOND)
    story.gpu_use(GPU_KEY, 0, 0, 0).gpu_use(GPU_KEY, 60, 55, 55)
    for epoch in range(2):
        story.phase("epoch", 30 * epoch, 30 * epoch + 30, number=epoch)
        story.phase("load", 30 * epoch, 30 * epoch + 0.4, depth=1)
        story.journal.metric(7, story.at(30 * epoch + 30), "accuracy", 0.9 + epoch / 100)
    story.journal.metric(7, story.at(60), "loss", float("nan"))
    for second in (1, 31, 59):
        story.journal.step(7, story.at(second), second * 20)
    return story.ends().settled(zone="FR")


def inside(path: Path) -> dict[str, Any]:
    """Two ranks in which the hook works: steps, batches, waiting; one of its parts failed."""
    story = Story(path, start=_COMMAND)
    story.reads(PACKAGE._replace(idle_w=20.0), 58, times=EVERY_SECOND)
    story.reads(DRAM._replace(idle_w=3.0), 13, times=EVERY_SECOND)
    story.reads(GPU, 225, times=EVERY_SECOND)
    story.gpu_use(GPU_KEY, 0, 0, 0).gpu_use(GPU_KEY, 60, 55, 55)
    for rank in range(2):
        process = Inside(story, 100 + rank, rank=rank, world_size=2)
        process.count("step", {4.2: 1, 30: 510, 59: 1090}).times("step", 59, {870: 1000, 900: 89})
        process.count("batch", {4.1: 1, 30: 511, 59: 1091}, samples_each=32)
        for second in range(4, 60):
            process.spent(second, data_wait=0.4 * (second - 4), optimizer=0.1 * (second - 4))
    story.process(90, "torchrun", 0.4, (1, 60)).process(0, "", 0.9, (2, 50), gone=51, count=70)
    story.process(100, "python", 52, (1, 60), gpu_s=41).process(
        101, "python", 55, (1, 60), gpu_s=14
    )
    story.journal.event("hook_problem", "transformers", t_mono_ns=story.at(2), detail="no Trainer")
    story.journal.event("hook_note", t_mono_ns=story.at(2), detail="the model is compiled")
    return story.ends(cpu_s=110, busy_s=112).settled(zone="FR")


def inside_cloud(path: Path) -> dict[str, Any]:
    """The hook on a machine without counters: CPU seconds are measured, joules modelled."""
    story = Story(path, start=_COMMAND).reads(MODEL, 6.2, spread=(0.5, 2), times=EVERY_SECOND)
    for second in range(61):
        story.journal.usage(story.at(second), second * 1_300_000, second * 1_350_000)
    story.process(7, "python", 71, (1, 60)).process(8, "pt_data_worker", 8.5, (2, 58), gone=59)
    process = Inside(story).count("step", {4.2: 1, 30: 510, 59: 1090})
    process.spent(4, data_wait=0.0, optimizer=0.0).spent(59, data_wait=40.0, optimizer=0.001)
    return story.ends(cpu_s=80, busy_s=82).settled(zone="DE")


def inside_silent(path: Path) -> dict[str, Any]:
    """A Python program in which no hook could work."""
    story = Story(path, start={"command": ("python", "-I", "train.py")}).reads(PACKAGE, 58)
    story.journal.event("no_hook", "-I", t_mono_ns=story.at(60), detail="python -I was used")
    return story.ends().settled(zone="FR")


def compared(path: Path) -> dict[str, Any]:
    """Three runs of this commit beside three of the one before."""
    for number, power_w in enumerate((58, 60, 57, 47, 48, 47)):
        start = {**_COMMAND, "run_key": f"run-{number}", "git_commit": f"c{number // 3}"}
        story = Story(path, start=start).reads(PACKAGE, power_w).reads(DRAM, 13)
        run = story.ends().settled(zone="FR")
    return run


def live_grid(path: Path) -> dict[str, Any]:
    """A grid service's value for the time of the run."""
    story = Story(path, start=_COMMAND).reads(PACKAGE, 58).reads(DRAM, 13).ends()
    values = [
        LiveValue(
            zone="GB",
            g_per_kwh=g_per_kwh,
            kind="average-direct",
            source="uk-carbon-intensity",
            attribution="Carbon Intensity API, NESO, CC BY 4.0",
            estimated=False,
            valid_utc_ns=1_735_689_600_000_000_000,
            until_utc_ns=1_735_691_400_000_000_000,
            fetched_utc_ns=1_735_689_600_000_000_000,
        )
        for g_per_kwh in (184.0, 203.0)
    ]
    table, _ = resolve_or_world(Settings(zone="GB"))
    return story.settled(live_factor([(value, 1.0) for value in values], table), zone="GB")


def embodied(path: Path) -> dict[str, Any]:
    """Making the hardware stands beside the operational carbon."""
    story = Story(path, seconds=4350, start=_COMMAND).reads(PACKAGE, 58).reads(DRAM, 13)
    return story.ends(cpu_s=6400, busy_s=6500).settled(
        zone="DE", pue=1.3, embodied="server-rack + 8*gpu-h100-sxm-80gb", embodied_share=0.25
    )


def nothing(path: Path) -> dict[str, Any]:
    """No source, no model."""
    return Story(path, start=_COMMAND).ends(cpu_s=None, busy_s=None).settled()


def many_troubles(path: Path) -> dict[str, Any]:
    """Warnings, four of which are told, and a long command with odd characters."""
    command = ("python", "train.py", "--name", "it's\x1b[31m", "--a-long-option", "x" * 60)
    story = Story(path, seconds=0.02, start={"command": command}).reads(PACKAGE, 58)
    story.gap(PACKAGE.key, 0.005, 0.01, "reset", "the counter fell by 12 J, which no wrap explains")
    for kind, cause, detail in (
        ("suspended", "", "the machine slept for 12 s"),
        ("clock_step", "", "the wall clock went back by 3600 s"),
        ("processes_left", "", "2 processes of the job went on: sh (123), python (124)"),
        ("work_elsewhere", "docker", "work ran outside this process tree: docker run"),
        ("notice", "", "only in show"),
    ):
        story.journal.event(kind, cause, t_mono_ns=story.at(0.02), detail=detail)
    return story.ends(cpu_s=0.001, busy_s=0.001, state="done").settled(zone="FR")


def budgets(path: Path) -> dict[str, Any]:
    """A price and a zone; one budget kept, one passed, one that ended the job; two alerts."""
    story = Story(path, start=_COMMAND).reads(PACKAGE, 58).reads(DRAM, 13)
    for kind, cause, second, detail in (
        ("budget", "2EUR", 0, "judged by 0.34 EUR/kWh"),
        ("budget_term", "1Wh", 0, "judged by the energy of the devices while the job ran"),
        ("budget_term", "200mgCO2e", 0, "judged by 40 g CO2e/kWh"),
        ("alert_set", "p95>200ms", 0, ""),
        ("alert_set", "metric(loss)>2", 0, ""),
        ("budget_passed", "1Wh", 51, "1.00 Wh after 51 s"),
        ("budget_exceeded", "1Wh", 51, "1.00 Wh after 51 s"),
        ("job_signalled", "SIGTERM", 51.01, "SIGTERM was sent to the job"),
        ("alert", "p95>200ms", 20, "p95 is 0.23 s, over 412 requests in 20 s"),
        ("alert_over", "p95>200ms", 40, "p95 is 0.12 s, over 600 requests in 60 s"),
        ("alert_unjudged", "metric(loss)>2", 60, "the job reported no such metric"),
    ):
        story.journal.event(kind, cause, t_mono_ns=story.at(second), detail=detail)
    story.ends(state="killed", exit_code=143, exit_signal=15)
    return story.settled(zone="FR", price_per_kwh=0.34)


STORIES: dict[str, Callable[[Path], dict[str, Any]]] = {
    story.__name__: story
    for story in (
        measured,
        cloud,
        cloud_failed,
        killed,
        lost_gpu,
        noisy,
        noisy_cloud,
        steps,
        inside,
        inside_cloud,
        inside_silent,
        compared,
        live_grid,
        embodied,
        nothing,
        many_troubles,
        budgets,
    )
}
