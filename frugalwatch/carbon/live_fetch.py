"""One question to a grid service over HTTP, and the reading of its answer.

Runs in the short-lived process that `frugalwatch.carbon.live` starts: it may block, and its
imports (urllib, ssl, email) are paid there. Redirects are not followed, since they would carry
the token to another host; a token goes over plain HTTP to this machine only. The answers'
shapes are those of the services' documentation; neither was asked over the Internet in our tests.
"""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from frugalwatch.carbon.grid import FactorKind
from frugalwatch.carbon.live_value import LiveFailure, LiveValue
from frugalwatch.config.settings import Settings

ELECTRICITY_MAPS = "https://api.electricitymaps.com"
UK_CARBON_INTENSITY = "https://api.carbonintensity.org.uk"

_MOST_BYTES = 65536
_NS = 1_000_000_000
_MOST_G_PER_KWH = 5000.0  # the dirtiest grid of the table stands at 1306
_STALE_S = 24 * 3600.0

Answer: TypeAlias = LiveValue | LiveFailure


def ask(settings: Settings, zone: str, environ: Mapping[str, str], timeout_s: float) -> Answer:
    """Ask the configured service for `zone` once. Never raises for what a network can do.

    `timeout_s` bounds each wait for the network, not their sum; the caller bounds that.
    """
    if settings.live_grid == "electricity-maps":
        return _electricity_maps(settings, zone, environ, timeout_s)
    base = settings.live_grid_url or UK_CARBON_INTENSITY
    body = _get(base.rstrip("/") + "/intensity", {}, timeout_s)
    if isinstance(body, LiveFailure):
        return body
    return read_uk(body, time.time_ns())


def _electricity_maps(
    settings: Settings, zone: str, environ: Mapping[str, str], timeout_s: float
) -> Answer:
    variable = settings.live_grid_token_env
    token = environ.get(variable, "").strip()
    if not token:
        return LiveFailure(
            f"no token in {variable}",
            f"export {variable}=<your Electricity Maps token>",
            final=True,
        )
    if not (token.isascii() and token.isprintable()):
        return LiveFailure(f"the token in {variable} cannot be sent", final=True)
    base = (settings.live_grid_url or ELECTRICITY_MAPS).rstrip("/")
    if not _private(base):
        why = "a token is not sent over plain HTTP to another machine"
        return LiveFailure(why, "use an https:// address for live_grid_url", final=True)
    url = f"{base}/v3/carbon-intensity/latest?{urllib.parse.urlencode({'zone': zone})}"
    body = _get(url, {"auth-token": token}, timeout_s)
    if isinstance(body, LiveFailure):
        return body
    return read_electricity_maps(body, zone, time.time_ns())


def read_electricity_maps(body: bytes, zone: str, now_utc_ns: int) -> Answer:
    """The value inside an answer of `/v3/carbon-intensity/latest`."""
    try:
        answer = _object(json.loads(body))
        value = _intensity(answer["carbonIntensity"])
        valid_ns = _instant(answer["datetime"])
        answered = str(answer.get("zone", zone))
        # The service answers with lifecycle figures unless asked otherwise; where it names the
        # type, its word counts.
        factor_type = answer.get("emissionFactorType", "lifecycle")
        kinds: dict[object, FactorKind] = {
            "lifecycle": "average-lifecycle",
            "direct": "average-direct",
        }
        kind = kinds[factor_type]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return _garbled("Electricity Maps", error)
    if answered.upper() != zone.upper():
        return LiveFailure(f"Electricity Maps answered for {answered}, not {zone}", final=True)
    if now_utc_ns - valid_ns > _STALE_S * _NS:
        return LiveFailure(f"the newest value for {zone} is more than a day old")
    minutes = {"15_minutes": 15, "5_minutes": 5}.get(str(answer.get("temporalGranularity")), 60)
    # The value of an hour is published late and revised: ask again at its end, but never more
    # often than each quarter of an hour.
    until_ns = max(valid_ns + minutes * 60 * _NS, now_utc_ns + 15 * 60 * _NS)
    return LiveValue(
        zone=answered,
        g_per_kwh=value,
        kind=kind,
        source="Electricity Maps",
        attribution="Electricity Maps (electricitymaps.com)",
        estimated=answer.get("isEstimated") is True,
        valid_utc_ns=valid_ns,
        until_utc_ns=min(until_ns, now_utc_ns + 3600 * _NS),
        fetched_utc_ns=now_utc_ns,
    )


