"""What may be shown of a webhook's address: its host. The rest may be a secret."""

from __future__ import annotations


def host_of(url: str) -> str:
    """The host of an http(s) address; empty if it is none."""
    if not url.startswith(("https://", "http://")):
        return ""
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def shown(url: str) -> str:
    """The address without what may be secret in it."""
    return f"{url.partition('://')[0]}://{host_of(url) or '***'}/***"
