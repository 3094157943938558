"""Who is at the other end of a connection, as the kernel says, and whether that one is served."""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple

_CREDENTIALS = "3i"
_SO_PEERGROUPS = 59  # Linux 4.13; not in Python's socket module
_MOST_GROUPS = 256  # getsockopt() of Python takes no more than 1024 bytes


class Peer(NamedTuple):
    """The credentials with which the peer connected. It cannot choose them."""

    pid: int
    uid: int
    groups: frozenset[int]


def peer_of(connection: socket.socket) -> Peer:
    """The peer of a Unix socket. Raises OSError."""
    size = struct.calcsize(_CREDENTIALS)
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, gid = struct.unpack(_CREDENTIALS, data)
    groups = {gid}
    try:
        listed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
        groups.update(struct.unpack(f"{len(listed) // 4}I", listed[: len(listed) // 4 * 4]))
    except OSError:  # an old kernel, or a member of more groups than that: its first one counts
        pass
    return Peer(pid, uid, frozenset(groups))


class Door:
    """Lets in root, the daemon's own user and the members of one group."""

    def __init__(self, uid: int, gid: int | None) -> None:
        self._uid = uid
        self._gid = gid

    def admits(self, peer: Peer) -> bool:
        """Whether it is served. The file's mode says the same, unless somebody changed it."""
        return peer.uid in (0, self._uid) or (self._gid is not None and self._gid in peer.groups)


def group_number(name: str) -> int | None:
    """The number of a group, None if there is no such group."""
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def open_socket(path: str, gid: int | None) -> socket.socket:
    """A listening socket that its owner and the group may connect to (0660; 0600 without one).

    What a dead daemon left there is removed. Raises FileExistsError if somebody answers there,
    OSError for what the system says.
    """
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755 if os.getuid() == 0 else 0o700, exist_ok=True)
    if os.stat(folder).st_uid not in (0, os.getuid()):
        raise FileExistsError(f"{folder} is another user's")
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # nobody gets in between bind and chmod
    try:
        listener.bind(path)
        if gid is not None:
            os.chown(path, -1, gid)
            os.chmod(path, 0o660)
        listener.listen(64)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _remove_stale(path: str) -> None:
    if not os.path.lexists(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            os.unlink(path)
            return
    raise FileExistsError(f"another program listens on {path}")
