"""What a tracker costs the job that it wraps: FrugalWatch beside its peers, in one call.

    python bench/overhead.py                 wrap `true` and `sleep 30` with everything
    python bench/overhead.py --quick         `sleep 5` instead, fewer rounds
    python bench/overhead.py --only frugalwatch --rounds 15

Rounds are interleaved (every tool once, then every tool again, in changing order), so that a slow
minute of the machine falls on all of them, and the figures are medians. `bench/README.md` says how
each figure is defined.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

import machine
import report
import simulated_rapl
from contenders import PEERS, Contender, bare, frugalwatch
from metering import Cost, measure

_SHORT_JOB_MEMORY_HZ = 50.0  # a wrapped `true` lives a fraction of a second
_LONG_JOB_MEMORY_HZ = 20.0


@dataclass(slots=True)
class Bench:
    """One job, the tools that wrap it, and what every round of each cost."""

    job: list[str]
    seconds: float
    tools: list[Contender]
    rounds: int
    timed: dict[str, list[Cost]] = field(default_factory=dict)
    weighed: dict[str, list[Cost]] = field(default_factory=dict)
    last_words: dict[str, str] = field(default_factory=dict)  # of a run that failed, by tool

    @property
    def is_short(self) -> bool:
        return self.seconds == 0


def run_rounds(bench: Bench, scratch: str) -> None:
    """Measure every tool `rounds` times, interleaved; short jobs are weighed in own runs."""
    for number in range(bench.rounds):
        order = list(bench.tools)
        random.Random(number).shuffle(order)
        for tool in order:
            _say(f"round {number + 1} of {bench.rounds}: {tool.name}, {' '.join(bench.job)}")
            if bench.is_short:
                # Reading /proc often takes a part of the other core: time and weigh apart.
                _keep(bench.timed, tool, _one_run(bench, tool, scratch, 0.0))
                if number < 3:
                    cost = _one_run(bench, tool, scratch, _SHORT_JOB_MEMORY_HZ)
                    _keep(bench.weighed, tool, cost)
            else:
                cost = _one_run(bench, tool, scratch, _LONG_JOB_MEMORY_HZ)
                _keep(bench.timed, tool, cost)
                _keep(bench.weighed, tool, cost)


def _keep(costs: dict[str, list[Cost]], tool: Contender, cost: Cost) -> None:
    costs.setdefault(tool.name, []).append(cost)


def _one_run(bench: Bench, tool: Contender, scratch: str, memory_hz: float) -> Cost:
    folder = os.path.join(scratch, tool.name.replace(" ", "-"))
    os.makedirs(folder, exist_ok=True)
    output = os.path.join(folder, "output.txt")
    with open(output, "w", encoding="utf-8"):
        pass  # of this run only
    cost = measure(
        tool.wrap(bench.job),
        environment=_environment(tool, folder),
        folder=folder,
        output=output,
        memory_hz=memory_hz,
        job_name=os.path.basename(bench.job[0]),
    )
    if cost.exit_code != 0:
        with open(output, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        bench.last_words[tool.name] = " / ".join(lines[-2:])[:160]
    return cost


def _environment(tool: Contender, folder: str) -> dict[str, str]:
    """The caller's environment with a home of the tool's own: no record of the user's changes."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "FRUGALWATCH_", "XDG_", "CODECARBON_", "VIRTUAL_ENV"))
    }
    environment["HOME"] = folder
    if tool.bin_folder:
        environment["PATH"] = f"{tool.bin_folder}:{environment.get('PATH', os.defpath)}"
    return environment | tool.extra_environment


def chosen_tools(options: argparse.Namespace) -> tuple[list[Contender], list[tuple[str, str]]]:
    """The tools to compare, and (name, reason) of each peer that could not be installed."""
    tools = [bare(), *frugalwatch(options.frugalwatch)]
    skipped: list[tuple[str, str]] = []
    for peer in PEERS:
        if options.only and peer.name not in options.only:
            continue
        try:
            tools.append(peer.install(options.envs))
        except (OSError, RuntimeError) as error:
            skipped.append((peer.name, str(error)))
    if options.only and "frugalwatch" not in options.only:
        tools = [tool for tool in tools if not tool.name.startswith("frugalwatch")]
    return tools, skipped


