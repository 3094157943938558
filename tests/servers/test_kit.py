"""The kit itself: real servers that keep what they were given over a restart."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.kit import Prometheus, QueryError, Server, VictoriaMetrics, wait_until

pytestmark = pytest.mark.server


class _Page(http.server.BaseHTTPRequestHandler):
    body = b'# TYPE kit_total counter\nkit_total{a="b"} 42\n'

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def _page() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("kind", [Prometheus, VictoriaMetrics])
def test_a_server_scrapes_and_keeps_what_it_has_over_a_restart(
    kind: type[Prometheus] | type[VictoriaMetrics], tmp_path: Path
) -> None:
    with _page() as address, kind(tmp_path / "server", scrape=(address,)).started() as server:
        wait_until(lambda: server.query("kit_total"), "a scrape")
        assert server.query("kit_total")[0].labels["a"] == "b"
        seen_s = time.time()
        server.stop()
        server.start()
        [series] = server.query('kit_total{a="b"}', at_s=seen_s)
        assert series.value == 42


def test_a_query_that_is_wrong_is_an_error(either_server: Server) -> None:
    assert either_server.query("1 + 1")[0].value == 2
    with pytest.raises(QueryError):
        either_server.query("sum(")


def test_a_server_listens_on_loopback_only(either_server: Server) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in listening]
    mine = [each[1] for each in fields if each[1].endswith(f":{either_server.port:04X}")]
    assert mine, "nobody listens"
    assert all(address.startswith("0100007F") for address in mine)
