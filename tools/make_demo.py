"""Writes frugalwatch/demo/recording.json, which `frugalwatch demo` plays; a test tells stale ones.

.venv/bin/python tools/make_demo.py                 --print: to stdout instead

The scripted devices of `collectors/fake.py` are read on a clock of their own, as the sampler would
read real ones; what they answered is the recording. Nothing in it was measured on any machine.
"""

from __future__ import annotations

import json
import random
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from collectors.base import Condition, Gap, Reading  # noqa: E402
from collectors.fake import FakeCollector, FakeDevice, Levels  # noqa: E402
from collectors.host import Host  # noqa: E402

PAGE = ROOT / "frugalwatch" / "demo" / "recording.json"
NOTICE = "Scripted for `frugalwatch demo` by tools/make_demo.py; measured on no machine."

EPOCH_S, EVALUATION_S, STEPS_S = 150, 20, 12
CONDITION_S = 5
GPU_LIMIT_W, CPU_LIMIT_W = 350.0, 125.0


@dataclass(frozen=True)
class Job:
    """A run to record. `share` scales the GPUs' power; without `hours_ago` it plays now."""

    command: tuple[str, ...]
    epochs: int
    hours_ago: float | None
    interval_s: int = 10
    share: float = 1.0
    pace: float = 1.0
    exit_code: int = 0
    exit_signal: int = 0
    cut_s: int | None = None
    lost_after_s: int | None = None

    @property
    def epoch_s(self) -> int:
        """Seconds of one epoch, its evaluation included."""
        return round(EPOCH_S / self.pace)

    @property
    def lasts_s(self) -> int:
        """Seconds of the whole run."""
        lasts_s = self.cut_s or self.epochs * self.epoch_s
        return lasts_s - lasts_s % self.interval_s


TRAIN = ("python", "train.py", "--epochs", "8")
BF16 = (*TRAIN, "--precision", "bf16")
LONG = ("torchrun", "pretrain.py", "--steps", "400000")
JOBS = (
    Job(TRAIN, 8, None, interval_s=1),
    Job(LONG, 240, 171.0, interval_s=120, share=0.92),
    Job(TRAIN, 8, 146.5),
    Job(TRAIN, 8, 122.2, share=1.02),
    Job(("python", "evaluate.py", "--split", "test"), 1, 99.0, cut_s=210, share=0.55),
    Job((*TRAIN[:2], "--batch", "4096"), 8, 76.0, cut_s=38, exit_code=1, interval_s=1),
    Job(TRAIN, 8, 74.6, share=0.99),
    Job(BF16, 8, 52.0, share=0.9, pace=1.32),
    Job(BF16, 8, 50.8, share=0.91, pace=1.31),
    Job((*TRAIN[:2], "--epochs", "40"), 40, 29.5, interval_s=30, lost_after_s=2710, cut_s=2900,
        exit_code=1),
    Job(("python", "sweep.py"), 8, 27.0, cut_s=431, exit_code=137, exit_signal=9),
    Job(BF16, 8, 5.2, share=0.905, pace=1.33),
    Job(("python", "evaluate.py", "--split", "test"), 1, 2.1, cut_s=205, share=0.54),
)  # fmt: skip


def devices(job: Job, chance: random.Random) -> tuple[FakeDevice, ...]:
    """Two GPUs, a processor and its memory, with a training loop's rhythm."""
    gpu, cpu, ram = [], [], []
    for second in range(0, job.lasts_s, job.interval_s):
        in_epoch = second % job.epoch_s
        evaluating = in_epoch >= job.epoch_s - EVALUATION_S
        loading = in_epoch < 4 or (in_epoch % 37 < 3 and not evaluating)
        level_w = 118.0 if loading else 172.0 if evaluating else 271.0
        step_s = float(job.interval_s)
        gpu.append((step_s, level_w * job.share + chance.uniform(-7, 7)))
        cpu.append((step_s, (88.0 if evaluating or loading else 57.0) + chance.uniform(-4, 4)))
        ram.append((step_s, 9.0 + (2.5 if loading else 0.0)))
    other = [(seconds, watts * 0.985 + chance.uniform(-5, 5)) for seconds, watts in gpu]
    return (
        FakeDevice("gpu0", Levels(tuple(gpu)), "gpu", warms_c_per_w=0.145, clock_hz=1.755e9),
        FakeDevice(
            "gpu1",
            Levels(tuple(other)),
            "gpu",
            warms_c_per_w=0.152,
            clock_hz=1.74e9,
            lost_after_s=job.lost_after_s,
        ),
        FakeDevice("cpu", Levels(tuple(cpu)), "cpu", warms_c_per_w=0.34, clock_hz=3.42e9),
        FakeDevice("ram", Levels(tuple(ram)), "ram"),
    )


def record(job: Job, number: int) -> dict[str, object]:
    """One run: mean watts of each device in each interval, null where it could not be read."""
    chance = random.Random(number)
    now_s = 0.0
    scripted = devices(job, chance)
    source = FakeCollector(Host(clock_ns=lambda: round(now_s * 1e9)), scripted)
    source.probe()
    power_w: dict[str, list[float | None]] = {device.name: [] for device in scripted}
    last_uj = dict.fromkeys(power_w, 0)
    seen: dict[str, list[list[float | None]]] = {device.name: [] for device in scripted}
    lost: dict[str, str] = {}
    for second in range(job.interval_s, job.lasts_s + 1, job.interval_s):
        now_s = float(second)
        for answer in source.read():
            name = answer.device.removeprefix("fake:")
            if isinstance(answer, Reading):
                used_uj = answer.energy_uj - last_uj[name]
                last_uj[name] = answer.energy_uj
                watts = used_uj / 1e6 / job.interval_s
                power_w[name].append(round(watts, 1) if job.hours_ago is None else round(watts))
            elif isinstance(answer, Gap):
                power_w[name].append(None)
                lost[name] = answer.cause
        if second % max(CONDITION_S, job.interval_s) == 0:
            for one in source.conditions():
                assert isinstance(one, Condition)
                row = [second, one.temperature_c]
                seen[one.device.removeprefix("fake:")].append(row)
    return {
        "command": list(job.command),
        "hours_ago": job.hours_ago,
        "interval_s": job.interval_s,
        "lasts_s": job.lasts_s,
        "exit_code": job.exit_code,
        "exit_signal": job.exit_signal,
        "epochs": job.epochs,
        "epoch_s": job.epoch_s,
        "evaluation_s": EVALUATION_S,
        "steps_per_s": round(STEPS_S * job.pace, 2),
        "lost": lost,
        "power_w": power_w,
        "clock_hz": {d.name: d.clock_hz for d in scripted if d.clock_hz is not None},
        "temperature_c": {name: rows for name, rows in seen.items() if rows},
    }


def recording() -> str:
    """The whole file."""
    runs = ",\n".join(
        "{" + ",\n ".join(f"{json.dumps(k)}:{_packed(v)}" for k, v in run.items()) + "}"
        for run in (record(job, number) for number, job in enumerate(JOBS))
    )
    return (
        f'{{"schema":"frugalwatch.demo/1",\n"notice":{json.dumps(NOTICE)},\n'
        f'"limits_w":{_packed({"gpu0": GPU_LIMIT_W, "gpu1": GPU_LIMIT_W, "cpu": CPU_LIMIT_W})},\n'
        f'"runs":[\n{runs}\n]}}\n'
    )


def _packed(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    if "--print" in sys.argv:
        sys.stdout.write(recording())
    else:
        PAGE.write_text(recording(), encoding="utf-8")
