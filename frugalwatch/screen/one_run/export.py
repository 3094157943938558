"""One run's page as rows for a file: a row for each device, phase, metric value and event."""

from __future__ import annotations

from frugalwatch.screen.records import Document
from frugalwatch.screen.view import Export, Value

_ABOUT = (
    "run_id", "state", "exit_code", "host", "cwd", "git_commit", "started_utc", "duration_s",
    "cpu_s", "energy_j", "energy_low_j", "energy_high_j", "estimated_j", "estimated_low_j",
    "estimated_high_j", "above_idle_j", "job_share_j", "co2e_g", "coverage",
)  # fmt: skip
_ROWS: dict[str, tuple[str, ...]] = {
    "devices": ("device", "name", "domain", "origin", "energy_j", "low_j", "high_j", "counted"),
    "phases": ("name", "number", "depth", "began_s", "duration_s", "energy_j", "low_j", "high_j"),
    "metrics": ("name", "value", "t_s", "pid"),
    "events": ("kind", "cause", "device", "since_s", "t_s", "energy_missing", "detail"),
}
_MORE = ("estimated_j", "estimated_low_j", "estimated_high_j")


def detail_rows(run: Document) -> Export:
    """Everything that the page lists; `what` says of which kind a row is."""
    columns = ["what", *dict.fromkeys(name for names in _ROWS.values() for name in names), *_MORE]
    rows: list[dict[str, Value]] = []
    for kind in _ROWS:
        for entry in run.get(kind, []):
            row: dict[str, Value] = dict.fromkeys(columns)
            row["what"] = kind.removesuffix("s")
            row |= {name: entry[name] for name in columns[1:] if name in entry}
            rows.append(row)
    number = run["number"]
    about: dict[str, Value] = {"run": number, "command": " ".join(run["command"])}
    about |= {name: run.get(name) for name in _ABOUT}
    return Export(f"run-{number}", "frugalwatch.screen.run/1", rows, about)
