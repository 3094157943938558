"""A job on many nodes, for people and as JSON."""

from __future__ import annotations

from frugalwatch.fleet.figures import MEASURED, FleetTotal, NodeTotal, Sum
from frugalwatch.report.format import (
    about,
    digits_for,
    duration,
    energy,
    energy_range,
    grams,
    percent,
)
from frugalwatch.report.rows import row, wrapped

SCHEMA = "frugalwatch.fleet/1"
_MOST_NODES = 40


def as_text(fleet: FleetTotal, source: str, *, every_node: bool = False) -> str:
    """The total with its bounds, then a line a node. `source` says where the figures are from."""
    count = len(fleet.nodes)
    recordings = sum(node.recordings for node in fleet.nodes)
    lines = [
        f"FrugalWatch  run {fleet.run_id}",
        f"  {count} node{'s' * (count != 1)}, {recordings} recording{'s' * (recordings != 1)}"
        f"    {source}",
        "",
    ]
    lines += _totals(fleet)
    lines += ["", *_table(fleet, every_node=every_node)]
    lines += _notes(fleet)
    return "\n".join(lines)


def _totals(fleet: FleetTotal) -> list[str]:
    measured, estimated = fleet.measured, fleet.estimated
    lines = []
    if measured is not None:
        lines.append(row("Energy", *_cells(measured), _how(fleet)))
    if estimated is not None:
        first, bounds = _cells(estimated)
        label = "Energy" if measured is None else "and beside"
        lines.append(row(label, about(first), bounds, "modelled: not measured"))
    if measured is None and estimated is None:
        lines.append(row("Energy", "unknown"))
    if fleet.co2e_ug is not None:
        lines.append(row("Carbon", f"{grams(fleet.co2e_ug / 1e6)} CO2e"))
    if fleet.coverage is not None:
        lines.append(row("Covered", percent(fleet.coverage), "the worst node's"))
    return lines


def _cells(one: Sum) -> tuple[str, str]:
    value, low, high = (part / 1e6 for part in one)
    digits = digits_for(value, low, high)
    bounds = energy_range(low, high, digits, beside_j=value)
    least, _, most = bounds.rpartition(" ")[0].partition(" to ")
    return energy(value, digits), "" if least == most else bounds


def _how(fleet: FleetTotal) -> str:
    origins = {d.origin for node in fleet.nodes for d in node.devices if d.origin in MEASURED}
    return "from sampled power" if origins == {"derived"} else "measured"


def _table(fleet: FleetTotal, *, every_node: bool) -> list[str]:
    shown = fleet.nodes if every_node else fleet.nodes[:_MOST_NODES]
    width = min(28, max([4, *(len(node.node) for node in shown)]))
    lines = [f"  {'node':<{width}}  {'energy':>11}  {'bounds':<22} {'covered':>8}  {'lasted':>10}"]
    for node in shown:
        name = node.node if len(node.node) <= width else node.node[: width - 3] + "..."
        value, bounds = _figure(node)
        covered = "-" if node.coverage is None else percent(node.coverage)
        lines.append(
            f"  {name:<{width}}  {value:>11}  {bounds:<22} {covered:>8}  {_lasted(node):>10}"
        )
    if len(shown) < len(fleet.nodes):
        lines.append(f"  and {len(fleet.nodes) - len(shown)} more: --nodes shows every one")
    return lines


def _figure(node: NodeTotal) -> tuple[str, str]:
    if node.measured is not None:
        return _cells(node.measured)
    if node.estimated is not None:
        value, bounds = _cells(node.estimated)
        return about(value), bounds
    return ("unknown" if node.ended else "-"), ""


def _lasted(node: NodeTotal) -> str:
    if not node.ended or node.ended_utc_ms is None:
        return "no end yet"
    return duration((node.ended_utc_ms - node.began_utc_ms) / 1e3)


def _notes(fleet: FleetTotal) -> list[str]:
    notes = []
    open_nodes = [node.node for node in fleet.nodes if not node.ended]
    if open_nodes:
        names = ", ".join(open_nodes[:5]) + (", ..." if len(open_nodes) > 5 else "")
        notes.append(f"not complete: no end was told by {names}; its energy is not or partly here")
    overlapped = [node.node for node in fleet.nodes if node.overlapped]
    if overlapped:
        notes.append(
            f"{', '.join(overlapped[:5])}: several ledgers recorded the same device at the same"
            " time; it is counted once, in proportion to the time"
        )
    if any(n.estimated and n.measured is None for n in fleet.nodes) and fleet.measured:
        notes.append("nodes with ~ have no counter: their energy is beside the total, not in it")
    lines = [line for note in notes for line in wrapped("Note", note)]
    return ["", *lines] if lines else []


def as_line(fleet: FleetTotal) -> str:
    """A job in one line: its name, nodes, energy."""
    count = len(fleet.nodes)
    shown = fleet.measured or fleet.estimated
    cells = ("unknown", "") if shown is None else _cells(shown)
    value = about(cells[0]) if fleet.measured is None and shown is not None else cells[0]
    nodes = f"{count} node{'s' * (count != 1)}"
    rest = "" if fleet.ended else "  not complete"
    return f"  {fleet.run_id:<28}  {nodes:>9}  {value:>11}  {cells[1]}{rest}"


def as_json(fleet: FleetTotal, source: str) -> dict[str, object]:
    """The document `frugalwatch.fleet/1`. Units are in the key names; null is unknown."""
    return {
        "schema": SCHEMA,
        "run_id": fleet.run_id,
        "source": source,
        "complete": fleet.ended,
        **_sums("energy", fleet.measured),
        **_sums("estimated", fleet.estimated),
        "co2e_g": None if fleet.co2e_ug is None else fleet.co2e_ug / 1e6,
        "coverage": fleet.coverage,
        "nodes": [_node(node) for node in fleet.nodes],
    }


def _node(node: NodeTotal) -> dict[str, object]:
    end_ms = node.ended_utc_ms
    return {
        "node": node.node,
        "boots": node.boots,
        "recordings": node.recordings,
        "ended": node.ended,
        "began_utc_s": node.began_utc_ms / 1e3,
        "ended_utc_s": None if end_ms is None else end_ms / 1e3,
        **_sums("energy", node.measured),
        **_sums("estimated", node.estimated),
        "co2e_g": None if node.co2e_ug is None else node.co2e_ug / 1e6,
        "coverage": node.coverage,
        "overlapped": node.overlapped,
        "devices": [
            {
                "device": one.device,
                "domain": one.domain,
                "boundary": one.boundary,
                "origin": one.origin,
                "energy_j": one.energy_uj / 1e6,
                "low_j": one.low_uj / 1e6,
                "high_j": one.high_uj / 1e6,
            }
            for one in node.devices
        ],
    }


def _sums(name: str, one: Sum | None) -> dict[str, float | None]:
    parts = ("j", "low_j", "high_j")
    values = (None, None, None) if one is None else tuple(part / 1e6 for part in one)
    return {f"{name}_{part}": value for part, value in zip(parts, values, strict=True)}
