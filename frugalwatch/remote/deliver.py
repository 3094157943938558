"""Getting a batch of series across, whatever the server makes of it.

Prometheus refuses a whole request for one sample that it does not like, and does not say which.
So a refused request is halved until the series is alone that is refused, and of that as few of the
oldest values are left out as it takes. Its newest value is a total: with it no energy is lost, and
if need be it is sent as of now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from frugalwatch.remote.cursor import Loss
from frugalwatch.remote.protobuf import Point, Series, write_request
from frugalwatch.remote.snappy import compress
from frugalwatch.remote.transport import Answer, UnreachableError

# 409 is how Thanos refuses what is out of order, 422 how some proxies do.
_REFUSED = (400, 409, 422)
_TOO_LARGE = 413
_WAIT = (408, 429)
_PARTS = 32  # in which the oldest values of a series are given up, once an outage
_MOST_STUCK = 3
_IN_ORDER = ("out of order", "out-of-order", "duplicate sample")

HEADERS: Mapping[str, str] = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

Post = Callable[[bytes, Mapping[str, str]], Answer]


class UnavailableError(Exception):
    """The server can take nothing now. `ours` if it is a matter of configuration, not of time."""

    def __init__(
        self, words: str, *, retry_after_s: float | None = None, ours: bool = False
    ) -> None:
        super().__init__(words)
        self.retry_after_s = retry_after_s
        self.ours = ours


class Outgoing(NamedTuple):
    """One series to be sent. `delivered_ms`: values up to there may have arrived before.

    `present_ms` is the time to give the newest value if the server takes no older one.
    """

    number: int
    labels: Mapping[str, str]
    points: Sequence[Point]
    present_ms: int
    delivered_ms: int | None = None


class Taken(NamedTuple):
    """What the server has of a series now: its newest value, and what it refused for good."""

    number: int
    newest: Point
    loss: Loss | None = None


class Delivery:
    """Sends one batch. `taken` is told of each part as soon as the server has it."""

    def __init__(self, post: Post, taken: Callable[[Sequence[Taken]], None]) -> None:
        self._post = post
        self._taken = taken
        self.stuck: list[str] = []  # why series could not be sent at all
        self._horizon_ms: int | None = None
        self._left_out: dict[int, Loss] = {}
        self._any_taken = False

    def send(self, batch: Sequence[Outgoing]) -> None:
        """Raises UnavailableError; what was taken until then stays taken."""
        if not batch:
            return
        answer = self._ask(batch)
        if answer.taken:
            self._has([Taken(each.number, each.points[-1]) for each in batch])
        elif answer.status in (*_REFUSED, _TOO_LARGE) and len(batch) > 1:
            middle = len(batch) // 2
            self.send(batch[:middle])
            self.send(self._beyond_horizon(batch[middle:]))
        elif answer.status == _TOO_LARGE:
            self._in_halves(batch[0], answer)
        else:
            self._alone(batch[0], answer)

    def _has(self, taken: Sequence[Taken]) -> None:
        """Tell it, with what was left out of these series before they were sent."""
        told = []
        self._any_taken = True
        for one in taken:
            before = self._left_out.pop(one.number, None)
            if before is not None and one.loss is not None:
                both = Loss(
                    before.since_ms,
                    one.loss.until_ms,
                    before.points + one.loss.points,
                    one.loss.cause,
                )
                told.append(one._replace(loss=both))
            else:
                told.append(one if before is None else one._replace(loss=before))
        self._taken(told)

    def _ask(self, batch: Sequence[Outgoing]) -> Answer:
        body = compress(write_request(Series(each.labels, each.points) for each in batch))
        try:
            answer = self._post(body, HEADERS)
        except UnreachableError as error:
            raise UnavailableError(str(error)) from error
        if answer.taken or answer.status in (*_REFUSED, _TOO_LARGE):
            return answer
        if answer.status in _WAIT or answer.status >= 500:
            raise UnavailableError(answer.words, retry_after_s=answer.retry_after_s)
        raise UnavailableError(answer.words, retry_after_s=answer.retry_after_s, ours=True)

    def _in_halves(self, one: Outgoing, answer: Answer) -> None:
        middle = len(one.points) // 2
        if not middle:
            raise UnavailableError(answer.words, ours=True)
        self.send([one._replace(points=one.points[:middle])])
        self.send([one._replace(points=one.points[middle:])])

    def _alone(self, one: Outgoing, answer: Answer) -> None:
        """One series is refused: give up its oldest values, as few as it takes."""
        points, words = one.points, answer.words
        order = any(mark in words.lower() for mark in _IN_ORDER)
        again = one.delivered_ms is not None and points[-1].t_ms <= one.delivered_ms
        if order and again and self._ask([one._replace(points=points[-1:])]).taken:
            # The very request that may have arrived before, and did: it is all there.
            self._has([Taken(one.number, points[-1])])
            return
        for begin in _cuts(len(points)):
            if self._ask([one._replace(points=points[begin:])]).taken:
                if not order:
                    self._horizon_ms = points[begin].t_ms
                self._has([Taken(one.number, points[-1], _loss(points[:begin], words))])
                return
        present = Point(max(one.present_ms, points[-1].t_ms + 1), points[-1].value)
        last = self._ask([one._replace(points=[present])])
        if last.taken:
            self._has([Taken(one.number, present, _loss(points, words))])
            return
        self.stuck.append(last.words)
        if not self._any_taken and len(self.stuck) >= _MOST_STUCK:
            # It is not about these series: a wrong address, a proxy. No need to ask for each.
            raise UnavailableError(f"refused: {last.words}", ours=True)

    def _beyond_horizon(self, batch: Sequence[Outgoing]) -> list[Outgoing]:
        """Without what is older than all that the server took: it would cost a bisection each."""
        if self._horizon_ms is None:
            return list(batch)
        horizon, kept = self._horizon_ms, []
        for one in batch:
            newer = [point for point in one.points if point.t_ms >= horizon]
            if not newer or len(newer) == len(one.points):
                kept.append(one)
                continue
            older = one.points[: len(one.points) - len(newer)]
            kept.append(one._replace(points=newer))
            loss = _loss(older, "older than what the server took of another series")
            if loss is not None:
                self._left_out[one.number] = loss
        return kept


def _cuts(count: int) -> list[int]:
    """Where to begin instead: each time a little further, at last with the newest alone."""
    cuts = {max(1, round(count * part / _PARTS)) for part in range(1, _PARTS)}
    return sorted(cut for cut in cuts | {count - 1} if 0 < cut < count)


def _loss(points: Sequence[Point], cause: str) -> Loss | None:
    return Loss(points[0].t_ms, points[-1].t_ms, len(points), cause) if points else None
