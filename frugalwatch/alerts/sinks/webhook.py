"""A web address that gets the notice as JSON, by POST.

Redirects are not followed, and only the host is ever told of: an address may have a secret in it.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple

from frugalwatch.alerts.sinks.webhook_address import host_of

TIMEOUT_S = 10.0
# After each failure that another try may mend.
PAUSES_S = (1.0, 4.0, 16.0, 60.0)
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Failure(NamedTuple):
    """Why it was not taken, and whether trying again may help."""

    why: str
    again: bool


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an HTTPError, as any other status that is not 2xx."""

    def redirect_request(self, *_args: object) -> None:
        return None


def post(url: str, notice: Mapping[str, object], *, timeout_s: float = TIMEOUT_S) -> Failure | None:
    """Deliver it once; None if it was taken. Blocks for as long as the address does not answer."""
    host = host_of(url)
    if not host:
        return Failure("alert_webhook is no http address", again=False)
    headers = {"Content-Type": "application/json", "User-Agent": "FrugalWatch"}
    try:
        request = urllib.request.Request(
            url, data=json.dumps(notice).encode(), headers=headers, method="POST"
        )
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=timeout_s):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return Failure(f"{host} answered {error.code}", error.code in _AGAIN)
    except urllib.error.URLError as error:
        return Failure(f"{host} cannot be reached: {error.reason}", again=True)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Failure(f"{host} broke off: {error or type(error).__name__}", again=True)
