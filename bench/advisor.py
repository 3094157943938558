"""What `frugalwatch advise` finds on ordinary programs, beside what was aimed at.

    python bench/advisor.py --python VENV/bin/python            # all workloads
    python bench/advisor.py --only minilm-1 digits --budget 5min
    python bench/advisor.py --only digits --verify 10           # do savings come true?
    python bench/advisor.py --only minilm-1 digits --peers      # beside other tools

Each program is advised on by one command and no change of its code. Every advice is kept as JSON in
the output folder, and the tables are written again after each, so that a call that is cut short
keeps what it found.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field

import advice_peers
import advice_table
from advice_calls import Setting, advised
from advice_peers import PeerResult
from advice_rows import Repeat, Row, repeat, row
from advice_workloads import WORKLOADS, Workload, prepare, true_share
from conditions import Conditions, conditions, write

# Advice on these is repeated and verified; other workloads by name.
_VERIFIED = ("minilm-1", "digits")


@dataclass(slots=True)
class Found:
    """All that a call of the bench found so far."""

    conditions: Conditions
    rows: list[Row] = field(default_factory=list)
    repeats: dict[str, list[Repeat]] = field(default_factory=dict)
    peers: list[PeerResult] = field(default_factory=list)

    def write(self, folder: str) -> str:
        """Write results.json and results.md; returns the Markdown."""
        text = advice_table.markdown(self.conditions, self.rows, self.repeats, self.peers)
        document = {
            "schema": "frugalwatch.advisor-bench/1",
            **self.conditions.as_json(),
            "workloads": [r.as_json() for r in self.rows],
            "verified": {n: [asdict(r) for r in each] for n, each in self.repeats.items()},
            "peers": [asdict(p) for p in self.peers],
        }
        return write(folder, document, text)


def bench_one(setting: Setting, workload: Workload) -> Row:
    """Advise on one workload; what went wrong is in the row."""
    before = os.getloadavg()[0]
    try:
        share = true_share(workload, setting.python, setting.cache)
        advice, taken_s = advised(setting, workload, workload.name)
    except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
        load = (before, os.getloadavg()[0])
        return Row(
            workload.name, workload.title, "", None, None, None, "", None, 0.0, None, load,
            trouble=str(error),
        )  # fmt: skip
    return row(workload, advice, taken_s, (before, os.getloadavg()[0]), share)


def verify(setting: Setting, workload: Workload, times: int, found: list[Repeat]) -> None:
    """Advise and verify so often, each time from nothing; adds to `found`."""
    for number in range(1, times + 1):
        name = f"{workload.name}-{number}"
        advice, _ = advised(setting, workload, name)
        if not advice["recommendations"]:
            continue
        words = ["verify", advice["advice"], "--json", "--budget", setting.budget]
        text, _ = setting.call(words, f"{name}-verify.log")
        result = repeat(json.loads(text))
        if result is not None:
            found.append(result)
            print(f"{name}: promised {result.promised}, verified {result.verified}", flush=True)


def main() -> int:
    """Run what was asked for; prints the tables."""
    options = _options()
    setting = Setting(
        options.frugalwatch,
        options.python,
        os.path.abspath(options.cache),
        os.path.abspath(options.out),
        options.budget,
        tuple(options.option),
    )
    os.makedirs(setting.out, exist_ok=True)
    prepare(setting.python, setting.cache)
    chosen = [w for w in WORKLOADS if not options.only or w.name in options.only]
    found = Found(conditions(setting.python, options.budget))
    try:
        for workload in chosen:
            print(f"{workload.title} ...", file=sys.stderr, flush=True)
            found.rows.append(bench_one(setting, workload))
            found.write(setting.out)
        for workload in chosen if options.verify else []:
            if workload.name in _VERIFIED or options.only:
                repeats = found.repeats.setdefault(workload.name, [])
                verify(setting, workload, options.verify, repeats)
                found.write(setting.out)
        if options.peers:
            names = [w.name for w in chosen]
            for result in advice_peers.side_by_side(
                names, setting.python, setting.cache, setting.out, options.envs
            ):
                found.peers.append(result)
                found.write(setting.out)
    except KeyboardInterrupt:
        print("interrupted: what was found so far", file=sys.stderr)
    print(found.write(setting.out))
    missed = any(a.verdict == "below" for r in found.rows for a in r.aims)
    return 1 if missed or any(r.trouble for r in found.rows) else 0


def _options() -> argparse.Namespace:
    home = os.path.join(os.path.expanduser("~"), ".cache", "frugalwatch-bench")
    beside = os.path.join(os.path.dirname(sys.executable), "frugalwatch")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frugalwatch", default=beside, help="our program")
    parser.add_argument("--python", default=sys.executable, help="the Python of the programs")
    parser.add_argument("--cache", default=home, help="for trained networks and the like")
    parser.add_argument("--out", default="advisor-bench", help="for what is found")
    parser.add_argument("--envs", default=os.path.join(home, "envs"), help="of other tools")
    parser.add_argument("--only", nargs="*", choices=[w.name for w in WORKLOADS], default=[])
    parser.add_argument("--budget", default="10min", help="of each advice")
    parser.add_argument("--option", action="append", default=[], help="passed on to advise")
    parser.add_argument("--verify", type=int, default=0, metavar="N", help="fresh advices each")
    parser.add_argument("--peers", action="store_true", help="other tools on (a) and (b)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
