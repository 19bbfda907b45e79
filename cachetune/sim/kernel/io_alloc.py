"""The files io_alloc and io_alloc_cbm: the ways that I/O devices fill (AMD SDCIAE).

While it is on, the highest CLOSID belongs to I/O, and its masks are those of the devices; with CDP, code and data have
the same. They count as the hardware's in bit_usage. Every cache has the files if the L3 supports it. Source:
fs/resctrl/ctrlmondata.c in Linux 7.3.
"""

import errno

from cachetune.sim.kernel import schemata
from cachetune.sim.kernel.nodes import File, Node
from cachetune.sim.kernel.state import State
from cachetune.sim.numbers import NumberError, boolean, c_string, strip, unsigned
from cachetune.sim.resources import CacheResource


def files(state: State, cache: CacheResource) -> dict[str, Node]:
    """Return the files of one cache resource."""
    if state.io is None:
        return {}
    return {
        "io_alloc": File(0o644, lambda: _show(state, cache), lambda t: _write(state, cache, t)),
        "io_alloc_cbm": File(0o644, lambda: _show_masks(state, cache), lambda t: _write_masks(state, cache, t)),
    }


def _show(state: State, cache: CacheResource) -> str:
    if not cache.io_alloc:
        return "not supported\n"
    return "enabled\n" if state.io_masks(cache) else "disabled\n"


def _write(state: State, cache: CacheResource, text: str) -> None:
    state.status.clear()
    try:
        enable = boolean(c_string(text))
    except NumberError:
        state.refuse_input("io_alloc")
    _require_support(state, cache)
    if state.io is None or enable == bool(state.io.masks):
        return
    if state.io.closid >= state.closids:
        state.refuse_formatted(f"io_alloc CLOSID (ctrl_hw_id) {state.io.closid} is not available\n")
    if not enable:
        state.io.masks = {}
        return
    holder = next((group for group in state.allocated() if group.closid == state.io.closid), None)
    if holder is not None:
        used = f"CLOSID (ctrl_hw_id) {state.io.closid} for io_alloc is used by {holder.name} group\n"
        state.refuse_formatted(used, number=errno.ENOSPC)
    state.io.masks = {i: schemata.initial_mask(state, cache, i) for i in cache.ids}


def _show_masks(state: State, cache: CacheResource) -> str:
    state.status.clear()
    _require_support(state, cache)
    _require_enabled(state, cache)
    return ";".join(f"{i}={mask:x}" for i, mask in state.io_masks(cache).items()) + "\n"


def _write_masks(state: State, cache: CacheResource, text: str) -> None:
    state.status.clear()
    if not text.endswith("\n"):
        state.refuse_input("io_alloc_cbm")
    _require_support(state, cache)
    _require_enabled(state, cache)
    staged: dict[int, int] = {}
    rest, everywhere = c_string(text[:-1]), False
    while rest:
        if everywhere:
            state.refuse("Configurations after global '*'\n")
        entry, _, rest = rest.partition(";")
        number, equals, value = entry.partition("=")
        everywhere = bool(equals) and number == "*"
        for cache_id in cache.ids if everywhere else (_cache_id(state, cache, number, equals),):
            if cache_id in staged:
                state.refuse_formatted(f"Duplicate domain {cache_id}\n")
            staged[cache_id] = schemata.mask_beside_groups(state, cache, cache_id, strip(value))
    if state.io is not None:
        state.io.masks |= staged


def _cache_id(state: State, cache: CacheResource, number: str, equals: str) -> int:
    try:
        cache_id = unsigned(number, 10, 64)
    except NumberError:
        state.refuse(schemata.NO_PAIR)
    if not equals:
        state.refuse(schemata.NO_PAIR)
    if cache_id not in cache.ids:
        state.refuse_formatted(f"Invalid domain {cache_id}\n")
    return cache_id


def _require_support(state: State, cache: CacheResource) -> None:
    if not cache.io_alloc:
        state.refuse_formatted(f"io_alloc is not supported on {cache.name}\n", number=errno.ENODEV)


def _require_enabled(state: State, cache: CacheResource) -> None:
    if not state.io_masks(cache):
        state.refuse_formatted(f"io_alloc is not enabled on {cache.name}\n")
