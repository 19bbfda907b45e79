"""Fetch a URL as Prometheus and browsers do."""

import ssl
import urllib.request


def get(url: str, context: ssl.SSLContext | None = None, data: bytes | None = None, **headers: str) -> tuple[str, str]:
    """The type and the text that a URL has; ``data`` is posted."""
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - a test's own server
    with urllib.request.urlopen(request, context=context) as response:  # noqa: S310
        return response.headers["Content-Type"], response.read().decode()
