"""The profile as one HTML page that needs nothing else: no network, no scripts from elsewhere."""

from __future__ import annotations

from typing import Any

from frugalwatch.profile.document import Profile, shown_energy
from frugalwatch.profile.exports import weigh, weight_of
from frugalwatch.profile.flame import Box, boxes, colour, svg
from frugalwatch.profile.packages import Packages, short_place
from frugalwatch.profile.text import (
    count,
    joule_range,
    joules,
    layer_energy,
    share,
    share_range,
)
from frugalwatch.report.format import duration

_MOST_ROWS = 200


def svg_image(profile: Profile) -> str:
    """The flame graph as an SVG file of its own."""
    return svg(_top(profile), _describer(profile), standalone=True, title=_title(profile))


def html_page(profile: Profile) -> str:
    """The page: parts, flame graph, layers, functions and lines."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("frugalwatch.profile"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    document = profile.document
    kind = document["energy_kind"]
    return environment.get_template("profile.html.j2").render(
        title=_title(profile),
        document=document,
        headline=_energy(document, kind),
        graph=Markup(svg(_top(profile), _describer(profile), standalone=False)),
        unit="energy" if weight_of(profile)[1] == "J" else "CPU time",
        parts=[_part(entry, "part", kind) for entry in document["parts"]],
        packages=[_part(entry, "package", kind) for entry in document["packages"]],
        functions=[_row(entry, kind) for entry in document["functions"][:_MOST_ROWS]],
        lines=[_row(entry, kind) for entry in document["lines"][:_MOST_ROWS]],
        duration=duration,
        models=[_model(model, document) for model in document["models"]],
    )


def _title(profile: Profile) -> str:
    document = profile.document
    return f"Run {document['number']}: {' '.join(document['command'])}"


def _top(profile: Profile) -> Box:
    packages = Packages(profile.processes)
    return boxes(profile.root, packages, lambda amount: weigh(profile, amount))


def _describer(profile: Profile) -> Any:  # a function from Box to str
    whole = sum(weigh(profile, stack[-1].own) for stack in profile.root.walk()) or 1.0
    _, unit = weight_of(profile)

    def describe(box: Box) -> str:
        value = joules(box.weight) if unit == "J" else duration(box.weight)
        lines = [box.function, f"{share(box.weight / whole)}, {value}"]
        if box.filename:
            lines.append(f"{box.place} ({box.package})")
        return "\n".join(lines)

    return describe


def _energy(entry: dict[str, Any], kind: str | None) -> dict[str, str]:
    shown = shown_energy(entry, kind)
    if shown is None:
        return {"value": "-", "bounds": ""}
    about = "" if kind == "measured" else "~"
    return {"value": about + joules(shown[0]), "bounds": joule_range(shown[1], shown[2])}


def _part(entry: dict[str, Any], name: str, kind: str | None) -> dict[str, Any]:
    return {
        "name": entry[name],
        "colour": colour(entry[name]),
        "energy": _energy(entry, kind),
        "share": share(entry["share"]),
        "percent": 100 * (entry["share"] or 0.0),
        "range": share_range(entry),
        "cpu": duration(entry["cpu_s"]),
    }


def _row(entry: dict[str, Any], kind: str | None) -> dict[str, Any]:
    own, total = entry["self"], entry["total"]
    place = ""
    if entry["file"]:
        at = entry["line"] or entry["first_line"]
        place = short_place(entry["file"]) + (f":{at}" if at else "")
    return {
        "function": entry["function"],
        "place": place,
        "file": entry["file"] or "",
        "package": entry["package"] or "",
        "energy": _energy(own, kind),
        "share": share(own["share"]),
        "share_value": own["share"] or 0.0,
        "range": share_range(own),
        "total": share(total["share"]),
        "total_value": total["share"] or 0.0,
        "cpu": duration(own["cpu_s"]),
        "cpu_value": own["cpu_s"],
        "wait": duration(max(0.0, own["wall_s"] - own["cpu_s"])),
        "wait_value": max(0.0, own["wall_s"] - own["cpu_s"]),
    }


def _model(model: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return {
        "root": model["root"],
        "parameters": count(model["parameters"]),
        "call": duration(model["call_s"] or 0.0),
        "backward": duration(model["backward_s"]) if model["backward_s"] else "",
        "watched": model["watched_calls"],
        "calls": model["calls"],
        "flops": count(model["flops_per_call"]) + ("" if model["flops_known"] else " or more"),
        "gpu": any(row["gpu_s"] is not None for row in model["layers"]),
        "layers": [_layer(row, document) for row in model["layers"]],
    }


def _layer(row: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "energy": layer_energy(document, row),
        "percent": 100 * row["share"],
        "share_text": share(row["share"]),
        "forward": duration(row["forward_self_s"]),
        "whole": duration(row["forward_s"]),
        "backward": duration(row["backward_s"]) if row["backward_s"] else "-",
        "flop_text": "-" if row["flops"] is None else count(row["flops"]),
        "speed": f"{count(row['flops_per_s'])}FLOP/s" if row["flops_per_s"] else "-",
        "size": count(row["parameters"]),
        "gpu": "-" if row["gpu_s"] is None else duration(row["gpu_s"]),
        "gpu_energy": "-" if row["gpu_energy_j"] is None else joules(row["gpu_energy_j"]),
    }
