"""A TCP gate before a server: open, or a partition in which packets go nowhere."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator


class Gate:
    """Passes connections on to `port`. While `cut()`, those that exist stall and new ones hang."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open = threading.Event()
        self._open.set()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def cut(self) -> None:
        """Let nothing through in either direction."""
        self._open.clear()

    def mend(self) -> None:
        """Let everything through again, what was under way first."""
        self._open.set()

    def close(self) -> None:
        self._over.set()
        self._open.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        self._open.wait()
        with (
            contextlib.suppress(OSError),
            near,
            socket.create_connection(("127.0.0.1", self._to)) as far,
        ):
            other = {near: far, far: near}
            while not self._over.is_set():
                ready, _, _ = select.select(list(other), [], [], 0.2)
                self._open.wait()
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    other[one].sendall(data)


@contextlib.contextmanager
def gate(port: int) -> Iterator[Gate]:
    """A gate for the length of the block."""
    one = Gate(port)
    try:
        yield one
    finally:
        one.close()
