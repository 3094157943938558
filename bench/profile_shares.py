"""How near the shares of `run --profile` come to programs whose split is known.

    python bench/profile_shares.py [ROUNDS]

Each program of bench/profile_jobs.py says how much CPU time its functions used by its own clock.
Printed is, for each function, its true share, and mean and standard deviation of what the profile
said minus that, in percentage points, over the rounds; and how much of the job's CPU time the
profile has.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from profile_jobs import PROGRAMS

PROGRAM = [sys.executable, "-m", "frugalwatch"]


def main() -> int:
    """Run every program so many times, and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(f"{'program':<28} {'function':<10} {'true':>6}  profile minus true   recorded")
    for name, source in PROGRAMS.items():
        errors: dict[str, list[float]] = {}
        truths: dict[str, list[float]] = {}
        recorded = []
        for _ in range(rounds):
            profile, used = _one_run(source)
            recorded.append(profile["job"]["recorded_cpu_s"] / profile["job"]["cpu_s"])
            found = {
                row["function"].rpartition(".")[2]: row["self"]["cpu_s"]
                for row in profile["functions"]
                if row["function"].rpartition(".")[2] in used
            }
            for function, cpu_s in used.items():
                truth = cpu_s / sum(used.values())
                said = found.get(function, 0.0) / sum(found.values())
                truths.setdefault(function, []).append(truth)
                errors.setdefault(function, []).append(100 * (said - truth))
        for function, found_errors in errors.items():
            print(
                f"{name:<28} {function:<10} {statistics.mean(truths[function]):>6.1%}"
                f"  {statistics.mean(found_errors):+5.1f} +- {statistics.stdev(found_errors):.1f}"
                f"          {statistics.mean(recorded):.0%}"
            )
    return 0


def _one_run(source: str) -> tuple[dict, dict[str, float]]:
    with tempfile.TemporaryDirectory() as place:
        environment = dict(os.environ, XDG_STATE_HOME=place)
        script = os.path.join(place, "program.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(source)
        run = [*PROGRAM, "run", "-q", "--profile", sys.executable, script]
        done = subprocess.run(run, env=environment, check=True, capture_output=True)
        shown = subprocess.run(
            [*PROGRAM, "profile", "--json"], env=environment, check=True, capture_output=True
        )
        return json.loads(shown.stdout), json.loads(done.stdout)


if __name__ == "__main__":
    raise SystemExit(main())
