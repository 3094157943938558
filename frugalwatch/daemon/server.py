"""The socket's own process: it answers whoever may ask from a page that the sampler writes.

It has no right that its clients lack: root is given up before the first connection. Whatever they
do to it, the sampler notices nothing; should it die, the sampler starts another one.
"""

from __future__ import annotations

import json
import os
import select
import socket
import time
from collections import Counter

from collectors.daemon_wire import PERIOD_NS, QUANTUM_UJ, FrameError, Message, decode, encode
from frugalwatch.daemon.client import Client
from frugalwatch.daemon.peers import Door, peer_of
from frugalwatch.sampler.context import Shelf

_MOST_CLIENTS = 256
_MOST_OF_ONE_USER = 64
_ACCEPTED_AT_ONCE = 16
_PAUSE_MS = 1_000
_THROTTLED_PAUSE_MS = 100


class Server:
    """Serves until the sampler's end of `wake` closes."""

    def __init__(self, listener: socket.socket, door: Door, page: Shelf, wake: int) -> None:
        self._listener = listener
        self._door = door
        self._page = page
        self._wake = wake
        self._clients: dict[int, Client] = {}
        self._boot = _boot_key()
        self._devices: dict[str, object] = {}
        self._energy: dict[str, object] = {}

    def serve(self) -> None:
        """Answer, push and close until the sampler is gone."""
        self._take_page()
        while True:
            ready = dict(self._poller().poll(self._pause_ms()))
            now = time.monotonic_ns()
            if self._wake in ready:
                if not os.read(self._wake, 4096):
                    return
                if self._take_page():
                    self._push(now)
            if self._listener.fileno() in ready:
                self._accept(now)
            for descriptor, client in list(self._clients.items()):
                self._attend(client, ready.get(descriptor, 0), now)
                if client.dead:
                    client.connection.close()
                    del self._clients[descriptor]

    def _poller(self) -> select.poll:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.register(self._listener.fileno(), select.POLLIN)
        now = time.monotonic_ns()
        for descriptor, client in self._clients.items():
            if client.has_answer:
                poller.register(descriptor, select.POLLOUT)
            elif not client.throttled(now):
                poller.register(descriptor, select.POLLIN)
        return poller

    def _pause_ms(self) -> int:
        waiting = any(client.waits_inside for client in self._clients.values())
        return _THROTTLED_PAUSE_MS if waiting else _PAUSE_MS

    def _take_page(self) -> bool:
        """Read the sampler's page; whether there is anything on it."""
        data = self._page.get_bytes()
        if not data:
            return False
        told = json.loads(data)
        self._devices, self._energy = told["devices"], told["energy_j"]
        return True

    def _push(self, now_ns: int) -> None:
        frame = encode(self._readings())
        for client in self._clients.values():
            if client.watches:
                client.send(frame, now_ns)

    def _accept(self, now_ns: int) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            try:
                client = Client(connection, peer_of(connection), now_ns)
            except OSError:
                connection.close()
                continue
            refusal = self._refusal(client)
            if refusal:
                client.send(encode(refusal), now_ns)
                connection.close()
            else:
                self._clients[connection.fileno()] = client

    def _refusal(self, client: Client) -> Message | None:
        uid = client.peer.uid
        if not self._door.admits(client.peer):
            return _error("forbidden", "you are not in the group that this daemon serves")
        of_user = Counter(each.peer.uid for each in self._clients.values())[uid]
        if len(self._clients) >= _MOST_CLIENTS or (uid != 0 and of_user >= _MOST_OF_ONE_USER):
            return _error("busy", "there are too many connections")
        return None

    def _attend(self, client: Client, events: int, now_ns: int) -> None:
        if events & (select.POLLOUT | select.POLLHUP | select.POLLERR):
            client.flush(now_ns)
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and not client.has_answer:
            client.receive(now_ns)
        try:
            body = None if client.dead else client.next_request(now_ns)
            while body is not None:
                self._answer(client, decode(body), now_ns)
                body = None if client.dead else client.next_request(now_ns)
        except FrameError as error:
            client.send(encode(_error("malformed", str(error))), now_ns)
            client.dead = client.dead or "it speaks another language"
        client.check_time(now_ns)

    def _answer(self, client: Client, request: Message, now_ns: int) -> None:
        want = request.get("want")
        if want == "devices":
            answer = self._about()
        elif want == "readings":
            answer = self._readings()
        elif want == "watch":
            client.watches = True
            answer = {**self._about(), "energy_j": self._energy}
        else:
            answer = _error("unknown", "want is one of devices, readings, watch")
        client.send(encode(answer), now_ns)

    def _about(self) -> Message:
        return {
            "is": "devices",
            "boot": self._boot,
            "period_s": PERIOD_NS / 1e9,
            "quantum_j": QUANTUM_UJ / 1e6,
            "devices": self._devices,
        }

    def _readings(self) -> Message:
        return {"is": "readings", "energy_j": self._energy}


def _error(code: str, message: str) -> Message:
    return {"is": "error", "code": code, "message": message}


def _boot_key() -> str:
    from frugalwatch.machine import boot_key

    return boot_key()
