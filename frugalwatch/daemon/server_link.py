"""The sampler's end of the socket's process: starts it, wakes it, starts another when it died."""

from __future__ import annotations

import os

from frugalwatch.daemon.child import Child, drop_rights, forked
from frugalwatch.daemon.publish import Publisher
from frugalwatch.sampler.context import Shelf


class ServerLink:
    """Must be started while the caller has one thread."""

    def __init__(self, path: str, group: str) -> None:
        self.path = path
        self._group = group
        self._page = Shelf()
        self._child = Child(forked("fw-socket", path, self._serve))
        self.publisher = Publisher(self._page, self._child.wake)

    def tend(self) -> str | None:
        """Start the process if there is none, once its pause is over; why the last one ended."""
        return self._child.tend()

    def close(self) -> None:
        """Let the process end, and take its socket away."""
        if self._child.close():
            try:
                os.unlink(self.path)
            except OSError:
                return

    def _serve(self, wake: int) -> None:
        """What the process does, until the sampler is gone. Raises OSError."""
        from frugalwatch.daemon.peers import Door, group_number, open_socket
        from frugalwatch.daemon.server import Server

        gid = group_number(self._group)
        uid = os.getuid()
        try:
            listener = open_socket(self.path, gid)
        except PermissionError:
            # Not a member of that group, or may not give files to it: then for this user alone.
            listener = open_socket(self.path, None)
            gid = None
        drop_rights(gid)
        Server(listener, Door(uid, gid), self._page, wake).serve()
