"""An examination as a person reads it: the answer first, then each source with its remedy."""

from __future__ import annotations

import textwrap

from collectors.base import Device
from frugalwatch.doctor.examine import Examination, SourceFound
from frugalwatch.report.style import Style

_WIDTH = 78
_NAME = 11
_TEXT = 2 + _NAME + 8
_UNVERIFIED = "unverified on hardware"


def as_text(examination: Examination, style: Style, *, whole: bool) -> str:
    """At most 78 columns; `whole` adds the machine, the verdict and the checks."""
    lines: list[str] = []
    if whole:
        lines += [style.bold("Machine"), *_machine(examination), ""]
        lines += [style.bold(_verdict(examination)), ""]
    lines.append(style.bold("Sources"))
    for source in examination.sources:
        lines += _source(source, style)
    if whole:
        if examination.models:
            lines += ["", style.bold("Models, where no source answers")]
            for model in examination.models:
                lines += _source(model, style)
        lines += ["", style.bold("Checks")]
        for check in examination.checks:
            mark = "ok  " if check.ok else "note"
            lines += _wrapped(f"  {mark}  {check.name}: {check.detail}", 8)
            if check.remedy:
                lines += _wrapped(f"        hint: {check.remedy}", 14)
    return "\n".join(lines)


def _machine(examination: Examination) -> list[str]:
    cores = f"{examination.cores} cores, " if examination.cores else ""
    return _wrapped(
        f"  {examination.host}: {examination.cpu}, {cores}{examination.threads} threads,"
        f" {examination.memory_bytes / 2**30:.0f} GiB",
        2,
    )


def _verdict(examination: Examination) -> str:
    measured = {d.domain for s in examination.sources for d in s.devices if d.part_of is None}
    names = {"cpu": "CPU", "gpu": "GPU", "ram": "RAM", "system": "the whole machine"}
    known = [names[d] for d in ("gpu", "cpu", "ram", "system") if d in measured]
    if not known:
        return "Nothing here can be measured: energy will be modelled, and marked ~"
    modelled = [d.domain.upper() for m in examination.models for d in m.devices]
    rest = f"; modelled: {', '.join(modelled)}" if modelled else ""
    return f"Measured here: {', '.join(known)}{rest}"


def _source(source: SourceFound, style: Style) -> list[str]:
    status = "off" if source.off else "yes" if source.devices else "no"
    if source.devices and source.reason:
        status = "in part"
    head = f"  {source.name:<{_NAME}}{status:<8}"
    lines: list[str] = []
    if source.devices:
        count = f"{len(source.devices)} device{'s' if len(source.devices) > 1 else ''}"
        simulated = "" if source.verified else f"; {_UNVERIFIED}, only on simulated"
        lines.append(f"{head}{count}{simulated}")
        for device in source.devices:
            lines += _device(device, style, noted=not source.verified)
        if source.reason:
            lines += _wrapped(f"{' ' * _TEXT}not all: {source.reason}", _TEXT + 2)
    else:
        lines += _wrapped(f"{head}{source.reason}", _TEXT)
    if source.remedy:
        lines += _wrapped(f"{' ' * _TEXT}hint: {source.remedy}", _TEXT + 6)
    return lines


def _device(device: Device, style: Style, *, noted: bool) -> list[str]:
    """Its key and how it is known; what else there is to say of it stands below, dimmed."""
    facts: list[str] = [device.origin, device.boundary]
    if device.part_of:
        facts.append(f"part of {device.part_of}")
    if device.tick_s:
        facts.append(f"new value every {_seconds(device.tick_s)}")
    lines = _wrapped(f"    {device.key}: {', '.join(facts)}", 6)
    notes = [n for n in device.note.split("; ") if n and not (noted and n == _UNVERIFIED)]
    words = device.name.lower().split()
    name = [] if all(word in device.key.lower() for word in words) else [device.name]
    source = [] if device.source in (device.name, "intel-rapl") else [device.source]
    said = "; ".join([*name, *source, *notes])
    if said:
        lines += [style.dim(line) for line in _wrapped(f"      {said}", 6)]
    return lines


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def _wrapped(text: str, indent: int) -> list[str]:
    lead = len(text) - len(text.lstrip())
    return textwrap.wrap(
        text.strip(),
        _WIDTH,
        initial_indent=" " * lead,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
