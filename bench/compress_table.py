"""The tables of `compress.py` as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from advice_peers import PeerResult
from advice_rows import Gain
from advice_table import advice_table, aims, peer_table
from compress_rows import CompressedRow
from conditions import Conditions


def markdown(
    conditions: Conditions, rows: Sequence[CompressedRow], peers: Sequence[PeerResult]
) -> str:
    """Everything that one call of the bench found."""
    plain = [each.row for each in rows]
    parts = [
        str(conditions),
        advice_table(plain),
        aims(plain),
        *[_one(each) for each in rows],
    ]
    if peers:
        parts.append(peer_table(peers))
    return "\n\n".join(part for part in parts if part) + "\n"


def _one(found: CompressedRow) -> str:
    """Every change of one workload that was measured, and what was left alone."""
    lines = [f"### {found.row.title}", ""]
    if found.tried:
        lines += [
            "| change | a request | against one thread | file, MB | verdict | answers | labels |",
            "| --- | ---: | ---: | ---: | --- | --- | --- |",
        ]
    for each in found.tried:
        size = "" if each.file_bytes is None else f"{each.file_bytes / 1e6:.2f}"
        labels = found.labels.get(each.name)
        cells = [
            each.name, _gain(each.gain), _gain(each.fair), size, each.verdict, each.answers,
            "" if labels is None else str(labels),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(_cell(c) for c in cells)} |")
    if found.curve:
        lines += [
            "",
            "| point of the search | cost | drift on the screening inputs | on the front |",
            "| --- | ---: | ---: | --- |",
        ]
    for point in found.curve:
        cells = [
            str(point["name"]), f"{point['cost_ratio']:.3f}", f"{100 * point['drift']:.1f} %",
            "yes" if point.get("on_front") else "",
        ]  # fmt: skip
        if point.get("refused"):
            cells = [str(point["name"]), f"refused: {point['refused']}", "", ""]
        lines.append(f"| {' | '.join(_cell(c) for c in cells)} |")
    if found.per_token or found.spent:
        lines += ["", "; ".join(t for t in (found.per_token, found.spent) if t) + "."]
    lines += ["", *[f"- {_cell(each)}" for each in found.learning]] if found.learning else []
    if found.refused:
        lines += ["", "Not tried:", ""]
        lines += [f"- {_cell(each.technique)}: {_cell(each.reason)}" for each in found.refused]
    return "\n".join(lines)


def _gain(gain: Gain | None) -> str:
    return "unknown" if gain is None else str(gain)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
