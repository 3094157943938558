"""Asking a Prometheus-compatible server: Prometheus, VictoriaMetrics, Mimir, Thanos."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit, urlunsplit

from frugalwatch.errors import FrugalWatchError
from frugalwatch.remote.transport import Address, Transport, UnreachableError

# What each kind of server calls its two ends.
_WRITE_ENDS = {"/api/v1/write": "", "/api/v1/push": "/prometheus", "/insert/0/prometheus": ""}

# VictoriaMetrics shows nothing of the second that goes on, and nodes' clocks may be ahead of ours.
_AHEAD_S = 60.0


class QueryFailedError(FrugalWatchError):
    """The server could not be asked, or did not answer the question."""


class Found(NamedTuple):
    """One series of an answer with its values, (Unix time in seconds, value)."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


def query_url(write_url: str) -> str | None:
    """Where a server is asked that is written to at this address; None where that is not known."""
    split = urlsplit(write_url)
    for end, instead in _WRITE_ENDS.items():
        if split.path.rstrip("/").endswith(end):
            path = split.path.rstrip("/").removesuffix(end) + instead
            return urlunsplit((split.scheme, split.netloc, path, "", ""))
    return None


class Queries:
    """Instant queries to one server."""

    def __init__(
        self, place: Address, *, headers: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> None:
        self._place = place
        self._transport = Transport(place, headers=headers, timeout_s=timeout_s)

    def ask(self, expression: str) -> list[Found]:
        """Series of an instant query, now; raw values of a range selector.

        Raises QueryFailedError. `nocache` makes VictoriaMetrics show the last half minute, too.
        """
        moment = f"{time.time() + _AHEAD_S:.3f}"
        query = urlencode({"query": expression, "time": moment, "nocache": "1"})
        try:
            answer = self._transport.get("/api/v1/query", query)
        except UnreachableError as error:
            raise QueryFailedError(
                f"{self._place.url} does not answer",
                why=str(error),
                hint="--server URL names another; frugalwatch config show",
            ) from error
        try:
            told: Any = json.loads(answer.body)  # Any: the server's JSON, looked at below
            if told["status"] != "success":
                raise QueryFailedError(
                    f"{self._place.url} refuses the query", why=str(told.get("error", ""))[:300]
                )
            return _found(told["data"])
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise QueryFailedError(
                f"{self._place.url} does not answer as Prometheus does",
                why=answer.words if not answer.taken else f"{type(error).__name__}: {error}",
                hint="the address without /api/v1/query: http://HOST:9090",
            ) from error

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


def quoted(value: str) -> str:
    """A label's value as a query writes it, quotes around it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _found(data: Any) -> list[Found]:  # Any: the server's JSON
    found = []
    for one in data["result"]:
        pairs = one["values"] if data["resultType"] == "matrix" else [one["value"]]
        points = [(float(t), float(value)) for t, value in pairs]
        found.append(Found({str(k): str(v) for k, v in one["metric"].items()}, points))
    return found
