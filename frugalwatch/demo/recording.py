"""The recording that `frugalwatch demo` plays; `tools/make_demo.py` made it from a script."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from collectors.base import Device

_FILE = os.path.join(os.path.dirname(__file__), "recording.json")
SOURCE = "scripted"

_DEVICES = {
    "gpu0": Device(
        "demo:gpu0", "gpu", "GPU 0", "measured", "board", SOURCE, gain_low=0.94, gain_high=1.06
    ),
    "gpu1": Device(
        "demo:gpu1", "gpu", "GPU 1", "measured", "board", SOURCE, gain_low=0.94, gain_high=1.06
    ),
    "cpu": Device("demo:cpu", "cpu", "CPU package", "measured", "die", SOURCE),
    "ram": Device("demo:ram", "ram", "RAM", "estimated", "board", SOURCE),
}
# The one device that stands for a model; the band that an uncalibrated model has.
MODEL_BAND = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run. Mean watts of each device in each interval; None where it could not be read.

    `hours_ago` is when it began, None for the run that plays. `temperature_c` has pairs of a second
    and a temperature. `steps_per_s` holds outside of the last `evaluation_s` of each epoch.
    """

    command: tuple[str, ...]
    hours_ago: float | None
    interval_s: int
    lasts_s: int
    exit_code: int
    exit_signal: int
    epochs: int
    epoch_s: int
    evaluation_s: int
    steps_per_s: float
    lost: Mapping[str, str]
    power_w: Mapping[str, Sequence[float | None]]
    clock_hz: Mapping[str, float]
    temperature_c: Mapping[str, Sequence[tuple[int, float]]]

    def steps_at(self, second: float) -> int:
        """Steps done in the first so many seconds."""
        epochs, rest_s = divmod(second, self.epoch_s)
        training_s = self.epoch_s - self.evaluation_s
        return int(self.steps_per_s * (epochs * training_s + min(rest_s, training_s)))


@dataclass(frozen=True, slots=True)
class Recording:
    """Every run of the recording. `notice` says where it comes from."""

    notice: str
    devices: Mapping[str, Device]
    history: Sequence[RecordedRun]
    playing: RecordedRun


def read_recording(path: str = _FILE) -> Recording:
    """The recording that is shipped with the package. Raises OSError, ValueError or LookupError."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    runs = [RecordedRun(**{**run, "command": tuple(run["command"])}) for run in document["runs"]]
    limits = document["limits_w"]
    (playing,) = (run for run in runs if run.hours_ago is None)
    return Recording(
        notice=document["notice"],
        devices={
            name: device._replace(power_limit_w=limits.get(name))
            for name, device in _DEVICES.items()
        },
        history=[run for run in runs if run.hours_ago is not None],
        playing=playing,
    )
