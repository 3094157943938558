"""One connection to the daemon's socket: bounded buffers, a bounded rate, no waiting."""

from __future__ import annotations

import socket

from collectors.daemon_wire import LONGEST_ANSWER, LONGEST_REQUEST, FrameError, take_frame
from frugalwatch.daemon.peers import Peer

REQUESTS_PER_S = 10.0
_BURST = 20.0
_FRAME_NS = 5_000_000_000  # a request that was begun has to be whole by then
_STUCK_NS = 10_000_000_000  # an answer that was begun has to be taken by then
_IDLE_NS = 60_000_000_000  # who neither asks nor watches
_CHUNK = 4_096


class Client:
    """What is kept of one connection. `dead` says why it is to be closed; empty while it lives."""

    def __init__(self, connection: socket.socket, peer: Peer, now_ns: int) -> None:
        self.connection = connection
        self.peer = peer
        self.watches = False
        self.dead = ""
        self._request = bytearray()
        self._answer = b""
        self._tokens = _BURST
        self._tokens_ns = self._alive_ns = self._begun_ns = self._stuck_ns = now_ns

    @property
    def has_answer(self) -> bool:
        """Whether an answer waits to be taken; until then nothing more is read."""
        return bool(self._answer)

    def throttled(self, now_ns: int) -> bool:
        """Whether it asked too often: then it is not read from until it may ask again."""
        self._tokens += (now_ns - self._tokens_ns) / 1e9 * REQUESTS_PER_S
        self._tokens, self._tokens_ns = min(_BURST, self._tokens), now_ns
        return self._tokens < 1.0

    def receive(self, now_ns: int) -> None:
        """Take what has come, no more than one request can be long."""
        try:
            data = self.connection.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.dead = str(error)
            return
        if not data:
            self.dead = "it hung up"
            return
        if not self._request:
            self._begun_ns = now_ns
        self._alive_ns = now_ns
        self._request += data

    def next_request(self, now_ns: int) -> bytes | None:
        """The next whole request that it may make now. Raises FrameError."""
        if self.has_answer or self.throttled(now_ns):
            return None
        body = take_frame(self._request, LONGEST_REQUEST)
        if body is not None:
            self._tokens -= 1.0
            self._begun_ns = now_ns
        return body

    @property
    def waits_inside(self) -> bool:
        """Whether a whole request may lie here already, for when it may be made."""
        return bool(self._request)

    def send(self, frame: bytes, now_ns: int) -> None:
        """Begin to send a frame. One that watches and has not taken the last one misses this."""
        if self._answer:
            return
        if len(frame) > LONGEST_ANSWER + 4:
            raise FrameError("too long")
        self._answer, self._stuck_ns = frame, now_ns
        self.flush(now_ns)

    def flush(self, now_ns: int) -> None:
        """Send on, as far as it goes without waiting."""
        if not self._answer:
            return
        try:
            sent = self.connection.send(self._answer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.dead = str(error)
            return
        self._answer = self._answer[sent:]
        if not self._answer:
            self._alive_ns = now_ns

    def check_time(self, now_ns: int) -> None:
        """Give it up if it is too slow."""
        if self._answer and now_ns - self._stuck_ns > _STUCK_NS:
            self.dead = "it does not take its answer"
        elif self._request and not self.throttled(now_ns) and now_ns - self._begun_ns > _FRAME_NS:
            self.dead = "its request does not come to an end"
        elif not self.watches and now_ns - self._alive_ns > _IDLE_NS:
            self.dead = "it does not ask for anything"
