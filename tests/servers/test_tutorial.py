"""The tutorial: its commands are typed into a shell, with real servers, and end with a graph."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import REPOSITORY, Frugalwatch
from tests.servers.kit import VictoriaMetrics, free_port, program, wait_until
from tests.support.fake_sysfs import Constant, PowercapTree, Zone

pytestmark = [pytest.mark.server, pytest.mark.timeout(400)]

PAGE = REPOSITORY / "docs" / "tutorials" / "graph-your-energy.md"
PORTS = ("9477", "9095", "8428")
WATTS = 40.0


class Shell:
    """A bash that is typed into; whatever it started ends with it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def type(self, block: str) -> tuple[int, str]:
        """Status of the last command of a block, and all that was said up to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f'{block}\necho "end-of-block $?"\n')
        said = ""
        while "end-of-block " not in said:
            line = self._process.stdout.readline()
            assert line, f"the shell is gone: {said}"
            said += line
        text, _, status = said.rpartition("end-of-block ")
        return int(status), text

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.fixture(scope="module")
def page() -> str:
    """The tutorial, with free ports in place of its own."""
    text = PAGE.read_text()
    for port in PORTS:
        assert port in text
        text = text.replace(port, str(free_port()))
    return text


def blocks(text: str, kind: str) -> list[str]:
    """The code blocks that begin with ```kind, in order."""
    found: list[str] = []
    opened: str | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("```"):
            lines.append(line)
        elif opened is None:
            opened, lines = line[3:], []
        else:
            if opened == kind:
                found.append("\n".join(lines))
            opened = None
    return found


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with PowercapTree(tmp_path, [Zone("package-0", Constant(WATTS))]) as tree:
        tree.start()
        environment = Frugalwatch(tmp_path).environment
        folders = [Path(sys.executable).parent, Path(program("promtool")).parent]
        environment |= {
            "FRUGALWATCH_SYSFS": tree.sysfs,
            "FRUGALWATCH_SOURCES_OFF": "cpu_model,ram_model",
            "PATH": ":".join([*map(str, folders), os.environ["PATH"]]),
        }
        shell = Shell(tmp_path, environment)
        yield shell
        shell.close()


def test_the_tutorial_ends_with_a_graph(page: str, shell: Shell, tmp_path: Path) -> None:
    measure, collect, work, now, energy, clean_up = blocks(page, "sh")
    status, said = shell.type(measure)
    assert (status, "the daemon runs" in said) == (0, True), said
    promised = next(b for b in blocks(page, "") if b.startswith("metrics")).strip()
    assert promised in said
    assert shell.type(collect)[0] == 0
    status, said = shell.type(work)
    assert status == 0, said
    # The point of it all: the expression of the link, drawn over its five minutes.
    [link] = re.findall(r"<(http://[^>]*/graph\?[^>]*)>", page)
    server, expression = re.match(r"(.*)/graph\?g0\.expr=(.*?)&", link).groups()
    expression = expression.replace("+", " ")
    assert f"'{expression}'" in now
    watts = re.compile(r'origin="measured"\} => ([\d.]+)')
    wait_until(
        lambda: (m := watts.search(shell.type(now)[1])) and abs(float(m[1]) - WATTS) < 0.2 * WATTS,
        f"{WATTS} W in the graph",
        120,
    )
    status, said = shell.type(energy)
    joules, grams = re.findall(r"=> ([\d.]+)", said)
    assert float(joules) > 60 * WATTS
    assert float(grams) > 0
    drawn = subprocess.run(
        [program("promtool"), "query", "range", "--step=5s", server, expression],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    # It rises while the first five minutes fill, and ends at the truth.
    points = [float(watts) for watts in re.findall(r"^([\d.]+) @", drawn, re.MULTILINE)]
    assert len(points) >= 3, drawn
    assert abs(points[-1] - WATTS) < 0.2 * WATTS, drawn
    with_victoria(page, shell, tmp_path)
    assert shell.type(clean_up)[0] == 0


def with_victoria(page: str, shell: Shell, folder: Path) -> None:
    """The same configuration, read by the other server."""
    [start] = blocks(page, "sh victoria-metrics")
    assert shell.type(start)[0] == 0
    port = int(re.search(r"-httpListenAddr=127.0.0.1:(\d+)", start)[1])
    asked = VictoriaMetrics(folder / "unused", port=port)

    def has_energy() -> bool:
        try:
            return bool(asked.query("frugalwatch_energy_joules_total"))
        except OSError:
            return False

    wait_until(has_energy, "the daemon's energy in VictoriaMetrics", 60)
