"""The two text formats that scrapers read: Prometheus' 0.0.4 and OpenMetrics 1.0.

By hand, although prometheus-client writes both: importing it adds 11.5 MiB and 130 ms (Python
3.11, version 0.26) to a daemon whose processes together have 18 MiB, of all of which this page of
code is what would be used. Tests hold both formats against that library's parsers and `promtool`.
Sources: prometheus.io/docs/instrumenting/exposition_formats, and the OpenMetrics 1.0 specification.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from frugalwatch.metrics.families import Family, Sample

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def wants_openmetrics(accept: str) -> bool:
    """Whether a request's Accept header asks for OpenMetrics before the older format."""
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0, "*/*": 0.0}
    for entry in accept.split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        if kind.lower() in best:
            best[kind.lower()] = max(best[kind.lower()], _quality(parameters))
    openmetrics = best["application/openmetrics-text"]
    return openmetrics > 0 and openmetrics >= max(best["text/plain"], best["*/*"])


def as_text(families: Iterable[Family]) -> str:
    """Prometheus' text format; times are in milliseconds there."""
    lines: list[str] = []
    for family in families:
        kind = "counter" if family.kind == "counter" else "gauge"
        lines += [f"# HELP {family.name} {_escape(family.what)}", f"# TYPE {family.name} {kind}"]
        lines += _samples(family, 1000)
    return "\n".join([*lines, ""])


def as_openmetrics(families: Iterable[Family]) -> str:
    """OpenMetrics: a counter's family has no `_total`, units are told, and the end is marked."""
    lines: list[str] = []
    for family in families:
        name = family.name.removesuffix("_total" if family.kind == "counter" else "_info")
        lines += [f"# TYPE {name} {family.kind}"]
        if family.unit:
            lines += [f"# UNIT {name} {family.unit}"]
        lines += [f"# HELP {name} {_escape(family.what, quote=True)}"]
        lines += _samples(family, 1)
    return "\n".join([*lines, "# EOF", ""])


def _samples(family: Family, per_second: int) -> Iterator[str]:
    for sample in family.samples:
        yield f"{family.name}{_labels(sample)} {_number(sample.value)}{_time(sample, per_second)}"


def _labels(sample: Sample) -> str:
    pairs = [f'{name}="{_escape(text, quote=True)}"' for name, text in sample.labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _time(sample: Sample, per_second: int) -> str:
    if sample.at_s is None:
        return ""
    return f" {round(sample.at_s * 1000)}" if per_second == 1000 else f" {sample.at_s:.3f}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    # Not 1e+16 for whole numbers: joules stay readable.
    return str(int(value)) if value == int(value) and abs(value) < 2**63 else repr(value)


def _escape(text: str, *, quote: bool = False) -> str:
    """As the formats ask. Lone surrogates, of file names that are no UTF-8, become `?`."""
    text = text.encode("utf-8", "replace").decode()
    text = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", " ")
    return text.replace('"', '\\"') if quote else text


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
