"""Real Prometheus and VictoriaMetrics servers for tests, on loopback only.

    with Prometheus(folder).started() as server:
        server.url("/api/v1/write")           # to send to
        server.query("up")                    # [Series({...labels}, [(time_s, value)])]
        server.stop(); server.start()         # the same port, the same data

A test that uses them is marked `server`; where a server is not installed it is skipped, which
`make test-servers` takes for a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

READY_S = 60.0
STOP_S = 30.0
_TIMEOUT_S = 20.0
_T = TypeVar("_T")
_SERVERS = Path(__file__).parents[2] / ".servers"


class Series(NamedTuple):
    """One series of an answer: its labels, and its values as (Unix time in seconds, value)."""

    labels: Mapping[str, str]
    points: list[tuple[float, float]]

    @property
    def value(self) -> float:
        """The last value."""
        return self.points[-1][1]


class QueryError(AssertionError):
    """The server refused a query; the message is the server's."""


def program(name: str) -> str:
    """The path of a server's program; skips the test where it is not installed."""
    servers = os.environ.get("FRUGALWATCH_TEST_SERVERS") or str(_SERVERS)
    path = f"{os.environ.get('PATH', os.defpath)}:{servers}/unpacked/usr/bin"
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not installed: make test-servers fetches it")
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_until(true: Callable[[], _T], what: str, within_s: float = READY_S) -> _T:
    """What `true()` gives, as soon as it is true; fails with `what` after `within_s`."""
    deadline = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)
    return found


class Server:
    """A server process with a data folder and a port of its own, both kept over restarts."""

    name = ""
    ready_path = ""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder
        self.port = free_port() if port is None else port
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command line of the server."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self.process is None, f"{self.name} runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.command()
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        wait_until(self._ready, f"{self.name} answers; its log: {self.folder / 'log'}")

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log()}"
        try:
            return self.get(self.ready_path)[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        """End it in an orderly way; what it holds is on its disk then."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash of the machine would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)  # one that a test made hang
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def hang(self) -> None:
        """Stop it from doing anything while its port stays open; `wake()` goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let a hung server go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def started(self) -> Iterator[Any]:  # of whatever class this is
        """Started now, ended at the end of the block."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def log(self) -> str:
        """The end of what it said."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def url(self, path: str = "") -> str:
        """Its address, with a path that begins with a slash."""
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str, **parameters: str) -> tuple[int, bytes]:
        """Status and body of a GET. Raises OSError where nobody answers."""
        asked = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        try:
            with urllib.request.urlopen(self.url(path + asked), timeout=_TIMEOUT_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        """Status and body of a POST; an underscore in a header's name is a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url(path), data=body, headers=named)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def api(self, path: str, **parameters: str) -> Any:  # JSON
        """`data` of an answer of the query interface. Raises QueryError."""
        status, body = self.get(f"/api/v1/{path}", **parameters)
        try:
            told = json.loads(body)
        except ValueError:
            raise QueryError(f"{status}: {body[:400]!r}") from None
        if told.get("status") != "success":
            raise QueryError(f"{parameters}: {told.get('error', told)}")
        return told["data"]

    def settle(self) -> None:
        """Make what was written visible to queries."""

    def query(self, expression: str, *, at_s: float | None = None) -> list[Series]:
        """The expression's series at one instant, now by default. Raises QueryError."""
        self.settle()
        moment = {} if at_s is None else {"time": f"{at_s:.3f}"}
        data = self.api("query", query=expression, **moment)
        if data["resultType"] == "scalar":
            return [Series({}, [_point(data["result"])])]
        if data["resultType"] == "matrix":  # of a range selector: the raw samples
            return _series(data["result"])
        return [Series(each["metric"], [_point(each["value"])]) for each in data["result"]]

    def query_range(
        self, expression: str, begin_s: float, end_s: float, step_s: float
    ) -> list[Series]:
        """The expression's series over a time. Raises QueryError."""
        self.settle()
        data = self.api(
            "query_range",
            query=expression,
            start=f"{begin_s:.3f}",
            end=f"{end_s:.3f}",
            step=f"{step_s:g}",
        )
        return _series(data["result"])

    def raw(self, selector: str, window: str = "1d", *, at_s: float | None = None) -> list[Series]:
        """The samples as stored: `selector[window]`."""
        return self.query(f"{selector}[{window}]", at_s=at_s)


class Prometheus(Server):
    """Prometheus with its remote-write receiver on. `configuration` is YAML of its config file.

    `out_of_order` is its `out_of_order_time_window`, such as "30m"; by default it refuses all of
    that. `scrape` are addresses (host:port) that it scrapes as job `frugalwatch`.
    """

    name = "prometheus"
    ready_path = "/-/ready"

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        out_of_order: str | None = None,
        scrape: tuple[str, ...] = (),
        scrape_interval: str = "1s",
        configuration: str | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        super().__init__(folder, port=port)
        self._options = options
        self._configuration = configuration or _configuration(out_of_order, scrape, scrape_interval)

    def command(self) -> list[str]:
        path = self.folder / "prometheus.yml"
        path.write_text(self._configuration)
        return [
            program(self.name),
            f"--config.file={path}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-remote-write-receiver",
            "--web.enable-lifecycle",
            "--storage.tsdb.retention.time=100y",
            "--log.level=warn",
            *self._options,
        ]


class VictoriaMetrics(Server):
    """VictoriaMetrics, single node. `scrape` as for Prometheus."""

    name = "victoria-metrics"
    ready_path = "/health"

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        scrape: tuple[str, ...] = (),
        scrape_interval: str = "1s",
        options: tuple[str, ...] = (),
    ) -> None:
        super().__init__(folder, port=port)
        self._options = options
        self._scrape = scrape
        self._scrape_interval = scrape_interval

    def command(self) -> list[str]:
        scraping = []
        if self._scrape:
            path = self.folder / "scrape.yml"
            path.write_text(_configuration(None, self._scrape, self._scrape_interval))
            scraping = [f"-promscrape.config={path}"]
        return [
            program(self.name),
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
            "-search.latencyOffset=0s",  # queries see the newest sample
            "-search.disableCache",  # and what was filled in behind an earlier query
            "-memory.allowedBytes=256MB",
            "-loggerLevel=WARN",
            *scraping,
            *self._options,
        ]

    def settle(self) -> None:
        """It shows samples a second after it took them, unless told to hurry."""
        with suppress(OSError):
            self.get("/internal/force_flush")


def _configuration(out_of_order: str | None, scrape: tuple[str, ...], interval: str) -> str:
    lines = ["global:", f"  scrape_interval: {interval}"]
    if scrape:
        targets = ", ".join(json.dumps(address) for address in scrape)
        lines += ["scrape_configs:", "  - job_name: frugalwatch", "    static_configs:"]
        lines += [f"      - targets: [{targets}]"]
    if out_of_order:
        lines += ["storage:", "  tsdb:", f"    out_of_order_time_window: {out_of_order}"]
    return "\n".join([*lines, ""])


def _point(pair: Any) -> tuple[float, float]:  # JSON: [time, "value"]
    return float(pair[0]), float(pair[1])


def _series(result: Any) -> list[Series]:  # JSON
    return [Series(each["metric"], [_point(pair) for pair in each["values"]]) for each in result]
