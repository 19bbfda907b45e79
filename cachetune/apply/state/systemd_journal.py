"""Send one entry to systemd's journal: a datagram of fields to journald's socket.

The protocol is stable and fits in a few lines, so no package is needed for it. The journal adds the process, the user
and the login itself. Without journald nothing is sent.
Source: systemd's JOURNAL_NATIVE_PROTOCOL, systemd.journal-fields(7).
"""

import contextlib
import socket
from pathlib import Path

from cachetune.text import printable

SOCKET = Path("/run/systemd/journal/socket")


def send(**fields: str) -> None:
    """Send an entry. Errors are ignored, and a journald that is busy is not waited for: the change log has it, too."""
    text = "".join(f"{name}={printable(value)}\n" for name, value in fields.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        to.setblocking(False)
        to.sendto(text.encode(), str(SOCKET))
