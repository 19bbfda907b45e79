"""What this host has, for completion: guests that run, and the ids of caches and nodes.

A shell waits for the answer, so it takes at most 200 ms: a directory can be a mount whose server is dead, and the
kernel can block a read of a process in trouble. libvirt and QMP sockets are not asked at all. Names are claims of
processes that any user can start: those that a terminal or a shell could misread are left out.
"""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cachetune.guests.proc.programs import arguments_of, can_be_guest, identity_of, is_qemu

MOST_SECONDS = 0.2


class Runs(NamedTuple):
    """A guest as its process names it. ``name`` and ``uuid`` are "" if unknown."""

    pid: int
    name: str
    uuid: str


def in_time(look: Callable[[], Iterator[object]]) -> list[object]:
    """Return what ``look`` finds within MOST_SECONDS. Errors of the operating system end the search."""
    found: list[object] = []

    def collect() -> None:
        try:
            for one in look():
                found.append(one)  # noqa: PERF402 - what is there counts when the time is over
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(MOST_SECONDS)
    return list(found)


def guests(proc: Path) -> Iterator[Runs]:
    """The guests whose processes name them, in the order of /proc. Raises OSError if ``proc`` cannot be listed."""
    for directory in proc.iterdir():
        if not directory.name.isdecimal():
            continue
        arguments = arguments_of(directory)
        if is_qemu(arguments) or can_be_guest(arguments):
            claimed = identity_of(arguments)
            yield Runs(int(directory.name), claimed.name, claimed.uuid or "")


def ids(resctrl: Path, resource: str) -> Iterator[str]:
    """The cache ids (or nodes, of MB) in the default group's schemata. Raises OSError if it cannot be read.

    With CDP, L3CODE and L3DATA have the ids of L3.
    """
    for line in (resctrl / "schemata").read_text("utf-8", "replace").splitlines():
        name, _, values = line.strip().partition(":")
        if name in (resource, f"{resource}CODE"):
            yield from (found[1] for found in re.finditer(r"(?:^|;) *([0-9]{1,10}) *=", values, re.ASCII))
            return
