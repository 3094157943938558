"""Run a command so that the world outside does not notice: the launcher of every replay.

    python -I -S sandbox.py '<JSON of what to do>' COMMAND ARGUMENT...

It gives itself a mount, network and IPC namespace (and a user namespace where it is not root),
makes every file system read-only, lays a throw-away layer over the folders that a program writes
to, and becomes the command. The layers are memory: they vanish with the last process that sees
them, also after `kill -9`. The standard library has no `mount`, so libc is called through ctypes.

It runs as a file, in a process of its own, and imports nothing of ours. What it cost until the
command began goes to a report file, so that it can be taken off the measurement.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import sys
import time
from typing import NoReturn

# Our own exit status for "could not isolate"; the report file then says why.
CANNOT_ISOLATE = 125

_CLONE_NEWNS, _CLONE_NEWIPC = 0x00020000, 0x08000000
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MS_NOSUID, _MS_NODEV = 0x2, 0x4
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 0x1
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture (Linux 5.12)
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_AF_INET, _SOCK_DGRAM = 2, 2

# Sockets of services lie here; a socket seen through an overlay cannot be connected to.
_ALSO_COVERED = ("/run", "/var/run", "/var/tmp", "/tmp")
_KEPT_WRITABLE = ("/proc",)
_NEVER_COVERED = ("/", "/proc", "/sys", "/dev")
_STAGE = "/dev/shm"  # replaced by a fresh one, so a good place to build the layers


class IsolationError(Exception):
    """What could not be had, in words for a person."""


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def folders_to_cover(cwd: str, environment: dict[str, str]) -> list[str]:
    """The outermost folders that get a throw-away layer: working folder, HOME, XDG and TMP."""
    variables = {"HOME", "TMPDIR", "TMP", "TEMP", "XDG_RUNTIME_DIR"}
    variables |= {k for k in environment if k.startswith("XDG_") and k.endswith("_HOME")}
    names = [cwd, *_ALSO_COVERED, *(environment.get(name, "") for name in variables)]
    real = {os.path.realpath(name) for name in names if os.path.isabs(name)}
    wanted = sorted(n for n in real if os.path.isdir(n) and not _is_kept(n))
    outermost: list[str] = []
    for name in wanted:
        if not any(name.startswith(outer + "/") for outer in outermost):
            outermost.append(name)
    return outermost


def _is_kept(path: str) -> bool:
    return path in _NEVER_COVERED or path.startswith(("/proc/", "/sys/", "/dev/"))


def isolate(
    cwd: str,
    environment: dict[str, str],
    *,
    cover: bool,
    network: bool,
    open_folders: list[str] | tuple[str, ...] = (),
) -> None:
    """Move this process into namespaces of its own. Raises IsolationError with the reason.

    Without `cover` the files stay the real ones; with `network` the network does. `open_folders`
    are those of ours in which what is written stays.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    _unshare(libc, network=network)
    if cover:
        _make_private(libc)
        _make_read_only(libc)
        kept = [*_pipe(environment), *open_folders]
        _cover(libc, folders_to_cover(cwd, environment), kept)
        os.chdir(cwd)  # the old one is the folder below the layer
    if not network:
        _raise_loopback(libc)


def _unshare(libc: ctypes.CDLL, *, network: bool) -> None:
    wanted = _CLONE_NEWNS | _CLONE_NEWIPC | (0 if network else _CLONE_NEWNET)
    if os.geteuid() == 0 and libc.unshare(wanted) == 0:
        return
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(wanted | _CLONE_NEWUSER) != 0:
        raise IsolationError(f"this system allows no namespaces ({_error()})")
    try:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    except OSError as problem:
        raise IsolationError(f"the user namespace could not be set up ({problem})") from problem


def _make_private(libc: ctypes.CDLL) -> None:
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        raise IsolationError(f"mounts could not be made private ({_error()})")


def _make_read_only(libc: ctypes.CDLL) -> None:
    _set_attributes(libc, "/", _MountAttributes(attr_set=_MOUNT_ATTR_RDONLY), _AT_RECURSIVE)
    for path in _KEPT_WRITABLE:
        _set_attributes(libc, path, _MountAttributes(attr_clr=_MOUNT_ATTR_RDONLY), 0)


def _set_attributes(libc: ctypes.CDLL, path: str, attributes: _MountAttributes, flags: int) -> None:
    done = libc.syscall(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        os.fsencode(path),
        flags,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )
    if done != 0:
        raise IsolationError(f"file systems could not be made read-only ({_error()}; Linux 5.12)")


def _pipe(environment: dict[str, str]) -> list[str]:
    """The pipe on which the hook inside the command tells the sampler what it sees, if any.

    Through a layer it would be another pipe, with nobody at its end.
    """
    path = environment.get("FRUGALWATCH_PIPE", "")
    return [path] if path and os.path.exists(path) else []


