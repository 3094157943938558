"""What a replay can reach: real namespaces, real layers, a real server on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from advisor import sandbox
from tests.support.unprivileged import NOBODY, as_nobody

_LAUNCHER = Path(sandbox.__file__).read_text()
_NOTHING = {"set": {}, "unset": [], "cover": True, "network": False}


def launch(
    argv: list[str],
    report: Path,
    cwd: Path,
    environment: dict[str, str] | None = None,
    **order: object,
) -> subprocess.CompletedProcess[str]:
    """Run a command through the launcher, as `advise` does."""
    text = json.dumps({**_NOTHING, "report": str(report), **order})
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", sandbox.__file__, text, *argv],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _isolation_missing() -> str:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        done = launch(["true"], Path(folder) / "report", Path(folder))
        if done.returncode == 0:
            return ""
        return (Path(folder) / "report").read_text()


needs_namespaces = pytest.mark.skipif(
    bool(_isolation_missing()), reason=f"no namespaces here: {_isolation_missing()}"
)

VANDAL = """
set -e
echo new > made; rm -r kept; mkdir kept; echo other > changed
echo x > "$HOME/in-home"; rm "$HOME/precious"
echo x > "$TMPDIR/in-tmp"; echo x > /tmp/frugalwatch-test-in-tmp; echo x > /dev/shm/frugalwatch-test
cat changed; ls kept; exit 7
"""


@needs_namespaces
def test_a_replay_that_deletes_and_writes_leaves_the_originals_untouched(tmp_path: Path) -> None:
    work, home, tmp = tmp_path / "work", tmp_path / "home", tmp_path / "tmp"
    for folder in (work / "kept", home, tmp):
        folder.mkdir(parents=True)
    (work / "kept" / "file").write_text("kept")
    (work / "changed").write_text("original")
    (home / "precious").write_text("precious")
    done = launch(
        ["sh", "-c", VANDAL],
        tmp_path / "report",
        work,
        {"HOME": str(home), "TMPDIR": str(tmp)},
    )
    assert (done.returncode, done.stdout) == (7, "other\n"), done.stderr
    assert sorted(os.listdir(work)) == ["changed", "kept"]
    assert (work / "kept" / "file").read_text() == "kept"
    assert (work / "changed").read_text() == "original"
    assert os.listdir(home) == ["precious"]
    assert os.listdir(tmp) == []
    assert not os.path.exists("/tmp/frugalwatch-test-in-tmp")
    assert not os.path.exists("/dev/shm/frugalwatch-test")


@needs_namespaces
def test_folders_without_a_layer_cannot_be_written(tmp_path: Path) -> None:
    done = launch(["touch", "/usr/frugalwatch-test"], tmp_path / "report", tmp_path)
    assert done.returncode == 1
    assert not os.path.exists("/usr/frugalwatch-test")


_CONNECT = textwrap.dedent("""
    import socket, sys
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
""")


@needs_namespaces
def test_a_server_of_the_host_is_reached_only_where_the_network_is_allowed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        argv = [sys.executable, "-c", _CONNECT, str(server.getsockname()[1])]
        refused = launch(argv, tmp_path / "r1", tmp_path)
        allowed = launch(argv, tmp_path / "r2", tmp_path, network=True)
    assert refused.returncode == 1
    assert "refused" in refused.stderr  # not unreachable: loopback is up, and empty
    assert allowed.returncode == 0, allowed.stderr


@needs_namespaces
def test_a_service_socket_of_the_host_cannot_be_reached(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        done = launch([sys.executable, "-c", code, path], tmp_path / "report", tmp_path)
        inside = launch([sys.executable, "-c", code, path], tmp_path / "r2", tmp_path, cover=False)
    assert done.returncode == 1
    assert inside.returncode == 0, inside.stderr


@needs_namespaces
def test_a_user_without_rights_gets_the_same_layers(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = Path("/tmp") / f"frugalwatch-nobody-{os.getpid()}"
    home.mkdir()
    (home / "precious").write_text("precious")
    (home / "sandbox.py").write_text(_LAUNCHER)
    (home / "open").mkdir()
    for path in (home, home / "precious", home / "open"):
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    ours = {"report": str(home / "report"), "open_folders": [str(home / "open")]}
    order = json.dumps({**_NOTHING, **ours})
    python = "/usr/bin/python3" if os.getuid() == 0 else sys.executable
    if not os.path.exists(python):
        pytest.skip("no interpreter that every user may run")

    shell = ["sh", "-c", "rm precious; echo x > new; echo x > open/kept; id -u; ls"]

    def run() -> list[object]:
        done = subprocess.run(
            [python, "-I", "-S", "-B", str(home / "sandbox.py"), order, *shell],
            cwd=home,
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        return [done.returncode, done.stdout, done.stderr]

    try:
        code, out, err = as_nobody(run)
        left, kept = sorted(os.listdir(home)), os.listdir(home / "open")
        text = (home / "precious").read_text()
        report = json.loads((home / "report").read_text())
    finally:
        import shutil

        shutil.rmtree(home)
    if "error" in report:
        pytest.skip(f"no namespaces for users here: {report['error']}")
    assert (code, out.splitlines()[1:]) == (0, ["new", "open", "report", "sandbox.py"]), err
    assert left == ["open", "precious", "report", "sandbox.py"]
    assert kept == ["kept"]  # the one folder in which what is written stays
    assert text == "precious"


def test_the_change_reaches_the_command_and_only_it(tmp_path: Path) -> None:
    done = launch(
        ["sh", "-c", 'echo "$SPEED ${GONE-unset}"'],
        tmp_path / "report",
        tmp_path,
        {"GONE": "1"},
        set={"SPEED": "2"},
        unset=["GONE"],
        cover=False,
        network=True,
    )
    assert done.stdout == "2 unset\n"
    assert json.loads((tmp_path / "report").read_text())["cpu_s"] > 0


def test_a_command_that_is_not_there_ends_with_127(tmp_path: Path) -> None:
    done = launch(
        ["no-such-command-here"], tmp_path / "report", tmp_path, cover=False, network=True
    )
    assert done.returncode == 127
    assert "no-such-command-here" in done.stderr


def test_only_outermost_folders_are_covered_and_never_the_root(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    folders = sandbox.folders_to_cover(str(inner), {"HOME": "/", "XDG_CACHE_HOME": str(tmp_path)})
    assert "/" not in folders
    assert not any(a != b and a.startswith(b + "/") for a in folders for b in folders)
    assert any(str(inner).startswith(folder + "/") for folder in folders)
