"""Read two hosts, snapshots or simulated ones, and compare them."""

import msgspec

from cachetune.errors import InputError
from cachetune.fleet.compare import Comparison, compare
from cachetune.service.connection import Location
from cachetune.service.hosts import read_location

_STDIN = "-"


class Compared(msgspec.Struct, frozen=True):
    """A comparison, and ``notes``: warnings about what could not be read."""

    comparison: Comparison
    notes: tuple[str, ...] = ()


def compare_hosts(a: str, b: str, *, groups: bool = False) -> Compared:
    """Compare two hosts, each a snapshot's file, "-" for standard input, or ``sim:NAME``.

    Raises InputError for two hosts on standard input, and what ``read_location`` does.
    """
    if a == b == _STDIN:
        raise InputError("both hosts are on standard input", hint="pass a file for one of them")
    ours, theirs = (read_location(Location(host=host)) for host in (a, b))
    comparison = compare(ours.host, theirs.host, sources=(a, b), groups=groups)
    return Compared(comparison, (*ours.notes, *theirs.notes))
