"""What the replay of a trace found, for a person."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any  # what JSON gives back

from frugalwatch.report.format import significant
from frugalwatch.report.ratio import change_with_bounds

_WIDTH = 80


def trace_lines(trace: Mapping[str, Any]) -> list[str]:
    """The part of a report about serving; empty where there is nothing to say."""
    rows = [*trace["recommendations"], *trace["not_recommended"]]
    if not rows and not trace["reason"]:
        return []
    lines = [
        f"Replayed on a trace: {trace['requests']:,} requests to {trace['module']},"
        f" {trace['distinct']:,} of them distinct"
        if rows
        else f"Not replayed on a trace: {trace['reason']}"
    ]
    for name, each in zip(("Baseline", "        "), trace["baselines"], strict=False):
        used = f"{significant(each['cpu_s_per_request'] * 1000, 3)} CPU-ms per request"
        lines.append(f"  {name}  {each['name']:<24}{used}{_latency(each)}")
    for row in rows:
        lines += _row(row)
    if trace["recommendations"]:
        first = trace["recommendations"][0]
        lines.append(f"  {first['number']} needs code; it is not applied by run --with:")
        lines += [f"      {line}" for line in first["code"].splitlines()]
        lines += _wrapped(f"risk: {first['risk']}", 2)
    return lines


def _row(row: Mapping[str, Any]) -> list[str]:
    mark = row.get("number", "x")
    figures = f"{change_with_bounds(row['ratio'])}; against one thread"
    figures += f" {change_with_bounds(row['versus_one_thread'])}"
    lines = [f"  {mark:<4}{row['name']}"]
    lines += _wrapped(f"CPU time {figures}; answers {row['quality']['finding']}", 8)
    details = []
    if row["hit_rate"] is not None:
        details.append(f"{row['hit_rate'] * 100:.0f} % of requests answered from the cache")
    if row["latency"] is not None:
        details.append(_latency(row).strip(" ;"))
    if row["verdict"] != "saves":
        details.append(f"{row['verdict']}: {row['reason']}")
    return [*lines, *(_wrapped("; ".join(details), 8) if details else [])]


def _latency(row: Mapping[str, Any]) -> str:
    found = row["latency"]
    if found is None:
        return ""
    parts = [f"{q} {significant(found[f'{q}_s'] * 1000, 2)}" for q in ("p50", "p95", "p99")]
    return f"; {', '.join(parts)} ms"


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, _WIDTH, initial_indent=space, subsequent_indent=space + "  ")
