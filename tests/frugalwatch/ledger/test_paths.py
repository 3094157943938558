from __future__ import annotations

import os
from pathlib import Path

import pytest

from frugalwatch.config.settings import Settings
from frugalwatch.ledger.paths import (
    fallback_directories,
    is_network_file_system,
    ledger_path,
    locate,
    private_directory,
)


def mountinfo(folder: Path, *mounts: tuple[str, str]) -> str:
    """A fake /proc whose mountinfo has the given (mount point, type) pairs. Its path."""
    proc = folder / "proc"
    (proc / "self").mkdir(parents=True, exist_ok=True)
    lines = [
        f"{36 + n} 35 98:{n} / {point} rw,noatime shared:{n} - {kind} source rw"
        for n, (point, kind) in enumerate(mounts)
    ]
    (proc / "self" / "mountinfo").write_text("\n".join(lines) + "\n")
    return str(proc)


def test_the_ledger_lies_in_the_state_folder_unless_a_setting_says_else() -> None:
    assert ledger_path(Settings(), {"XDG_STATE_HOME": "/s"}) == "/s/frugalwatch/frugalwatch.db"
    assert (
        ledger_path(Settings(), {"HOME": "/home/a"})
        == "/home/a/.local/state/frugalwatch/frugalwatch.db"
    )
    relative = ledger_path(Settings(), {"HOME": "/home/a", "XDG_STATE_HOME": "relative"})
    assert relative.startswith("/home/a/.local")
    assert ledger_path(Settings(ledger="/data/my.db"), {"HOME": "/home/a"}) == "/data/my.db"


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "lustre", "cifs", "smb3", "9p", "beegfs", "gpfs", "ceph", "fuse.sshfs", "afs"],
)
def test_network_file_systems_are_known(tmp_path: Path, kind: str) -> None:
    proc = mountinfo(tmp_path, ("/", "ext4"), ("/home", kind))
    assert is_network_file_system("/home/a/frugalwatch.db", proc) == kind
    assert is_network_file_system("/homework/frugalwatch.db", proc) is None
    assert is_network_file_system("/var/frugalwatch.db", proc) is None


def test_the_innermost_and_the_latest_mount_decides(tmp_path: Path) -> None:
    proc = mountinfo(
        tmp_path,
        ("/", "nfs"),
        ("/home", "nfs4"),
        ("/home/a/scratch", "xfs"),
        ("/data", "ext4"),
        ("/data", "lustre"),
    )
    assert is_network_file_system("/home/a/scratch/l.db", proc) is None
    assert is_network_file_system("/home/a/l.db", proc) == "nfs4"
    assert is_network_file_system("/data/l.db", proc) == "lustre"
    assert is_network_file_system("/etc/l.db", proc) == "nfs"
    proc = mountinfo(tmp_path, ("/home/a", "xfs"), ("/home", "nfs4"))
    assert is_network_file_system("/home/a/l.db", proc) is None, "whatever their order"


def test_mount_points_with_spaces_links_and_optional_fields(tmp_path: Path) -> None:
    real = tmp_path / "my disk"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    proc = mountinfo(tmp_path, ("/", "ext4"), (str(real).replace(" ", "\\040"), "cifs"))
    assert is_network_file_system(str(link / "l.db"), proc) == "cifs"
    info = Path(proc, "self", "mountinfo")
    info.write_text("36 35 0:1 / / rw - nfs server:/x rw\nbroken line\n\n")
    assert is_network_file_system("/x", proc) == "nfs", "no optional field at all"


def test_without_mountinfo_a_path_counts_as_local(tmp_path: Path) -> None:
    assert is_network_file_system("/x", str(tmp_path)) is None


def test_a_network_ledger_gets_a_local_stand_in_and_an_inbox(tmp_path: Path) -> None:
    proc = mountinfo(tmp_path, ("/", "ext4"), ("/nfs", "nfs"))
    local = [str(tmp_path / "none" / "here"), str(tmp_path / "local")]
    location = locate("/nfs/a/frugalwatch.db", {}, proc, local)
    assert location.network == "nfs"
    assert location.inbox == "/nfs/a/inbox"
    assert os.path.dirname(location.ledger) == str(tmp_path / "local")
    assert is_network_file_system(location.ledger, proc) is None
    assert location == locate("/nfs/a/frugalwatch.db", {}, proc, local)
    assert location.ledger != locate("/nfs/b/frugalwatch.db", {}, proc, local).ledger
    assert locate("/local/l.db", {}, proc) == ("/local/l.db", None, None)


def test_only_a_folder_of_ones_own_is_private(tmp_path: Path) -> None:
    assert private_directory(str(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert private_directory(str(tmp_path / "new")), "and the second time"
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    assert not private_directory(str(tmp_path / "open"))
    (tmp_path / "link").symlink_to(tmp_path / "new")
    assert not private_directory(str(tmp_path / "link"))
    (tmp_path / "file").write_text("")
    assert not private_directory(str(tmp_path / "file"))
    assert not private_directory(str(tmp_path / "missing" / "below"))
    if os.getuid() == 0:
        os.chown(tmp_path / "new", 65534, 65534)
        assert not private_directory(str(tmp_path / "new"))


def test_fallbacks_begin_with_the_users_runtime_folder() -> None:
    first, *others = fallback_directories({"XDG_RUNTIME_DIR": "/run/user/7"})
    assert first == "/run/user/7/frugalwatch"
    assert len(others) == 2
    assert all(str(os.getuid()) in other for other in others)
