"""The files of info/L3_MON about assignable counters: the mode, the numbers of counters, and what events count.

The mode is mbm_event (counters are assigned) or default (the hardware decides; configurable events have their files
then). Where counters cannot be assigned, only mbm_assign_mode exists. Source: fs/resctrl/monitor.c in Linux 7.3.
"""

import errno
from collections.abc import Callable

from cachetune.sim.kernel.nodes import Directory, File, Node
from cachetune.sim.kernel.state import State
from cachetune.sim.numbers import NumberError, boolean, c_string, strip

TRANSACTIONS = (
    "local_reads",
    "remote_reads",
    "local_non_temporal_writes",
    "remote_non_temporal_writes",
    "local_reads_slow_memory",
    "remote_reads_slow_memory",
    "dirty_victim_writes_all",
)
"""The kinds of memory transactions that an event can count, by bit."""
_DEFAULT_FILTERS = {"mbm_total_bytes": 0x7F, "mbm_local_bytes": 0x15}
_NOT_ENABLED = "mbm_event counter assignment mode is not enabled\n"


def files(state: State, switched: Callable[[], None]) -> dict[str, Node]:
    """Return the files. ``switched`` is called after a change of the mode."""
    found: dict[str, Node] = {}
    filters: dict[str, int] = {}

    def switch(text: str) -> None:
        before = state.assignments.enabled
        write_mode(state, text)
        if state.assignments.enabled != before:
            filters.update({event: _DEFAULT_FILTERS[event] for event in filters})
            switched()

    if state.rules.assign_mode_file:
        found["mbm_assign_mode"] = File(0o644, lambda: _show_mode(state), switch)
    if state.assignments.total:
        filters |= {event: _DEFAULT_FILTERS[event] for event in state.assignments.events}
        found["num_mbm_cntrs"] = File(0o444, lambda: _numbers(state, lambda _: state.assignments.total))
        found["available_mbm_cntrs"] = File(0o444, lambda: _show_available(state))
        found["mbm_assign_on_mkdir"] = File(0o644, lambda: _show_on_mkdir(state), lambda t: _write_on_mkdir(state, t))
        events = {event: _filter_directory(state, event, filters) for event in state.assignments.events}
        found["event_configs"] = Directory(0o555, "info", None, {**events})
    return found


# -- mbm_assign_mode --------------------------------------------------------------------------------------------


def _show_mode(state: State) -> str:
    if not state.assignments.total:
        return "[default]\n"
    shown = "[mbm_event]\n" if state.assignments.enabled else "[default]\n"
    if state.assignments.fixed:
        return shown
    return shown + ("default\n" if state.assignments.enabled else "mbm_event\n")


def write_mode(state: State, text: str) -> None:
    """Execute one write to mbm_assign_mode: a change frees all counters. Raises RefusedError."""
    state.status.clear()
    if not text.endswith("\n"):
        state.refuse_input("mbm_assign_mode")
    wanted = c_string(text[:-1])
    if wanted not in {"default", "mbm_event"}:
        state.refuse("Unsupported assign mode\n")
    assignments, enable = state.assignments, wanted == "mbm_event"
    if enable and not assignments.total:
        state.refuse("mbm_event mode is not supported\n")
    if enable == assignments.enabled:
        return
    if assignments.fixed:
        state.refuse("Counter assignment mode is not configurable\n")
    assignments.enabled = enable
    assignments.on_mkdir = assignments.on_mkdir or enable
    assignments.free_all()
    for domain in assignments.domains:
        for event in assignments.events:
            state.counters.restart(domain, event)


# -- counters ---------------------------------------------------------------------------------------------------


def _numbers(state: State, number: Callable[[int], int]) -> str:
    return ";".join(f"{domain}={number(domain)}" for domain in state.assignments.domains) + "\n"


def _require_enabled(state: State) -> None:
    if not state.assignments.enabled:
        state.refuse(_NOT_ENABLED)


def _show_available(state: State) -> str:
    state.status.clear()
    _require_enabled(state)
    return _numbers(state, state.assignments.available)


def _show_on_mkdir(state: State) -> str:
    state.status.clear()
    _require_enabled(state)
    return f"{int(state.assignments.on_mkdir)}\n"


def _write_on_mkdir(state: State, text: str) -> None:
    state.status.clear()
    try:
        value = boolean(c_string(text))
    except NumberError:
        state.refuse_input("mbm_assign_on_mkdir")
    _require_enabled(state)
    state.assignments.on_mkdir = value


# -- event_filter -----------------------------------------------------------------------------------------------


def _filter_directory(state: State, event: str, filters: dict[str, int]) -> Directory:
    mode = 0o444 if state.assignments.fixed else 0o644
    file = File(mode, lambda: _show_filter(state, filters[event]), lambda t: _write_filter(state, event, filters, t))
    return Directory(0o555, "info", None, {"event_filter": file})


def _show_filter(state: State, bits: int) -> str:
    state.status.clear()
    _require_enabled(state)
    return ",".join(name for bit, name in enumerate(TRANSACTIONS) if bits >> bit & 1) + "\n"


def _write_filter(state: State, event: str, filters: dict[str, int], text: str) -> None:
    state.status.clear()
    if not text.endswith("\n"):
        state.refuse_input("event_filter")
    _require_enabled(state)
    if state.assignments.fixed:
        state.refuse("event_filter is not configurable\n", number=errno.EPERM)
    bits = 0
    rest = c_string(text[:-1])
    while rest:
        item, _, rest = rest.partition(",")
        name = strip(item)
        if name not in TRANSACTIONS:
            state.refuse_formatted(f"Invalid memory transaction type {name}\n")
        bits |= 1 << TRANSACTIONS.index(name)
    if bits != filters[event]:
        filters[event] = bits
        for domain in state.assignments.domains:
            state.counters.restart(domain, event)
