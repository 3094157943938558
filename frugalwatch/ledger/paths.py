"""Where the ledger lies, and which file systems SQLite must not be trusted on.

WAL needs shared memory between the processes of one host and honest locks. Network file systems
have neither, so there the ledger is a local file and finished runs travel as single files.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from frugalwatch.config.paths import state_dir

if TYPE_CHECKING:
    from frugalwatch.config.settings import Settings

# Types as /proc/self/mountinfo names them. fuse.* are the network ones among FUSE file systems;
# local ones (fuseblk, fuse.mergerfs, fuse.gocryptfs) keep POSIX locks and shared mappings.
NETWORK_FILE_SYSTEMS = frozenset(
    """
    nfs nfs4 lustre cifs smb3 smbfs 9p virtiofs beegfs gpfs ceph afs openafs glusterfs coda ncpfs
    orangefs pvfs2 panfs wekafs pnfs gfs gfs2 ocfs2 davfs quobyte fuse.sshfs fuse.glusterfs
    fuse.ceph fuse.ceph-fuse fuse.beegfs fuse.lustre fuse.s3fs fuse.gcsfuse fuse.rclone fuse.juicefs
    fuse.davfs fuse.cvmfs fuse.moosefs fuse.mfs fuse.seaweedfs fuse.curlftpfs fuse.smbnetfs
    fuse.vmhgfs-fuse fuse.goofys fuse.blobfuse fuse.blobfuse2 fuse.mount-s3 fuse.dfs
    """.split()
)


class Location(NamedTuple):
    """Where runs are recorded (`ledger`), and where finished ones are published (`inbox`).

    `inbox` is a folder on the network file system named in `network`, or None with a local ledger.
    """

    ledger: str
    inbox: str | None = None
    network: str | None = None


def ledger_path(settings: Settings, environ: Mapping[str, str]) -> str:
    """Absolute path of the database that the settings ask for; nothing is created."""
    if settings.ledger:
        return os.path.abspath(os.path.expanduser(settings.ledger))
    return os.path.join(state_dir(environ), "frugalwatch.db")


def locate(
    path: str,
    environ: Mapping[str, str],
    procfs: str = "/proc",
    local_folders: Sequence[str] | None = None,
) -> Location:
    """Where the ledger that was asked for really is: itself, or a local stand-in with an inbox.

    The stand-in is named after the path it stands for, so that two ledgers never meet in one. It
    lies in the first of `local_folders` that is this user's alone (None: `local_directories`).
    """
    network = is_network_file_system(path, procfs)
    if network is None:
        return Location(path)
    for folder in local_directories(environ) if local_folders is None else local_folders:
        if private_directory(folder):
            local = os.path.join(folder, f"ledger-{ledger_digest(path)}.db")
            return Location(local, os.path.join(os.path.dirname(path), "inbox"), network)
    return Location(path, None, network)


def is_network_file_system(path: str, procfs: str = "/proc") -> str | None:
    """The type of the network file system that `path` is (or would be) on, or None if it is local.

    Unknown, because mountinfo is not readable, counts as local.
    """
    try:
        with open(os.path.join(procfs, "self", "mountinfo"), encoding="utf-8") as file:
            lines = file.readlines()
    except (OSError, UnicodeDecodeError):
        return None
    target = os.path.realpath(path) + "/"
    best, best_type = "", ""
    for line in lines:
        fields = line.split(" ")
        try:
            point = _unescape(fields[4]).rstrip("/") + "/"
            fs_type = fields[fields.index("-", 6) + 1]
        except (IndexError, ValueError):
            continue
        # A later mount on the same point hides the earlier one, hence >=.
        if target.startswith(point) and len(point) >= len(best):
            best, best_type = point, fs_type
    return best_type if best_type in NETWORK_FILE_SYSTEMS else None


def _unescape(field: str) -> str:
    """A mountinfo field with its \\040 (space), \\011, \\012 and \\134 decoded."""
    if "\\" not in field:
        return field
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field


def ledger_digest(path: str) -> str:
    """Eight characters that stand for a ledger in names of files that belong to it."""
    return f"{zlib.crc32(os.fsencode(os.path.realpath(path))):08x}"


def local_directories(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Local folders for a stand-in ledger, those that survive a reboot first."""
    uid = os.getuid()
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    own = (os.path.join(runtime, "frugalwatch"),) if os.path.isabs(runtime) else ()
    return (f"/var/tmp/frugalwatch-{uid}", *own)


def fallback_directories(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Folders where a run is saved when its ledger cannot be written, best first."""
    uid = os.getuid()
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    own = (os.path.join(runtime, "frugalwatch"),) if os.path.isabs(runtime) else ()
    return (*own, f"/dev/shm/frugalwatch-{uid}", f"/tmp/frugalwatch-{uid}")


def fallback_inbox(directory: str, path: str) -> str:
    """The folder, below a fallback one, for runs that the ledger `path` could not take."""
    return os.path.join(directory, f"inbox-{ledger_digest(path)}")


def private_directory(path: str) -> bool:
    """True if `path` is, after this call, a real folder of this user's that nobody else can enter.

    In a shared /tmp another user may have put a folder or a symbolic link of that name there
    first; then the answer is False.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and found.st_mode & 0o077 == 0
        and os.access(path, os.W_OK | os.X_OK)
    )
