"""A headless Chromium that opens one page and says what it did: requests, messages of its console, sizes, pictures.

It is controlled through a pipe (--remote-debugging-pipe), so no port is open. Source: the Chrome DevTools Protocol.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.missing import skip_without

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)
_OPTIONS += ("--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update")


def need_chromium() -> str:
    """Skip without Chromium; in CI that is a failure."""
    program = shutil.which("chromium")
    if program is None:
        skip_without("chromium is missing (Debian package chromium)")
    return program


class Page:
    """The page. ``requests`` are the URLs of all requests, ``messages`` what the console shows."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back, self._number, self._rest = to, back, 0, b""
        self.requests: list[str] = []
        self.messages: list[str] = []
        self._events: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Load a page, and wait until all of it is there."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._take(self._message())

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method for this page and return the result."""
        return self._call(method, self._session, **parameters)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def show_as(self, width: int, scheme: str, media: str = "screen") -> None:
        """Show it in a window of this width, in light or dark, on a screen or in print."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])

    def picture(self) -> bytes:
        """All of the page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def _call(self, method: str, session: str = "", **parameters: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        data = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while (answer := self._message()).get("id") != self._number:
            self._take(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _take(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method", ""), event.get("params", {})
        self._events.append(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Log.entryAdded":
            self.messages.append(parameters["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.messages.append(json.dumps(parameters))

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._back, 1 << 16)
            assert data, "chromium has ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded


@contextmanager
def chromium(directory: Path) -> Iterator[Page]:
    """A Chromium with an empty page, and its profile in this directory; it ends with the block."""
    program = need_chromium()
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()

    # It reads descriptor 3 and writes to 4.
    script = f'exec "$@" 3<&{in_read} 4>&{out_write} {in_read}<&- {out_write}>&-'
    words = ["bash", "-c", script, "chromium", program, *_OPTIONS, f"--user-data-dir={directory / 'profile'}"]
    with subprocess.Popen(
        words,
        pass_fds=(in_read, out_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(in_read)
        os.close(out_write)
        try:
            yield Page(in_write, out_read)
        finally:
            os.close(in_write)  # then it ends
            os.close(out_read)
            process.kill()