def _cover(libc: ctypes.CDLL, folders: list[str], kept: list[str]) -> None:
    """Lay a throw-away layer over each folder and over every mount below it, not over `kept`."""
    # Descriptors, since the first layer hides the paths of what is mounted below it.
    covered = [p for p in _with_mounts_below(folders) if p not in kept]
    targets = [(p, os.open(p, os.O_PATH)) for p in [*covered, *kept]]
    _mount(libc, _STAGE, "tmpfs", "mode=1777", "a temporary file system")
    stage = os.path.join(_STAGE, ".layers")
    os.mkdir(stage, 0o700)
    for number, (path, descriptor) in enumerate(targets):
        lower = f"/proc/self/fd/{descriptor}"
        if path not in kept:
            _overlay(libc, lower, path, os.path.join(stage, str(number)))
        elif libc.mount(lower.encode(), os.fsencode(path), None, _MS_BIND, None) != 0:
            raise IsolationError(f"{path} could not be kept in view ({_error()})")
        elif os.path.isdir(path):
            _set_attributes(libc, path, _MountAttributes(attr_clr=_MOUNT_ATTR_RDONLY), 0)
        os.close(descriptor)
    # Out of the command's sight: the mounts keep the layers alive.
    _mount(libc, _STAGE, "tmpfs", "mode=1777", "a temporary file system")


def _overlay(libc: ctypes.CDLL, lower: str, path: str, place: str) -> None:
    found = os.stat(lower)
    upper, work = f"{place}-upper", f"{place}-work"
    os.mkdir(work, 0o700)
    os.mkdir(upper)
    os.chmod(upper, found.st_mode & 0o7777)  # the layer's root shows in place of the folder
    if os.geteuid() == 0 and (found.st_uid, found.st_gid) != (0, 0):
        try:
            os.chown(upper, found.st_uid, found.st_gid)
        except OSError:  # an owner that this user namespace does not know
            os.chmod(upper, (found.st_mode & 0o7777) | 0o700)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    data = f"{options},userxattr".encode()
    # `userxattr` is for user namespaces and unknown before Linux 5.11.
    if libc.mount(b"overlay", os.fsencode(path), b"overlay", _MS_NOSUID | _MS_NODEV, data) != 0:
        _mount(libc, path, "overlay", options, f"a throw-away layer over {path}")


def _with_mounts_below(folders: list[str]) -> list[str]:
    """The folders, and the mount points below them, outer ones first."""
    result = set(folders)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point = line.split(" ")[4]
            for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                point = point.replace(code, char)
            if any(point.startswith(folder + "/") for folder in folders):
                result.add(point)
    return sorted(p for p in result if os.path.exists(p))


def _mount(libc: ctypes.CDLL, path: str, kind: str, options: str, what: str) -> None:
    name = kind.encode()
    flags = _MS_NOSUID | _MS_NODEV
    done = libc.mount(name, os.fsencode(path), name, flags, os.fsencode(options))
    if done != 0:
        raise IsolationError(f"{what} could not be mounted ({_error()})")


def _raise_loopback(libc: ctypes.CDLL) -> None:
    """Switch 127.0.0.1 on: programs talk to themselves (torch.distributed, test servers)."""
    descriptor = libc.socket(_AF_INET, _SOCK_DGRAM, 0)
    if descriptor < 0:
        return
    request = struct.pack("16sH22x", b"lo", _IFF_UP_RUNNING)
    libc.ioctl(descriptor, _SIOCSIFFLAGS, request)
    os.close(descriptor)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _error() -> str:
    return os.strerror(ctypes.get_errno())


def main(arguments: list[str]) -> NoReturn:
    """Isolate, report, and become the command."""
    order, argv = json.loads(arguments[0]), arguments[1:]
    report = os.open(order["report"], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    environment = {k: v for k, v in os.environ.items() if k not in order["unset"]}
    environment.update(order["set"])
    cover, network = order["cover"], order["network"]
    if cover or not network:
        try:
            isolate(
                os.getcwd(),
                dict(os.environ),
                cover=cover,
                network=network,
                open_folders=order.get("open_folders", ()),
            )
        except (IsolationError, OSError) as problem:
            os.write(report, json.dumps({"error": str(problem)}).encode())
            sys.exit(CANNOT_ISOLATE)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores for itself
        signal.signal(number, signal.SIG_DFL)
    used = time.process_time()
    told = {"pid": os.getpid(), "cpu_s": used, "exec_mono_ns": time.monotonic_ns()}
    os.write(report, json.dumps(told).encode())
    try:
        os.execvpe(argv[0], argv, environment)
    except OSError as problem:
        missing = isinstance(problem, (FileNotFoundError, NotADirectoryError))
        text = f"{argv[0]}: {problem.strerror}\n"
        os.write(2, text.encode(errors="replace"))
        sys.exit(127 if missing else 126)


if __name__ == "__main__":
    main(sys.argv[1:])