def read_uk(body: bytes, now_utc_ns: int) -> Answer:
    """The value inside an answer of `/intensity`: the actual figure, else the forecast."""
    try:
        entries = _object(json.loads(body))["data"]
        if not isinstance(entries, list) or not entries:
            raise ValueError("no data")
        entry = _object(entries[0])
        intensity = _object(entry["intensity"])
        actual = intensity.get("actual")
        value = _intensity(intensity["forecast"] if actual is None else actual)
        valid_ns, until_ns = _instant(entry["from"]), _instant(entry["to"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return _garbled("UK Carbon Intensity", error)
    if now_utc_ns - valid_ns > _STALE_S * _NS:
        return LiveFailure("the newest value for GB is more than a day old")
    if actual is None:  # the half-hour's actual figure comes later
        until_ns = min(until_ns, now_utc_ns + 15 * 60 * _NS)
    return LiveValue(
        zone="GB",
        g_per_kwh=value,
        kind="average-direct",
        source="UK Carbon Intensity",
        attribution="NESO Carbon Intensity API, CC BY 4.0",
        estimated=actual is None,
        valid_utc_ns=valid_ns,
        until_utc_ns=min(max(until_ns, now_utc_ns + 60 * _NS), now_utc_ns + 1800 * _NS),
        fetched_utc_ns=now_utc_ns,
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an HTTPError, as any other status that is not 200."""

    def redirect_request(self, *_args: object) -> None:
        return None


def _get(url: str, headers: Mapping[str, str], timeout_s: float) -> bytes | LiveFailure:
    """The body of a 200 answer, or what went wrong. Proxies of the environment are used."""
    host = urllib.parse.urlsplit(url).hostname
    if not url.startswith(("https://", "http://")) or not host:
        return LiveFailure("live_grid_url is no http address", final=True)
    deadline = time.monotonic() + timeout_s
    agent = {"User-Agent": "FrugalWatch", "Accept": "application/json"}
    try:
        request = urllib.request.Request(url, headers={**agent, **headers})
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=timeout_s) as response:
            body = b""
            while piece := response.read1(_MOST_BYTES):
                body += piece
                if len(body) > _MOST_BYTES:
                    return LiveFailure(f"{host} answered with more than {_MOST_BYTES} bytes")
                if time.monotonic() > deadline:
                    return LiveFailure(f"{host} took longer than {timeout_s:g} s")
            return body
    except urllib.error.HTTPError as error:
        with error:
            return _refused(host, error)
    except urllib.error.URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            return LiveFailure(f"{host} took longer than {timeout_s:g} s")
        return LiveFailure(f"{host} cannot be reached: {reason}")
    except TimeoutError:
        return LiveFailure(f"{host} took longer than {timeout_s:g} s")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return LiveFailure(f"{host} broke off: {error or type(error).__name__}")


def _refused(host: str, error: urllib.error.HTTPError) -> LiveFailure:
    status = error.code
    if status in (401, 403):
        return LiveFailure(f"{host} refused access ({status})", "check the token", final=True)
    if status == 429:
        wait = error.headers.get("Retry-After", "")
        wait_s = float(wait) if wait.isdigit() and len(wait) < 7 else None
        return LiveFailure(f"{host} was asked too often (429)", retry_after_s=wait_s)
    if 300 <= status < 400:
        return LiveFailure(f"{host} sent us elsewhere ({status}), not followed", final=True)
    if status in (400, 404, 422):
        return LiveFailure(f"{host} does not know this zone or address ({status})", final=True)
    return LiveFailure(f"{host} answered {status}")


def _private(base: str) -> bool:
    """True if what is sent to this address is encrypted or stays on this machine."""
    parts = urllib.parse.urlsplit(base)
    host = parts.hostname or ""
    return parts.scheme != "http" or host in ("localhost", "::1") or host.startswith("127.")


def _garbled(service: str, error: Exception) -> LiveFailure:
    what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
    return LiveFailure(f"{service} sent an answer that makes no sense: {what[:120]}")


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _intensity(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"no number: {value!r}")
    if not (math.isfinite(value) and 0 <= value <= _MOST_G_PER_KWH):
        raise ValueError(f"{value} g/kWh cannot be")
    return float(value)


def _instant(value: object) -> int:
    """Nanoseconds since 1970 of an ISO 8601 time; one without an offset is UTC."""
    if not isinstance(value, str):
        raise ValueError(f"no time: {value!r}")
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return round(instant.timestamp() * _NS)
