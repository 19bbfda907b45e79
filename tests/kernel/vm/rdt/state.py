"""The values of the registers at one moment."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class HwState:
    """What the pretended hardware holds: dictionaries are by number of the L3 cache, or of the CPU for its L2 cache.

    ``l3_mask[cache][closid]``, or, with CDP on, ``[2 * closid]`` for data and ``[2 * closid + 1]`` for code; likewise
    L2. ``mba_delay[cache][closid]`` in percent held back (Intel). ``mb_limit`` and ``smba_limit`` in 1/8 GB/s (AMD).
    ``io_alloc`` is whether I/O uses the mask of the highest CLOSID. ``assigned[cache][counter]`` is the RMID that an
    assignable counter counts, and the kinds of transactions as a mask. ``rmids_shared`` is whether Sub-NUMA nodes
    count as one. ``association[cpu]`` is (closid, rmid). ``refused`` lists the writes that a real processor answers
    with a fault, as (register, value).
    """

    l3_mask: dict[int, list[int]]
    mba_delay: dict[int, list[int]]
    cdp: dict[int, bool]
    association: list[tuple[int, int]]
    refused: list[tuple[str, str]]
    l2_mask: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    l2_cdp: dict[int, bool] = dataclasses.field(default_factory=dict)
    rmids_shared: dict[int, bool] = dataclasses.field(default_factory=dict)
    mb_limit: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    smba_limit: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    io_alloc: dict[int, bool] = dataclasses.field(default_factory=dict)
    assigned: dict[int, dict[int, tuple[int, int]]] = dataclasses.field(default_factory=dict)
