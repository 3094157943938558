"""Sends metrics by OTLP over HTTP, through the OpenTelemetry SDK.

The one module that loads the SDK (`pip install 'frugalwatch[export]'`), 13 MiB of it: commands
import it when they were asked to send.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource

from frugalwatch import __version__
from frugalwatch.errors import UsageError
from frugalwatch.machine import machine_key
from frugalwatch.metrics.families import Family
from frugalwatch.metrics.otlp_points import INSTRUMENTS, Point, Points

_PATH = "/v1/metrics"


class OtlpSender:
    """Sends what `families` tells to a receiver, once a call; keeps nothing that was not taken.

    Counters are cumulative, so that the next export has the energy of one that was lost. The SDK's
    variables hold: OTEL_EXPORTER_OTLP_HEADERS (a token), OTEL_RESOURCE_ATTRIBUTES. No threads.
    """

    def __init__(
        self, url: str, families: Callable[[], list[Family]], timeout_s: float = 10.0
    ) -> None:
        self.url = endpoint(url)
        self._families = families
        self._timeout_s = timeout_s
        self._points = Points()
        self._now: dict[str, list[Point]] = {}
        self._exporter = _Exporter(endpoint=self.url, timeout=timeout_s)
        self._reader = PeriodicExportingMetricReader(self._exporter, math.inf)
        resource = Resource.create(
            {
                "service.name": "frugalwatch",
                "service.version": __version__,
                "host.name": os.uname().nodename,
                "host.id": machine_key(),
            }
        )
        self._provider = MeterProvider([self._reader], resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("frugalwatch", __version__)
        for name, unit, grows, what in INSTRUMENTS:
            if grows:
                meter.create_observable_counter(name, [self._callback(name)], unit, what)
            else:
                meter.create_observable_gauge(name, [self._callback(name)], unit, what)

    def send(self) -> str | None:
        """Export once, within the timeout or so; None, or why it was not taken."""
        self._now = self._points.of(self._families())
        self._exporter.succeeded = False
        with _last_word() as said:
            self._reader.force_flush(self._timeout_s * 1000)
        if self._exporter.succeeded:
            return None
        return said[-1] if said else "it was not taken"

    def close(self) -> None:
        """Give back what the SDK holds; sends nothing more."""
        self._provider.shutdown()

    def _callback(self, name: str) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(_options: CallbackOptions) -> Iterator[Observation]:
            for point in self._now.get(name, ()):
                yield Observation(point.value, point.attributes)

        return observe


class _Exporter(OTLPMetricExporter):
    """The SDK's own, which remembers whether its last export succeeded."""

    succeeded = False

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = None, **options: object
    ) -> MetricExportResult:
        result = super().export(metrics_data, timeout_millis, **options)
        self.succeeded = result is MetricExportResult.SUCCESS
        return result


def endpoint(url: str) -> str:
    """The receiver's address for metrics: `/v1/metrics` where no path is given. UsageError."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest.strip("/"):
        raise UsageError(
            f"metrics cannot be sent to {url!r}",
            why="that is no http:// or https:// address",
            hint="http://127.0.0.1:4318",
        )
    return url if "/" in rest.rstrip("/") else url.rstrip("/") + _PATH


@contextmanager
def _last_word() -> Iterator[list[str]]:
    """What the SDK logs meanwhile, in place of its appearing on stderr."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, listener = logging.getLogger("opentelemetry"), Listener(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagate
