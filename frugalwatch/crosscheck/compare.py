"""One window, measured by us and by every other tracker that is installed, and what differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.base import Collector, Device
from collectors.calibration import Calibration
from collectors.cpu_identity import read_cpu_identity
from collectors.host import Host
from collectors.limits import read_limits
from frugalwatch.config.settings import Settings
from frugalwatch.crosscheck.causes import Situation, causes_of
from frugalwatch.crosscheck.tracker_process import Absent, Opinion, TrackerProcess, script
from frugalwatch.meter import DeviceEnergy, Meter, hardware

SCHEMA = "frugalwatch.crosscheck/1"


@dataclass(frozen=True, slots=True)
class Part:
    """Our mean watts of one part of the machine with bounds, and how they are known."""

    name: str
    watts: float
    low_w: float
    high_w: float
    origin: str
    source: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same part seen by us and by another tracker. `ratio` is theirs over ours."""

    part: str
    tracker: str
    our_w: float
    their_w: float
    ratio: float | None
    inside_bounds: bool


@dataclass(frozen=True, slots=True)
class CrosscheckResult:
    """A cross-check: our parts, the others' opinions, who is missing, and why they differ."""

    seconds: float
    ours: tuple[DeviceEnergy, ...]
    parts: tuple[Part, ...]
    opinions: tuple[Opinion, ...]
    absent: tuple[Absent, ...]
    comparisons: tuple[Comparison, ...]
    causes: tuple[str, ...]


def trackers(country_iso3: str = "") -> list[TrackerProcess]:
    """The other trackers that this program knows. A country is passed on, never guessed."""
    arguments = [country_iso3] if country_iso3 else []
    return [
        TrackerProcess("pyRAPL", script("child_pyrapl.py"), module="pyRAPL"),
        TrackerProcess("codecarbon", script("child_codecarbon.py"), arguments, module="codecarbon"),
    ]


def run_crosscheck(
    seconds: float,
    host: Host,
    *,
    settings: Settings | None = None,
    calibration: Calibration | None = None,
    collectors: Sequence[Collector] | None = None,
    models: Callable[[Sequence[Device]], Sequence[Collector]] | None = None,
    others: Sequence[TrackerProcess] | None = None,
    progress: Callable[[str], None] = lambda _text: None,
) -> CrosscheckResult:
    """Measure one window of `seconds` with our collectors and with every other tracker there is.

    `settings` and `calibration` are those of a run on this machine. `collectors` are our sources
    (default: the hardware that a run would read), `models` gives what stands in for parts that they
    leave out (default: the CPU and memory models as a run would use them), `others` the trackers to
    ask (default: pyRAPL and codecarbon). An absent tracker is part of the result.
    """
    settings = settings or Settings()
    waiting = list(others if others is not None else trackers())
    absent: list[Absent] = []
    opinions: list[Opinion] = []
    try:
        present = [t for t in waiting if not _missing(t.launch(), absent)]
        ours = hardware(host, settings.sources_off) if collectors is None else collectors
        stand_ins = models or _models_for(host, settings, calibration)
        with Meter(ours) as meter:
            for model in stand_ins(list(meter.devices.values())):
                meter.add(model)
            if present:
                progress(f"waiting for {', '.join(t.name for t in present)} to load")
            present = [t for t in present if not _missing(t.wait_ready(), absent)]
            progress(f"measuring for {seconds:g} s")
            for tracker in present:
                tracker.start()
            window = meter.window(seconds)
            for tracker in present:
                tracker.stop()
            for tracker in present:
                answer = tracker.opinion()
                if isinstance(answer, Opinion):
                    opinions.append(answer)
                else:
                    absent.append(answer)
    finally:
        for tracker in waiting:
            tracker.close()
    parts = our_parts(window.devices)
    identity = read_cpu_identity(host)
    situation = Situation(
        seconds=window.seconds,
        devices=tuple(energy.device for energy in window.devices),
        limits=read_limits(host, identity.threads if identity else None),
        identity=identity,
        lost=tuple(
            f"{energy.device.key}: {', '.join(energy.missing)}"
            for energy in window.devices
            if energy.missing
        ),
    )
    return CrosscheckResult(
        seconds=window.seconds,
        ours=window.devices,
        parts=parts,
        opinions=tuple(opinions),
        absent=tuple(absent),
        comparisons=tuple(c for o in opinions for c in compare(parts, o)),
        causes=causes_of(situation, opinions),
    )


