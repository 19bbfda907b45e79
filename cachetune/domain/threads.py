"""Threads of a guest other than its vCPUs: the values of the attribute ``threads``, which only tuning files have.

Inside the checks, what a group is for is one bit mask: the vCPUs, above them the iothreads, and a bit each for the
emulator's threads and the vhost workers. So a group cannot overlap another in one kind and be missed in the next.

No msgspec here: checking a file must start fast.
"""

import re
from typing import Literal, NamedTuple

from cachetune.idset import MAX_VCPUS, format_ids, format_mask, ids_of, mask_of, numbered, parse_vcpu_mask

ThreadKind = Literal["emulator", "iothreads", "vhost"]

_VCPUS = (1 << MAX_VCPUS) - 1
_IOTHREADS = _VCPUS << MAX_VCPUS
_EMULATOR = 1 << 2 * MAX_VCPUS
_VHOST = _EMULATOR << 1
_MASKS: dict[ThreadKind, int] = {"emulator": _EMULATOR, "iothreads": _IOTHREADS, "vhost": _VHOST}
_WORDS: dict[ThreadKind, str] = {"emulator": "emulator threads", "iothreads": "iothreads", "vhost": "vhost workers"}
_LONGEST_LIST = 80


class Threads(NamedTuple):
    """One kind of a guest's threads. ``iothreads`` are the numbers of some iothreads; None is every thread of the kind.

    ``emulator`` threads are those of the process that are neither vCPUs, iothreads nor vhost workers. ``vhost`` workers
    are the kernel's threads for the guest's virtio devices. Iothread N is libvirt's, QEMU's object ``iothreadN``.
    """

    kind: ThreadKind
    iothreads: frozenset[int] | None = None

    def __str__(self) -> str:
        """The value of the attribute: "emulator", "iothreads", "iothreads:1-2" or "vhost"."""
        return self.kind if self.iothreads is None else f"{self.kind}:{format_ids(self.iothreads)}"

    @property
    def id(self) -> str:
        """The end of the group's name, ``threads_iothreads_1-2``.

        A machine name has no underscore, so no other guest's group can have the same name.
        """
        return f"threads_{self}".replace(":", "_")

    @property
    def shown(self) -> str:
        """The threads as a message names them."""
        return _WORDS[self.kind] if self.iothreads is None else numbered("iothread", self.iothreads)

    @property
    def mask(self) -> int:
        """The threads as bits above those of all vCPUs."""
        return _MASKS[self.kind] if self.iothreads is None else mask_of(self.iothreads) << MAX_VCPUS


def parse_threads(text: str) -> Threads:
    """Read ``emulator``, ``iothreads``, ``iothreads:1-2`` or ``vhost``; the list is one as of vCPUs.

    Raises ValueError with the reason.
    """
    kind, colon, numbers = text.partition(":")
    if kind not in _MASKS or (colon and kind != "iothreads"):
        raise ValueError(f"{text[:20]!r} is not emulator, iothreads, iothreads:LIST or vhost")
    if not colon:
        return Threads(kind)
    try:
        mask = parse_vcpu_mask(numbers)
    except ValueError as error:
        raise ValueError(str(error).replace("vCPU", "iothread")) from None
    if not mask:
        raise ValueError(f"{numbers[:20]!r} names no iothread")
    return Threads(kind, ids_of(mask))


def threads_of_id(group_id: str) -> Threads | None:
    """The threads whose groups end in ``group_id``; None for any other id."""
    match = re.fullmatch(r"threads_([a-z]+)(?:_([0-9,-]+))?", group_id, re.ASCII)
    if match is None:
        return None
    try:
        return parse_threads(match[1] + (f":{match[2]}" if match[2] else ""))
    except ValueError:
        return None


def threads_in(mask: int) -> Threads | None:
    """The threads of a mask; None for one of vCPUs."""
    if mask <= _VCPUS:
        return None
    for kind, bits in _MASKS.items():
        if mask == bits:
            return Threads(kind)
    return Threads("iothreads", ids_of(mask >> MAX_VCPUS))


def who(vcpus: frozenset[int] | None, threads: Threads | None = None) -> str:
    """Whom a group or monitor is for: "vCPUs 0-1", "iothread 1", "the whole process"."""
    return threads.shown if threads else "the whole process" if vcpus is None else numbered("vCPU", vcpus)


def named(mask: int | None) -> str:
    """Whom a mask is for, as a message shows it; None is the whole process."""
    if mask is None:
        return "the whole process"
    if threads := threads_in(mask):
        return _shortened(threads.shown)
    return _shortened(f"vCPU{'' if mask.bit_count() == 1 else 's'} {format_mask(mask)}")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_LIST else text[:_LONGEST_LIST].rpartition(",")[0] + ",…"
