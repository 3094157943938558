"""What `frugalwatch advise --family all` makes of models that may be changed themselves.

    python bench/compress.py --python VENV/bin/python            # all workloads
    python bench/compress.py --only digits glyphs --budget 20min
    python bench/compress.py --only digits --peers               # beside other tools

Each program is advised on by one command and no change of its code. Where there are labels, every
recommendation is then applied to the unmodified program on inputs that no advice has seen, and its
right answers are compared with those as written, input by input. Tables are written again after
each workload, so that a call that is cut short keeps what it found.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any  # what JSON gives back

import advice_peers
import compress_labels
import compress_table
from advice_calls import Setting, advised
from advice_peers import PeerResult
from advice_rows import Row, row
from advice_workloads import prepare
from compress_rows import CompressedRow, learning, per_token, refused, tried
from compress_workloads import MADE, WORKLOADS, Compressed
from conditions import Conditions, conditions, write

# Of the recommendations: labels are looked at for so many.
_CHECKED = 3


@dataclass(slots=True)
class Found:
    """All that a call of the bench found so far."""

    conditions: Conditions
    rows: list[CompressedRow] = field(default_factory=list)
    peers: list[PeerResult] = field(default_factory=list)

    def write(self, folder: str) -> str:
        """Write results.json and results.md; returns the Markdown."""
        text = compress_table.markdown(self.conditions, self.rows, self.peers)
        document = {
            "schema": "frugalwatch.compress-bench/1",
            **self.conditions.as_json(),
            "workloads": [r.as_json() for r in self.rows],
            "peers": [asdict(p) for p in self.peers],
        }
        return write(folder, document, text)


def bench_one(setting: Setting, chosen: Compressed) -> CompressedRow:
    """Advise on one workload, then look at its labels; what went wrong is in the row."""
    workload = chosen.workload
    before = os.getloadavg()[0]
    try:
        advice, taken_s = advised(setting, workload, workload.name)
    except (RuntimeError, ValueError) as error:
        failed = Row(
            workload.name, workload.title, "", None, None, None, "", None, 0.0, None,
            (before, os.getloadavg()[0]), trouble=str(error),
        )  # fmt: skip
        return CompressedRow(failed)
    found = row(workload, advice, taken_s, (before, os.getloadavg()[0]))
    spent = advice.get("spent") or {}
    return CompressedRow(
        found,
        tried(advice),
        refused(advice),
        list((advice.get("compression") or {}).get("points", ())),
        labelled(setting, chosen, advice),
        per_token(advice, workload.tokens),
        _spent(spent),
        learning(os.path.join(setting.out, "state", "frugalwatch", "advice", advice["advice"])),
    )


def _spent(spent: Mapping[str, float]) -> str:
    """What the advice took, and the largest of all processes so far, in words."""
    largest_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    memory = f"no process so far took more than {largest_mib:.0f} MiB"
    if not spent:
        return memory
    return f"replays took {spent['cpu_s']:.0f} CPU-seconds; {memory}"


def labelled(
    setting: Setting, chosen: Compressed, advice: Mapping[str, Any]
) -> dict[str, compress_labels.Paired]:
    """What recommendations cost in right answers, by name, on inputs that no advice has seen."""
    found: dict[str, compress_labels.Paired] = {}
    if not chosen.fresh:
        return found
    own = os.path.join(setting.out, f"{chosen.workload.name}-as-written.npy")
    command = chosen.labelled(setting.python, setting.cache, own)
    subprocess.run(command, check=True, stdout=sys.stderr)
    for entry in advice["recommendations"][:_CHECKED]:
        number = str(entry["number"])
        new = os.path.join(setting.out, f"{chosen.workload.name}-{number}.npy")
        command = chosen.labelled(setting.python, setting.cache, new)
        words = ["run", "--quiet", "--with", number, "--", *command]
        try:
            setting.call(words, f"{chosen.workload.name}-labels.log")
            found[str(entry["name"])] = compress_labels.compared(setting.python, own, new)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            print(f"{number} on labelled inputs: {error}", file=sys.stderr)
    return found


def main() -> int:
    """Run what was asked for; prints the tables."""
    options = _options()
    setting = Setting(
        options.frugalwatch,
        options.python,
        os.path.abspath(options.cache),
        os.path.abspath(options.out),
        options.budget,
        ("--family", options.family, *options.option),
    )
    os.makedirs(setting.out, exist_ok=True)
    chosen = [w for w in WORKLOADS if not options.only or w.workload.name in options.only]
    words = {word for w in chosen for word in (*w.workload.program, *w.fresh)}
    made = [each for each in MADE if f"{{cache}}/{each[0]}" in words]
    prepare(setting.python, setting.cache, made)
    found = Found(conditions(setting.python, options.budget))
    try:
        for each in chosen:
            print(f"{each.workload.title} ...", file=sys.stderr, flush=True)
            found.rows.append(bench_one(setting, each))
            found.write(setting.out)
        if options.peers:
            names = [w.workload.name for w in chosen]
            for result in advice_peers.side_by_side(
                names, setting.python, setting.cache, setting.out, options.envs,
                tools=(*advice_peers.PEERS, *advice_peers.PRUNERS),
            ):  # fmt: skip
                found.peers.append(result)
                found.write(setting.out)
    except KeyboardInterrupt:
        print("interrupted: what was found so far", file=sys.stderr)
    print(found.write(setting.out))
    missed = any(a.verdict == "below" for r in found.rows for a in r.row.aims)
    return 1 if missed or any(r.row.trouble for r in found.rows) else 0


def _options() -> argparse.Namespace:
    home = os.path.join(os.path.expanduser("~"), ".cache", "frugalwatch-bench")
    beside = os.path.join(os.path.dirname(sys.executable), "frugalwatch")
    names = [w.workload.name for w in WORKLOADS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frugalwatch", default=beside, help="our program")
    parser.add_argument("--python", default=sys.executable, help="the Python of the programs")
    parser.add_argument("--cache", default=home, help="for trained networks and the like")
    parser.add_argument("--out", default="compress-bench", help="for what is found")
    parser.add_argument("--envs", default=os.path.join(home, "envs"), help="of other tools")
    parser.add_argument("--only", nargs="*", choices=names, default=[])
    parser.add_argument("--family", choices=["runtime", "compress", "all"], default="all")
    parser.add_argument("--budget", default="20min", help="of each advice")
    parser.add_argument("--option", action="append", default=[], help="passed on to advise")
    parser.add_argument("--peers", action="store_true", help="other tools on (a), (b), glyphs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
