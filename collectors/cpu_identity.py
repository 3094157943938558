"""Which CPU this is: what CPUID says, as `<procfs>/cpuinfo` prints it, and whether to believe it.

A hypervisor may hand its guest any model number and any name. Flags are harder to fake, because a
program would crash on an instruction that is not there; where the two contradict each other the
flags win, and the note says so.
"""

from typing import NamedTuple

from collectors.host import Host

# Tile registers came with Sapphire Rapids (2023). No client part has them.
_AMX_FLAGS = frozenset({"amx_tile", "amx_int8", "amx_bf16"})


class CpuIdentity(NamedTuple):
    """One processor model and how many hardware threads of it are visible.

    `vendor` is CPUID's (`GenuineIntel`, `AuthenticAMD`) or `arm:0x41` with the implementer's
    number. `model` is CPUID's model, or the part number of an ARM core; `family` and `stepping`
    are None where there is no such thing. `name` may be empty: ARM has none. `siblings` is how
    many threads one socket shows, which in a guest is the guest's socket and not the real one.
    `cores` is the number of physical cores, or equals `threads` where the kernel does not say.
    """

    vendor: str
    family: int | None
    model: int | None
    stepping: int | None
    name: str
    threads: int
    cores: int
    siblings: int | None
    sockets: int
    hypervisor: bool
    amx: bool
    avx512: bool

    @property
    def label(self) -> str:
        """The name for a person, or the numbers where the CPU has none."""
        if self.name:
            return self.name
        if self.vendor.startswith("arm:") and self.model is not None:
            return f"ARM implementer {self.vendor[4:]} part {self.model:#x}"
        if self.vendor:
            return f"{self.vendor} family {self.family} model {self.model}"
        return "unknown CPU"

    @property
    def generic_name(self) -> bool:
        """True if the name is one that QEMU gives to a whole class of CPUs.

        "Intel Xeon Processor (Skylake, IBRS)" or "QEMU Virtual CPU" is the *least* that the guest
        may count on; the machine below can be several generations newer.
        """
        return self.name.endswith(")") or self.name.startswith(("QEMU", "Common KVM", "AMD EPYC-"))


def read_cpu_identity(host: Host) -> CpuIdentity | None:
    """The CPU of this machine, from `<procfs>/cpuinfo`; None if that file cannot be read.

    On a machine with two kinds of cores the first kind is reported.
    """
    try:
        with open(host.proc("cpuinfo"), encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    return parse_cpuinfo(text)


def parse_cpuinfo(text: str) -> CpuIdentity:
    """The identity in the text of /proc/cpuinfo; missing facts are None, empty, or False."""
    first = _fields(text.split("\n\n", 1)[0])
    # A line that begins with "processor" and a tab; "Processor" (old ARM kernels) is a name.
    threads = max(1, text.count("\nprocessor\t") + text.startswith("processor\t"))
    sockets = len({line for line in text.splitlines() if line.startswith("physical id")}) or 1
    cores_of_socket = _integer(first.get("cpu cores", ""))
    flags = frozenset(first.get("flags", first.get("Features", "")).split())
    implementer = first.get("CPU implementer", "")
    if implementer:
        vendor, family = f"arm:{implementer.lower()}", None
        model = _integer(first.get("CPU part", ""))
    else:
        vendor = first.get("vendor_id", "")
        family = _integer(first.get("cpu family", ""))
        model = _integer(first.get("model", ""))
    return CpuIdentity(
        vendor=vendor,
        family=family,
        model=model,
        stepping=_integer(first.get("stepping", "")),
        name=" ".join(first.get("model name", "").split()),
        threads=threads,
        cores=min(threads, cores_of_socket * sockets) if cores_of_socket else threads,
        siblings=_integer(first.get("siblings", "")),
        sockets=sockets,
        hypervisor="hypervisor" in flags,
        amx=bool(flags & _AMX_FLAGS),
        avx512="avx512f" in flags,
    )


def _fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in block.splitlines():
        key, separator, value = line.partition(":")
        if separator:
            fields.setdefault(key.strip(), value.strip())
    return fields


def _integer(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None
