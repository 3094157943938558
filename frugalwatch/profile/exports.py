"""Profiles in the formats of other people's viewers."""

from __future__ import annotations

import json

from frugalwatch.profile.document import Profile
from frugalwatch.profile.recorded import Frame
from frugalwatch.profile.tree import Amount


def weight_of(profile: Profile) -> tuple[str, str]:
    """What widths stand for: the attribute of an amount, and its unit."""
    kind = profile.document["energy_kind"]
    if kind == "measured":
        return "energy_j", "J"
    if kind == "estimated":
        return "estimated_j", "J"
    return "cpu_s", "s"


def weigh(profile: Profile, amount: Amount) -> float:
    """Joules of an amount; its CPU seconds where nothing of energy was recorded."""
    return float(getattr(amount, weight_of(profile)[0]))


def collapsed(profile: Profile) -> str:
    """Stacks as `a;b;c 123`, one a line, in whole micro-joules (micro-seconds without energy).

    The format of Brendan Gregg's flamegraph.pl, which inferno, speedscope and others read.
    """
    lines = []
    for stack in profile.root.walk():
        weight = round(weigh(profile, stack[-1].own) * 1e6)
        if weight > 0:
            names = [_name(node.frame) for node in stack[1:]] or ["all"]
            lines.append(f"{';'.join(names)} {weight}\n")
    return "".join(sorted(lines))


def _name(frame: Frame) -> str:
    name = frame.function.replace(";", ":").replace("\n", " ")
    return f"{name} ({frame.filename}:{frame.line})" if frame.filename else name


def speedscope(profile: Profile) -> str:
    """The profile for https://www.speedscope.app, which opens it in the browser alone.

    Its format knows no joules: with energy, the unit is `none` and a weight of 1 is 1 mJ.
    """
    _, unit = weight_of(profile)
    scale = 1e3 if unit == "J" else 1.0
    index: dict[Frame, int] = {}
    frames: list[dict[str, object]] = []
    samples: list[list[int]] = []
    weights: list[float] = []
    for stack in profile.root.walk():
        weight = weigh(profile, stack[-1].own) * scale
        if weight <= 0:
            continue
        sample = []
        for node in stack[1:]:
            frame = node.frame
            if frame not in index:
                index[frame] = len(frames)
                entry: dict[str, object] = {"name": frame.function}
                if frame.filename:
                    entry |= {"file": frame.filename, "line": frame.line}
                frames.append(entry)
            sample.append(index[frame])
        samples.append(sample)
        weights.append(weight)
    document = profile.document
    name = " ".join(document["command"])
    return json.dumps(
        {
            "$schema": "https://www.speedscope.app/file-format-schema.json",
            "exporter": "frugalwatch",
            "name": f"run {document['number']}: {name}",
            "activeProfileIndex": 0,
            "shared": {"frames": frames},
            "profiles": [
                {
                    "type": "sampled",
                    "name": "energy (mJ)" if unit == "J" else "CPU time",
                    "unit": "none" if unit == "J" else "seconds",
                    "startValue": 0,
                    "endValue": sum(weights),
                    "samples": samples,
                    "weights": weights,
                }
            ],
        }
    )
