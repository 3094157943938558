"""Fail a pipeline when a job took more energy or CPU time than it may.

Reads the run object that `frugalwatch run --json FILE` wrote. Exit status: 0 inside the budget,
3 over it, 1 when the run holds no figure to judge by.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


def energy_used(run: dict[str, Any]) -> tuple[float | None, str]:
    """The cautious end of the run's energy in joules, and how it is known."""
    if run["energy_j"] is not None:
        return run["energy_high_j"], "measured, high bound"
    return run["estimated_high_j"], "modelled, high bound"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="file written by `frugalwatch run --json`")
    parser.add_argument("--max-j", type=float, help="most energy, in joules")
    parser.add_argument("--max-cpu-s", type=float, help="most CPU time, in seconds")
    options = parser.parse_args()
    with open(options.run, encoding="utf-8") as file:
        run = json.load(file)

    energy_j, how = energy_used(run)
    status = 0
    for name, value, limit, unit in (
        (f"energy ({how})", energy_j, options.max_j, "J"),
        ("CPU time (measured)", run["cpu_s"], options.max_cpu_s, "s"),
    ):
        if limit is None:
            continue
        if value is None:
            print(f"no figure: {name}", file=sys.stderr)
            return 1
        verdict = "over" if value > limit else "within"
        print(f"{verdict} budget: {name} {value:.3g} {unit}, limit {limit:g} {unit}")
        if value > limit:
            status = 3
    return status


if __name__ == "__main__":
    sys.exit(main())
