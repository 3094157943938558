"""What the replay of a program's own requests found, in the words of the other reports."""

from __future__ import annotations

from typing import NamedTuple

from advisor.report.facts import Change, Fact, Rejected, gate_in_words, gates_of
from advisor.report.words import Document, each
from frugalwatch.report.needs_text import latency_in_words
from frugalwatch.report.ratio import change_with_bounds


class Serving(NamedTuple):
    """`lead` says what was replayed, or why nothing was; the changes need code."""

    lead: list[str]
    changes: list[Change]
    rejected: list[Rejected]


def serving(trace: Document | None) -> Serving | None:
    """None where nothing was looked for, or there is nothing to say."""
    if not trace:
        return None
    rows = [*trace["recommendations"], *trace["not_recommended"]]
    if not rows:
        why = trace.get("reason")
        return Serving([f"Not replayed on a trace: {why}."], [], []) if why else None
    lead = [
        f"Replayed on the trace of {trace['requests']:,} requests to {trace['module']},"
        f" {trace['distinct']:,} of them distinct. These changes need code:"
        " run --with does not apply them."
    ]
    lead += [_baseline(base) for base in trace["baselines"]]
    return Serving(
        lead,
        [_change(row) for row in trace["recommendations"]],
        [
            Rejected(r["name"], change_with_bounds(r["ratio"]), r["verdict"], r["reason"])
            for r in trace["not_recommended"]
        ],
    )


def _baseline(base: Document) -> str:
    text = f"{base['name']}: {each(base['cpu_s_per_request'], 'cpu_s')} in each request"
    latency = latency_in_words({**base["latency"], "unit": "request"}) if base["latency"] else ""
    return f"{text}, {latency}." if latency else f"{text}."


def _change(row: Document) -> Change:
    quality = row["quality"]
    facts = [
        Fact("CPU time of a request", change_with_bounds(row["ratio"]), "measured"),
        Fact("Against one thread", change_with_bounds(row["versus_one_thread"]), "measured"),
        Fact("Time", change_with_bounds(row["wall_ratio"]), "measured"),
        Fact(
            "Latency",
            latency_in_words({**row["latency"], "unit": "request"}) if row["latency"] else "",
            "measured",
        ),
        Fact(
            "From the cache",
            "" if row["hit_rate"] is None else f"{row['hit_rate'] * 100:.0f} % of requests",
            "measured",
        ),
        Fact("Output", str(quality["finding"])),
        *(Fact("Quality", gate_in_words(gate), "measured") for gate in gates_of(quality)),
        Fact("Cost to adopt", "a change of the code that serves requests"),
        Fact("Risk", row["risk"]),
    ]
    return Change(
        number=str(row["number"]),
        name=row["name"],
        headline=f"{change_with_bounds(row['ratio'])} CPU time of a request,"
        f" output {quality['finding']}",
        facts=[fact for fact in facts if fact.text],
        apply=[Fact("In your code", row["code"])],
    )
