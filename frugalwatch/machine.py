"""Which machine and which boot this is, in terms that stay the same and give nothing away."""

from __future__ import annotations

import os
import zlib


def machine_key() -> str:
    """A stable name for this machine that does not reveal its machine-id."""
    identity = read_line("/etc/machine-id") or os.uname().nodename
    data = f"frugalwatch:{identity}".encode()
    return f"{zlib.crc32(data):08x}{zlib.adler32(data):08x}"


def boot_key() -> str:
    """The kernel's id of this boot; `unknown` where /proc is not there."""
    return read_line("/proc/sys/kernel/random/boot_id") or "unknown"


def pid_namespace() -> int | None:
    """The inode of this process's pid namespace: pids of another one mean nothing here."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def user_name() -> str:
    """The login name of the user that we run as; the number of one without a name."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def cpu_name() -> str | None:
    """The processor as it calls itself, None where it doesn't."""
    for line in read_text("/proc/cpuinfo", 4096).splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip() or None
    return None


def memory_bytes() -> int | None:
    """Installed memory that the kernel manages, in bytes."""
    words = read_text("/proc/meminfo", 4096).split()
    return int(words[1]) * 1024 if len(words) > 1 and words[1].isdigit() else None


def read_line(path: str) -> str:
    """The first line of a small file without its end; empty if it cannot be read."""
    return read_text(path).partition("\n")[0].strip()


def read_text(path: str, limit: int = -1) -> str:
    """A small text file, or its beginning; empty if it cannot be read."""
    try:
        with open(path, errors="replace") as file:
            return file.read(limit)
    except OSError:
        return ""
