"""The cross-check against real pyRAPL and codecarbon, on simulated RAPL with a known truth.

    sudo PYTHON -m bench.crosscheck_simulated [SECONDS] [RANGE_J]

Both trackers read /sys/class/powercap and nothing else, so a fake tree is mounted over it in a
mount namespace of its own (needs root). Truth: package 40 W, DRAM 5 W; RANGE_J (default 150) makes
the package's counter wrap every few seconds, since two ends alone then show the wrong energy.
Needs `pip install 'frugalwatch[crosscheck]'`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE_W, DRAM_W = 40.0, 5.0


def measure(seconds: float, tree_folder: str, range_j: float) -> int:
    """Inside the namespace: mount the tree, cross-check, compare with the truth."""
    from collectors.host import Host
    from frugalwatch.crosscheck.compare import run_crosscheck
    from frugalwatch.crosscheck.render import render
    from tests.support.fake_sysfs import Constant, PowercapTree, Zone

    zones = [
        Zone(
            "package-0",
            Constant(PACKAGE_W),
            range_j=range_j,
            subzones=(Zone("dram", Constant(DRAM_W), range_j=range_j),),
        )
    ]
    with PowercapTree(Path(tree_folder), zones) as tree:
        # As Linux has it; codecarbon looks for the counters through this link.
        control = Path(tree.sysfs) / "devices/virtual/powercap/intel-rapl/subsystem"
        if not control.is_symlink():
            control.symlink_to("../../../../class/powercap")
        tree.start()
        for folder in ("class", "devices/virtual"):
            subprocess.run(
                ["mount", "--bind", f"{tree.sysfs}/{folder}", f"/sys/{folder}"], check=True
            )
        result = run_crosscheck(seconds, Host(), progress=lambda text: print(text, file=sys.stderr))
        print(render(result))
    worst = 0.0
    for part in result.parts:
        truth_w = PACKAGE_W if part.name == "CPU" else DRAM_W
        worst = max(worst, abs(part.watts / truth_w - 1))
    print(
        f"\ntruth: package {PACKAGE_W:g} W, DRAM {DRAM_W:g} W; ours is off by {worst:.2%} at worst"
    )
    return 0 if worst < 0.02 else 1


def main() -> int:
    """Enter a mount namespace and measure there."""
    if os.geteuid() != 0:
        print("needs root, for a mount namespace of its own", file=sys.stderr)
        return 2
    seconds = sys.argv[1] if len(sys.argv) > 1 else "12"
    range_j = sys.argv[2] if len(sys.argv) > 2 else "150"
    if os.environ.get("FRUGALWATCH_BENCH_INSIDE"):
        return measure(float(seconds), os.environ["FRUGALWATCH_BENCH_INSIDE"], float(range_j))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "bench.crosscheck_simulated", seconds, range_j]
        return subprocess.run(
            ["unshare", "-m", *command],
            env={**os.environ, "FRUGALWATCH_BENCH_INSIDE": folder},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