def our_parts(devices: Sequence[DeviceEnergy]) -> tuple[Part, ...]:
    """Our devices summed to CPU, RAM and GPU; a CPU figure with memory inside is "CPU and RAM"."""
    found: list[Part] = []
    for domain, name in (("cpu", "CPU"), ("ram", "RAM"), ("gpu", "GPU")):
        own = [
            energy
            for energy in devices
            if energy.device.domain == domain
            and energy.device.part_of is None
            and energy.watts is not None
        ]
        if not own:
            continue
        whole = any("ram" in energy.device.encloses for energy in own)
        origins = sorted({energy.device.origin for energy in own})
        found.append(
            Part(
                name="CPU and RAM" if whole else name,
                watts=sum(energy.watts or 0.0 for energy in own),
                low_w=sum((energy.low_j or 0.0) / energy.seconds for energy in own),
                high_w=sum((energy.high_j or 0.0) / energy.seconds for energy in own),
                origin=origins[0] if len(origins) == 1 else "mixed",
                source=own[0].device.source,
            )
        )
    return tuple(found)


def compare(parts: Sequence[Part], opinion: Opinion) -> list[Comparison]:
    """Our parts beside the same parts of one opinion, where it says something of them."""
    theirs = {
        "CPU": opinion.watts(opinion.cpu_j),
        "RAM": opinion.watts(opinion.ram_j),
        "GPU": opinion.watts(opinion.gpu_j),
        "CPU and RAM": None,
    }
    cpu_w, ram_w = theirs["CPU"], theirs["RAM"]
    if cpu_w is not None and ram_w is not None:
        theirs["CPU and RAM"] = cpu_w + ram_w
    found = []
    for part in parts:
        their_w = theirs[part.name]
        if their_w is not None:
            found.append(
                Comparison(
                    part=part.name,
                    tracker=opinion.name,
                    our_w=part.watts,
                    their_w=their_w,
                    ratio=their_w / part.watts if part.watts > 0 else None,
                    inside_bounds=part.low_w <= their_w <= part.high_w,
                )
            )
    return found


def as_json(result: CrosscheckResult) -> dict[str, object]:
    """The result as `frugalwatch.crosscheck/1`, SI units in key names."""
    return {
        "schema": SCHEMA,
        "made_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": result.seconds,
        "devices": [
            {
                "device": energy.device.key,
                "domain": energy.device.domain,
                "origin": energy.device.origin,
                "boundary": energy.device.boundary,
                "energy_j": energy.energy_j,
                "low_j": energy.low_j,
                "high_j": energy.high_j,
                "source": energy.device.source,
                "part_of": energy.device.part_of,
            }
            for energy in result.ours
        ],
        "opinions": [
            {
                "tracker": opinion.name,
                "version": opinion.version,
                "seconds": opinion.seconds,
                "cpu_j": opinion.cpu_j,
                "ram_j": opinion.ram_j,
                "gpu_j": opinion.gpu_j,
                "details": dict(opinion.details),
            }
            for opinion in result.opinions
        ],
        "absent": [
            {"tracker": gone.name, "reason": gone.reason, "remedy": gone.remedy}
            for gone in result.absent
        ],
        "comparisons": [
            {
                "part": c.part,
                "tracker": c.tracker,
                "our_w": c.our_w,
                "their_w": c.their_w,
                "ratio": c.ratio,
                "inside_our_bounds": c.inside_bounds,
            }
            for c in result.comparisons
        ],
        "causes": list(result.causes),
    }


def _models_for(
    host: Host, settings: Settings, calibration: Calibration | None
) -> Callable[[Sequence[Device]], Sequence[Collector]]:
    def models(devices: Sequence[Device]) -> Sequence[Collector]:
        from collectors.cpu_model import cpu_model_collector
        from collectors.ram_model import ram_model_collector, ram_needs_model

        covered = {domain for device in devices for domain in (device.domain, *device.encloses)}
        if "cpu" not in covered and "cpu_model" not in settings.sources_off:
            return [cpu_model_collector(host, settings.cpu_model, calibration)]
        if ram_needs_model(devices) and "ram_model" not in settings.sources_off:
            return [ram_model_collector(host)]
        return []

    return models


def _missing(gone: Absent | None, absent: list[Absent]) -> bool:
    if gone is not None:
        absent.append(gone)
    return gone is not None
