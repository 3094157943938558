"""The rows as Markdown, for a terminal or for the docs."""

from __future__ import annotations

from collections.abc import Sequence

from advice_peers import PeerResult
from advice_rows import Gain, Repeat, Row
from conditions import Conditions


def markdown(
    conditions: Conditions,
    rows: Sequence[Row],
    repeats: dict[str, list[Repeat]],
    peers: Sequence[PeerResult],
) -> str:
    """Everything that one call of the bench found."""
    parts = [str(conditions), advice_table(rows), aims(rows)]
    parts += [verified(name, each) for name, each in repeats.items()]
    if peers:
        parts.append(peer_table(peers))
    return "\n\n".join(part for part in parts if part) + "\n"


def advice_table(rows: Sequence[Row]) -> str:
    """A line for each workload: its best change, or why there is none."""
    lines = [
        "| workload | best change | a request, against as written | against one thread"
        " | a whole run | answers | first useful, s | full report, s | resolution | load |",
        "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        if row.trouble:
            lines.append(f"| {row.title} | failed: {_cell(row.trouble)} |{' |' * 8}")
            continue
        cells = [
            row.title,
            row.best,
            _gain(row.gain),
            _gain(row.fair),
            _gain(row.whole),
            row.quality,
            _seconds(row.first_useful_s),
            _seconds(row.full_s),
            "" if row.resolution is None else f"±{100 * row.resolution:.0f} %",
            f"{row.load[0]:.1f} to {row.load[1]:.1f}",
        ]
        lines.append(f"| {' | '.join(_cell(c) for c in cells)} |")
    return "\n".join(lines)


def aims(rows: Sequence[Row]) -> str:
    """A line for each target."""
    lines = [
        "| workload | what counts | target | reached by | a request | against one thread | |",
        "| --- | --- | ---: | --- | ---: | ---: | --- |",
    ]
    for row in rows:
        for aim in row.aims:
            cells = [
                row.title,
                aim.kind,
                f"{aim.target:g}x / {aim.fair_target:g}x",
                aim.change,
                _gain(aim.gain),
                _gain(aim.fair),
                f"**{aim.verdict}**",
            ]
            lines.append(f"| {' | '.join(_cell(c) for c in cells)} |")
        if row.remark:
            lines.append(f"| {row.title} | the right answer | | | | | **{_cell(row.remark)}** |")
    return "\n".join(lines) if len(lines) > 2 else ""


def verified(name: str, repeats: Sequence[Repeat]) -> str:
    """How often a verified saving was what had been promised."""
    if not repeats:
        return f"{name}: nothing was promised, so nothing could be verified."
    widths = [r.half_width for r in repeats if r.half_width is not None]
    lines = [
        f"{name}: of {len(repeats)} fresh advices, each verified by fresh rounds,"
        f" {sum(r.held for r in repeats)} saved at least the cautious end of the promise;"
        f" verified/promised contains 1 in {sum(r.agrees for r in repeats)},"
        f" half-width {100 * max(widths, default=float('nan')):.0f} % at most.",
        "",
        "| promised | verified | verified/promised | verify said |",
        "| ---: | ---: | ---: | --- |",
    ]
    lines += [
        f"| {_gain(r.promised)} | {_gain(r.verified)} | {_gain(r.ratio)} | {r.said} |"
        for r in repeats
    ]
    return "\n".join(lines)


def peer_table(peers: Sequence[PeerResult]) -> str:
    """A line for each tool and workload."""
    lines = [
        "| workload | tool | its best | CPU ms a request | against ours | same answers"
        " | to the result, s |",
        "| --- | --- | --- | ---: | ---: | --- | ---: |",
    ]
    for peer in peers:
        if peer.trouble:
            lines.append(f"| {peer.workload} | {peer.tool} | {_cell(peer.trouble)} | | | | |")
            continue
        cells = [
            peer.workload,
            peer.tool,
            peer.what,
            "" if peer.cpu_ms is None else f"{peer.cpu_ms:.2f}",
            _gain(peer.against_ours),
            peer.quality,
            _seconds(peer.made_s),
        ]
        lines.append(f"| {' | '.join(_cell(c) for c in cells)} |")
    return "\n".join(lines)


def _gain(gain: Gain | None) -> str:
    return "unknown" if gain is None else str(gain)


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f}"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
