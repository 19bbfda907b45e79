"""What a snapshot has, for completion: the guests with groups. As little of it is decoded as says that.

The file is any file: one that is no snapshot, or cannot be read, has no guests.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cachetune.cli.completion.declarations import declarations

with declarations("cachetune.plan.groups.names", "cachetune.domain.threads"):
    from cachetune.plan.groups.names import guest_in, scope_of

_OWNERS = ("cachetune", "libvirt")
_LARGEST = 1 << 25  # bytes: decoding more takes longer than a shell should wait


class _Group(msgspec.Struct):
    path: str
    owner: str


class _Snapshot(msgspec.Struct):
    groups: list[_Group]


def guests(snapshot: Path) -> Iterator[tuple[str, int]]:
    """The guests, sorted, and how many groups each has. Raises OSError."""
    with snapshot.open("rb") as file:
        data = file.read(_LARGEST)
    try:
        groups = msgspec.json.decode(data, type=_Snapshot).groups
    except (msgspec.DecodeError, RecursionError):
        return
    found = Counter(guest_in(scope_of(group.path).machine) for group in groups if group.owner in _OWNERS)
    yield from sorted(found.items())
