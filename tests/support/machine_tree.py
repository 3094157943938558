"""A fake /proc and /sys/fs/cgroup of one machine, written file by file: CPU, CPU time, limits."""

from __future__ import annotations

import os
from pathlib import Path

from collectors.host import Host

INTEL_FLAGS = "fpu vme sse sse2 ht avx avx2"
ICE_LAKE_SP = {
    "vendor_id": "GenuineIntel",
    "cpu family": "6",
    "model": "106",
    "model name": "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz",
    "stepping": "6",
    "flags": f"{INTEL_FLAGS} avx512f",
}
SKYLAKE_SP = ICE_LAKE_SP | {
    "model": "85",
    "stepping": "4",
    "model name": "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz",
}
CASCADE_LAKE = SKYLAKE_SP | {
    "stepping": "7",
    "model name": "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz",
}
EPYC_MILAN = {
    "vendor_id": "AuthenticAMD",
    "cpu family": "25",
    "model": "1",
    "model name": "AMD EPYC 7763 64-Core Processor",
    "stepping": "1",
    "flags": "fpu vme sse sse2 ht avx avx2",
}
NEOVERSE_N1 = {
    "BogoMIPS": "243.75",
    "Features": "fp asimd evtstrm aes",
    "CPU implementer": "0x41",
    "CPU architecture": "8",
    "CPU variant": "0x3",
    "CPU part": "0xd0c",
    "CPU revision": "1",
}
# A guest that is told it has a desktop part, on a host whose AMX gives the lie to that.
MASKED_SAPPHIRE_RAPIDS = {
    "vendor_id": "GenuineIntel",
    "cpu family": "6",
    "model": "167",
    "model name": "Intel(R) Xeon(R) Processor",
    "stepping": "8",
    "flags": f"{INTEL_FLAGS} hypervisor avx512f amx_bf16 avx512_fp16 amx_tile amx_int8",
}
ROCKET_LAKE = MASKED_SAPPHIRE_RAPIDS | {
    "model name": "11th Gen Intel(R) Core(TM) i9-11900K @ 3.50GHz",
    "flags": f"{INTEL_FLAGS} avx512f",
}


def cpuinfo(
    fields: dict[str, str], threads: int, *, siblings: int | None = None, smt: int = 2
) -> str:
    """The text of /proc/cpuinfo for `threads` hardware threads, `siblings` of them in a socket."""
    siblings = siblings or threads
    blocks = []
    for thread in range(threads):
        own = dict(fields)
        if "vendor_id" in fields:
            own |= {
                "physical id": str(thread // siblings),
                "siblings": str(siblings),
                "core id": str(thread % siblings // smt),
                "cpu cores": str(siblings // smt),
            }
        lines = [f"processor\t: {thread}", *(f"{key}\t: {value}" for key, value in own.items())]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks) + "\n"


class MachineTree:
    """Writes the files of one machine below a folder, and gives the `Host` that reads them."""

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self.root = root
        self.clock = clock or Clock()
        (root / "proc" / "self").mkdir(parents=True)
        (root / "sys").mkdir()
        self.host = Host(str(root / "sys"), str(root / "proc"), self.clock)

    def write(self, path: str, text: str) -> None:
        """Write one file, `proc/...` or `sys/...`, replacing it in one step as a kernel would."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        part.write_text(text)
        part.rename(target)

    def cpu(self, fields: dict[str, str], threads: int, **shape: int) -> None:
        """Give the machine its CPUs, all of them allowed, none of them used yet."""
        self.write("proc/cpuinfo", cpuinfo(fields, threads, **shape))
        self.allowed(f"0-{threads - 1}")
        self.busy([0.0] * threads)

    def busy(self, busy_s: list[float], idle_s: float = 1000.0, steal_s: float = 0.0) -> None:
        """Set the busy seconds of every CPU, spread over the fields that count as busy."""
        hertz = os.sysconf("SC_CLK_TCK")
        rows = []
        for seconds in busy_s:
            ticks = round(seconds * hertz)
            nice, system, irq, softirq = ticks // 10, ticks // 5, ticks // 50, ticks // 25
            user = ticks - nice - system - irq - softirq
            # user nice system idle iowait irq softirq steal guest guest_nice
            rows.append(
                [user, nice, system, idle_s * hertz, 7, irq, softirq, steal_s * hertz, 5, 0]
            )
        total = [sum(column) for column in zip(*rows, strict=True)]
        lines = [("cpu ", total), *((f"cpu{n}", row) for n, row in enumerate(rows))]
        text = "".join(f"{name} {' '.join(str(int(v)) for v in row)}\n" for name, row in lines)
        self.write("proc/stat", text + "intr 12345 0 0\nctxt 99\nbtime 1700000000\n")

    def allowed(self, cpus: str) -> None:
        """Set the CPUs that affinity and cpuset leave to this process."""
        self.write("proc/self/status", f"Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t{cpus}\n")

    def memory(self, total_bytes: int) -> None:
        """Set the machine's memory."""
        self.write("proc/meminfo", f"MemTotal: {total_bytes // 1024:>12} kB\nMemFree: 1 kB\n")

    def cgroup_v2(self, own: str = "/", root: str = "/", **files: str) -> None:
        """Mount the unified tree with this process at `own`, and write files of its own cgroup."""
        self.write("proc/self/cgroup", f"0::{own}\n")
        self.write(
            "proc/self/mountinfo",
            f"25 1 0:23 / / rw - ext4 /dev/sda1 rw\n"
            f"30 25 0:26 {root} /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
        )
        for name, text in files.items():
            self.write(f"sys/fs/cgroup{_below(own, root)}/{name.replace('__', '.')}", text)

    def cgroup_v1(self, own: str = "/", root: str = "/") -> None:
        """Mount cpu, cpuacct and memory as three trees of version 1."""
        self.write(
            "proc/self/cgroup", f"4:memory:{own}\n3:cpu,cpuacct:{own}\n1:name=systemd:/\n0::/\n"
        )
        mount = "/sys/fs/cgroup"
        self.write(
            "proc/self/mountinfo",
            f"31 25 0:27 {root} {mount}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
            f"32 25 0:28 {root} {mount}/memory rw - cgroup cgroup rw,memory\n"
            f"33 25 0:29 / {mount}/unified rw - cgroup2 cgroup2 rw\n",
        )


class Clock:
    """A monotonic clock that moves when it is told to."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_ns = round(now_s * 1e9)

    def __call__(self) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)


def _below(own: str, root: str) -> str:
    relative = own[len(root) :] if root != "/" and own.startswith(root) else own
    return "" if relative in ("", "/") else relative if relative.startswith("/") else f"/{relative}"
