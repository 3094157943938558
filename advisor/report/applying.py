"""How a recommendation is applied, how the advice is made again, and what its figures rest on."""

from __future__ import annotations

from advisor.report.facts import Fact, grid_in_words
from advisor.report.scale import Saving
from advisor.report.words import Document, plural
from frugalwatch.carbon.grid import GridFactor
from frugalwatch.report import format as show


def how_to_apply(row: Document, document: Document) -> list[Fact]:
    """The command, the lines of shell and code, and the artefact; each may span lines."""
    name = f"{document['advice']}.{row['number']}"
    found = []
    if document.get("kind") == "replayed on trace" or row.get("kind") == "replayed on trace":
        found.append(Fact("Kind", "replayed on the trace of captured requests: it needs code"))
    else:
        command = show.command_line(list(document["command"]), 200)
        found.append(Fact("Try it", f"frugalwatch run --with {name} -- {command}"))
        found.append(Fact("Measure it again", f"frugalwatch verify {name}"))
    for label, key in (("In a shell", "shell"), ("In your code", "code")):
        if row.get(key):
            found.append(Fact(label, str(row[key])))
    if row.get("for_good"):
        found.append(Fact("For good", str(row["for_good"])))
    if row.get("artefact"):
        found.append(
            Fact(
                "Artefact",
                f"{row['artefact']} (manifest.json; load.py loads it without FrugalWatch)",
            )
        )
    return found


def reproduction(document: Document) -> list[Fact]:
    """What it takes to do all this again."""
    versions = document.get("versions") or {}
    machine = document.get("machine") or {}
    found = [
        Fact("Command", show.command_line(list(document["command"]), 400)),
        Fact("Folder", str(document.get("cwd", ""))),
        Fact("Host", ", ".join(str(p) for p in (document.get("host"), machine.get("cpu")) if p)),
        Fact("CPUs", str(document["cpus"]) if document.get("cpus") else ""),
        Fact("Versions", ", ".join(f"{k} {v}" for k, v in versions.items() if v)),
        Fact("Seed", str(document["seed"]) if document.get("seed") is not None else ""),
        Fact("Budget", str(document.get("budget") or "")),
        Fact("Limits", _limits(document.get("limits") or {})),
        Fact("Replayed", str(document.get("isolation", "")).removeprefix("replayed ")),
    ]
    return [fact for fact in found if fact.text]


def _limits(limits: Document) -> str:
    parts = []
    if limits.get("latency_p95_s") is not None:
        parts.append(f"p95 at most {limits['latency_p95_s'] * 1000:g} ms")
    if limits.get("memory_bytes") is not None:
        parts.append(f"memory at most {limits['memory_bytes'] / 2**20:g} MiB")
    return ", ".join(parts)


def assumptions(document: Document, saved: Saving | None, factor: GridFactor | None) -> list[str]:
    """What the figures rest on, one sentence each."""
    found = []
    if document["unit"] == "cpu_s":
        found.append(
            "There was no energy counter: CPU-seconds and wall-seconds were measured and compared."
        )
        model = document.get("power_model")
        if model:
            found.append(
                f"Modelled energy (~) is {model['idle_w']:.3g} W x time + k x"
                f" {model['active_w']:.3g} W x CPU time of this machine's model, with k from 0.5 to"
                " 2; a saving of energy is claimed only if it holds for all of them."
            )
    else:
        found.append("Joules are those of the whole machine's energy counters during a replay.")
    if document.get("resolution") is not None:
        found.append(
            "Intervals are 95 % for all finalists together, over rounds of their own that no"
            " selection saw; a difference within the resolution is called no saving."
        )
    if any(b.get("latency") for b in document.get("baselines") or ()):
        found.append(
            "Latencies are the times of calls inside the replays, the first ones included, one"
            " after another as the program makes them: no queue is in them."
        )
    if any(b.get("peak_memory_bytes") for b in document.get("baselines") or ()):
        found.append(
            "Memory is what all processes of a replay had resident together at their peak, looked"
            " up every 0.1 s; shared pages count in each of them."
        )
    if saved is not None and saved.requests_per_day is not None:
        found.append(
            f"A year is 365 days of {saved.requests_per_day:,.0f} {plural(saved.unit)}, each like"
            " those that were replayed."
        )
        if factor is not None and saved.year_co2e is not None:
            found.append(f"Carbon: {grid_in_words(factor)}. {factor.attribution}".strip())
    if document.get("stop_after"):
        found.append(f"Each replay was ended after {document['stop_after']}.")
    return found
