"""A simulated RAPL counter in a mount namespace of its own, for machines that have none.

Some trackers give up without a counter, and every tracker does more work with one. Inside the
namespace /sys/class/powercap holds one package of constant power; the rest of /sys/class is the
machine's own. Nothing outside the bench and its children sees it. Needs root and util-linux.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time

_INSIDE = "FRUGALWATCH_BENCH_SIMULATED_RAPL"
_POWER_W = 40.0
_RANGE_UJ = 262_143_328_850  # a common package counter's range
_PACKAGE = "/sys/class/powercap/intel-rapl:0"
_UPDATE_EVERY_S = 0.02


def enter_namespace() -> None:
    """Start this program again in a private mount namespace, unless it runs in one already.

    Returns only inside the namespace. Raises OSError if `unshare` cannot be started.
    """
    if os.environ.get(_INSIDE):
        return
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *_this_program()])


def start_counter() -> None:
    """Put the counter into /sys/class/powercap and let a thread advance it at 40 W."""
    original = tempfile.mkdtemp(prefix="sys-class-")
    _mount("--bind", "/sys/class", original)
    _mount("-t", "tmpfs", "tmpfs", "/sys/class")
    for name in os.listdir(original):
        if name != "powercap":
            os.mkdir(f"/sys/class/{name}")
            # A bind mount keeps the relative links inside ("../../devices/...") right.
            _mount("--bind", f"{original}/{name}", f"/sys/class/{name}")
    os.makedirs(_PACKAGE)
    os.makedirs("/sys/class/powercap/intel-rapl")
    _write("/sys/class/powercap/intel-rapl/enabled", "1")
    for name, text in (
        ("name", "package-0"),
        ("enabled", "1"),
        ("max_energy_range_uj", str(_RANGE_UJ)),
        ("energy_uj", "0"),
    ):
        _write(f"{_PACKAGE}/{name}", text)
    threading.Thread(target=_advance, daemon=True).start()


def _advance() -> None:
    """Write the counter as the energy of constant power since now, in one write of fixed width."""
    started = time.monotonic()
    # A base with as many digits as any later value, so that no write changes the file's length.
    base_uj = 10_000_000_000
    file = os.open(f"{_PACKAGE}/energy_uj", os.O_WRONLY)
    while True:
        energy_uj = base_uj + int((time.monotonic() - started) * _POWER_W * 1e6)
        os.pwrite(file, f"{energy_uj}\n".encode(), 0)
        time.sleep(_UPDATE_EVERY_S)


def _this_program() -> list[str]:
    return [sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]]


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{text}\n")
