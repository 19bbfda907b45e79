"""Whom of a guest a group or a monitor is for: some vCPUs, other threads, or the whole process."""

from typing import Self

import msgspec

from cachetune.domain.model import GroupRequest, MonitorRequest, VcpuSet
from cachetune.domain.threads import Threads, threads_of_id, who
from cachetune.idset import format_ids, mask_of, parse_vcpus

_EVERYONE = -1


class Members(msgspec.Struct, frozen=True):
    """vCPUs, or other threads (``vcpus`` is empty then); neither is the whole process (``vcpus`` None)."""

    vcpus: VcpuSet | None = None
    threads: Threads | None = None

    @classmethod
    def of(cls, request: GroupRequest | MonitorRequest) -> Self:
        """The members that a request names."""
        return cls(request.vcpus, request.threads)

    @classmethod
    def of_threads(cls, threads: Threads) -> Self:
        """These threads, no vCPUs."""
        return cls(frozenset(), threads)

    @classmethod
    def of_name(cls, path: str, machine: str) -> Self:
        """The members in the name of a group of ``machine``. Raises ValueError for a name that requests never get."""
        name = path.rpartition("/")[2]
        if name == machine:
            return cls()
        group_id = name.removeprefix(f"{machine}-")
        if threads := threads_of_id(group_id):
            found = cls.of_threads(threads)
        else:
            try:
                found = cls(parse_vcpus(group_id.removeprefix("vcpus_")))
            except ValueError:
                found = cls()
        if found.id != group_id or not found.mask:
            raise ValueError("its name has no list of vCPUs")
        return found

    def __str__(self) -> str:
        """The members as a message names them."""
        return who(self.vcpus, self.threads)

    @property
    def id(self) -> str | None:
        """The end of the group's name, None for the whole process."""
        if self.threads:
            return self.threads.id
        return None if self.vcpus is None else f"vcpus_{format_ids(self.vcpus)}"

    @property
    def mask(self) -> int:
        """A bit for each member; all bits for the whole process."""
        if self.threads:
            return self.threads.mask
        return _EVERYONE if self.vcpus is None else mask_of(self.vcpus)

    def overlap(self, other: "Members") -> bool:
        """Whether one document cannot have a group for each of the two."""
        return bool(self.mask & other.mask)

    def are_part_of(self, other: "Members") -> bool:
        """Whether these are some of the others, but not all."""
        return self.mask != other.mask and not self.mask & ~other.mask
