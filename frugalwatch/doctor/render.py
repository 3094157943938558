"""An examination as a person reads it: the answer first, then each source with its remedy."""

from __future__ import annotations

import textwrap

from frugalwatch.doctor.examine import Examination, SourceFound
from frugalwatch.report.style import Style

_WIDTH = 78


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
    lines: list[str] = []
    status = "off" if source.off else "yes" if source.devices else "no"
    if source.devices and source.reason:
        status = "in part"
    head = f"  {source.name:<10}{status:<8}"
    if source.devices:
        lines.append(f"{head}{len(source.devices)} device{'s' if len(source.devices) > 1 else ''}")
        for device in source.devices:
            inside = f", part of {device.part_of}" if device.part_of else ""
            tick = f", new value every {device.tick_s:g} s" if device.tick_s else ""
            text = f"{device.key}: {device.name}; {device.origin}, {device.boundary}{inside}{tick}"
            lines += _wrapped(f"            {text}", 14)
            for extra in (device.source, device.note):
                if extra and extra != device.name:
                    lines += [style.dim(x) for x in _wrapped(f"              {extra}", 14)]
    if source.reason:
        lines += _wrapped(f"{head if not source.devices else ' ' * 12}{source.reason}", 20)
    if source.remedy:
        lines += _wrapped(f"            hint: {source.remedy}", 18)
    if not source.verified and source.devices:
        lines.append("            unverified on hardware: ran on simulated devices only")
    return lines


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
