"""Notify systemd (sd_notify): datagrams to the socket in $NOTIFY_SOCKET; without it, nothing is sent.

The protocol is stable and fits in ten lines, so no package is needed for it.
Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import contextlib
import os
import socket
from collections.abc import Mapping

import msgspec


class Notifier(msgspec.Struct, frozen=True):
    """``address`` is the socket ("" for none), ``watchdog_seconds`` the longest silence allowed (None: unlimited)."""

    address: str = ""
    watchdog_seconds: float | None = None

    def send(self, **values: str) -> None:
        """Send values such as READY="1". Errors are ignored: the agent works without a service manager."""
        if not self.address:
            return
        text = "\n".join(f"{key}={value.replace(chr(10), ' ')}" for key, value in values.items())
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.sendto(text.encode(), address)


def notifier(environment: Mapping[str, str]) -> Notifier:
    """The notifier that the environment describes; with a watchdog only if $WATCHDOG_PID is this process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    seconds = int(microseconds) / 1e6 if for_us and microseconds.isdecimal() and int(microseconds) else None
    return Notifier(environment.get("NOTIFY_SOCKET", ""), seconds)
