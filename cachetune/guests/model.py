"""A running guest: its process and which thread is which vCPU."""

import msgspec


class Thread(msgspec.Struct, frozen=True):
    """One thread. ``start_time`` (ticks after boot, /proc/TID/stat field 22) tells a reused tid; 0 if unknown."""

    tid: int
    start_time: int = 0
    comm: str = ""
    vcpu: int | None = None


class Guest(msgspec.Struct, frozen=True):
    """The threads of a guest. ``pid`` is None when only vCPU threads were named."""

    pid: int | None
    threads: tuple[Thread, ...]