def main() -> int:
    options = _parse_arguments()
    if options.simulated_rapl:
        simulated_rapl.enter_namespace()
        simulated_rapl.start_counter()
    tools, skipped = chosen_tools(options)
    here = machine.describe(simulated_rapl=options.simulated_rapl)
    short_tools = [tool for tool in tools if not tool.long_jobs_only]
    seconds = 5 if options.quick else 30
    rounds, long_rounds = options.rounds, options.long_rounds
    if options.quick:
        rounds, long_rounds = min(rounds, 3), 1
    benches = [Bench(["true"], 0, short_tools, rounds)]
    if long_rounds:
        benches.append(Bench(["sleep", str(seconds)], seconds, tools, long_rounds))
    scratch = tempfile.mkdtemp(prefix="frugalwatch-bench-")
    try:
        for bench in benches:
            run_rounds(bench, scratch)
        _say("")
        tables = [
            report.table(
                b.job,
                b.seconds,
                tools=b.tools,
                timed=b.timed,
                weighed=b.weighed,
                last_words=b.last_words,
            )
            for b in benches
        ]
    finally:
        if not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    verdicts = report.verdicts(tables, here)
    if options.json != "-":
        print(report.as_text(here, tables, verdicts, skipped))
    if options.markdown:
        _write(options.markdown, report.as_markdown(here, tables, verdicts, skipped))
    if options.json:
        _write(options.json, _as_json(here, benches, verdicts, skipped))
    return 0


def _as_json(
    here: machine.Machine,
    benches: Sequence[Bench],
    verdicts: Sequence[report.Verdict],
    skipped: Sequence[tuple[str, str]],
) -> str:
    """Every single round, for a reader who wants other statistics than ours."""
    return json.dumps(
        {
            "schema": "frugalwatch.bench-overhead/1",
            "machine": dataclasses.asdict(here),
            "jobs": [
                {
                    "command": bench.job,
                    "timed": _plain(bench.timed),
                    "weighed": _plain(bench.weighed),
                }
                for bench in benches
            ],
            "targets": [dataclasses.asdict(verdict) for verdict in verdicts],
            "skipped": dict(skipped),
        },
        indent=2,
    )


def _plain(costs: dict[str, list[Cost]]) -> dict[str, list[dict[str, object]]]:
    return {name: [dataclasses.asdict(cost) for cost in rows] for name, rows in costs.items()}


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser.add_argument(
        "--envs",
        default=os.path.join(cache, "frugalwatch-bench"),
        help="folder of the peers' virtual environments (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of `true` (default: 7)")
    parser.add_argument(
        "--long-rounds", type=int, default=3, help="rounds of `sleep 30`, 0 for none (default: 3)"
    )
    parser.add_argument("--quick", action="store_true", help="3 rounds of `true`, one of `sleep 5`")
    parser.add_argument(
        "--only",
        action="append",
        choices=["frugalwatch", *(peer.name for peer in PEERS)],
        help="measure only this tool (again for more)",
    )
    parser.add_argument("--frugalwatch", metavar="PROGRAM", help="another frugalwatch to measure")
    parser.add_argument(
        "--simulated-rapl",
        action="store_true",
        help="give every tool a simulated energy counter (root; some tools refuse without one)",
    )
    parser.add_argument("--json", metavar="FILE", help="write every round as JSON (-: stdout)")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables as Markdown")
    parser.add_argument("--keep", action="store_true", help="keep the tools' output in /tmp")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def _write(path: str, text: str) -> None:
    if path == "-":
        print(text)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def _say(line: str) -> None:
    """Progress for a person at a terminal; nothing in a pipe."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
