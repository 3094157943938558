"""What `verify` found, as a person reads it in 80 columns."""

from __future__ import annotations

from advisor.report.words import Document, resolution, wrapped
from frugalwatch.report.ratio import change, change_with_bounds
from frugalwatch.report.style import Style


def verification_report(document: Document, style: Style) -> str:
    """What `verify` found, promise and measurement side by side."""
    words = {
        "held": "The promised saving held.",
        "not_held": "The promised saving did NOT hold.",
        "cannot_tell": "It cannot be told whether the promised saving held.",
    }
    unit = "energy" if document["unit"] == "energy_j" else "CPU time"
    if document.get("decided_by") == "unit":
        unit += " of one unit of work"
    elif document.get("decided_by") == "time":
        unit = "time"
    lines = [
        f"FrugalWatch verify {document['advice']}.{document['recommendation']}"
        f"   {document['name']}",
        f"  {style.bold(words[document['verdict']])}",
        *wrapped(document["reason"]),
        f"  Promised   {unit} {change_with_bounds(document['promised'])}",
        f"  Measured   {unit} {change_with_bounds(document['ratio']) or 'unknown'}"
        f"   {document['rounds']} rounds, time {change(document['wall_ratio'])}",
    ]
    if document["resolution"] is not None:
        lines.append(f"  Resolution {resolution(document['resolution'])}")
    lines.append(f"  Output     {document['quality']['finding']}")
    lines += [line for note in document["notes"] for line in wrapped(f"note: {note}")]
    return "\n".join(lines)
