"""What a pretended processor offers."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Amd:
    """What only AMD's PQoS has; a count of 0 leaves the resource out.

    Limits are in units of 1/8 GB/s; 1 << ``bandwidth_bits`` is no limit. ``counters`` is the number of assignable
    counters of each cache (ABMC), ``event_configuration`` is BMEC, ``io_alloc`` is SDCIAE.
    """

    smba_closids: int = 16
    bandwidth_bits: int = 11
    counters: int = 0
    event_configuration: bool = True
    io_alloc: bool = False


@dataclasses.dataclass(frozen=True)
class Rdt:
    """What the pretended processor offers; a count of 0 leaves the resource out. With ``amd`` it is AMD's, else
    Intel's.

    The default is a Cascade Lake server's, but for a bigger way (3840 KiB) and fewer RMIDs (so that they run out).
    Each processor has its own L2 cache. ``snc_nodes`` are the Sub-NUMA nodes of each L3 cache; they share the RMIDs
    between them. If ``counters`` are "kept", what was charged to an RMID stays in the cache until the command writes a
    mark, so that the RMID stays in limbo.
    """

    l3_ways: int = 11
    l3_way_kib: int = 3840
    l3_shareable: int = 0x600
    l3_closids: int = 16
    cdp: bool = True
    sparse_masks: bool = False  # AMD's masks may have holes in any case
    l2_ways: int = 0
    l2_closids: int = 8
    l2_cdp: bool = False
    mba_closids: int = 8
    mba_max_delay: int = 90  # Intel: the kernel shows 100 less this as min_bandwidth
    rmids: int = 64
    counters: Literal["model", "kept", "zero", "error", "unavailable"] = "model"
    snc_nodes: int = 1
    amd: Amd | None = None

    def __post_init__(self) -> None:
        if self.amd and (self.snc_nodes > 1 or self.l2_ways):
            raise ValueError("AMD has neither Sub-NUMA clusters nor L2 masks")
