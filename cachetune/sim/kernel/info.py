"""The info directory: the processor's features, and the few settings that apply to all groups."""

from collections.abc import Callable

from cachetune.sim.kernel import assign_mode, io_alloc, schemata
from cachetune.sim.kernel.nodes import Directory, File, Node
from cachetune.sim.kernel.rmids import l3_rmids
from cachetune.sim.kernel.state import State
from cachetune.sim.numbers import NumberError, c_string, strip, unsigned
from cachetune.sim.profile import MBM_EVENTS, Monitoring, Telemetry
from cachetune.sim.resources import BandwidthResource, CacheResource, Resource


def make_info(state: State) -> Directory:
    """Return the info directory with all its contents."""
    entries: dict[str, Node] = {"last_cmd_status": File(0o444, state.status.show)}
    for resource in state.resources:
        entries[resource.name] = Directory(0o555, "info", None, _resource_files(state, resource))
    if state.profile.monitoring:
        entries["L3_MON"] = _monitoring_directory(state, state.profile.monitoring)
    if state.telemetry:
        entries["PERF_PKG_MON"] = Directory(0o555, "info", None, _telemetry_files(state.telemetry))
    return Directory(0o555, "info", None, entries)


def _resource_files(state: State, resource: Resource) -> dict[str, Node]:
    if isinstance(resource, CacheResource):
        return _cache_files(state, resource)
    return _bandwidth_files(resource)


def _fixed(text: object) -> File:
    return File(0o444, lambda: f"{text}\n")


def _cache_files(state: State, cache: CacheResource) -> dict[str, Node]:
    files: dict[str, Node] = {
        "bit_usage": File(0o444, lambda: schemata.show_bit_usage(state, cache)),
        "cbm_mask": _fixed(f"{cache.full:x}"),
        "min_cbm_bits": _fixed(cache.min_cbm_bits),
        "num_closids": _fixed(cache.closids),
        "shareable_bits": _fixed(f"{cache.shareable:x}"),
    }
    if state.rules.sparse_masks_file:
        files["sparse_masks"] = _fixed(int(cache.sparse))
    return files | io_alloc.files(state, cache)


def _bandwidth_files(bandwidth: BandwidthResource) -> dict[str, Node]:
    files: dict[str, Node] = {
        "bandwidth_gran": _fixed(bandwidth.bandwidth_gran),
        "delay_linear": _fixed(int(bandwidth.linear)),
        "min_bandwidth": _fixed(bandwidth.min_bandwidth),
        "num_closids": _fixed(bandwidth.closids),
    }
    if bandwidth.throttle_mode:
        files["thread_throttle_mode"] = _fixed(bandwidth.throttle_mode)
    return files


def _monitoring_directory(state: State, monitoring: Monitoring) -> Directory:
    """Return info/L3_MON. The files of configurable events are hidden while counters are assigned."""
    configurable = monitoring.configurable if state.rules.amd_slow_memory else ()
    configs = {f"{event}_config": _event_config(state, event) for event in configurable}
    directory = Directory(0o555, "info", None)

    def show_or_hide_configs() -> None:
        for name, file in configs.items():
            if state.assignments.enabled:
                directory.entries.pop(name, None)
            else:
                directory.entries[name] = file

    directory.entries |= {
        "max_threshold_occupancy": File(0o644, lambda: f"{state.rmids.threshold}\n", _threshold_writer(state)),
        "mon_features": File(0o444, lambda: _features(monitoring, directory)),
        "num_rmids": _fixed(l3_rmids(state.profile, state.rules)),
    }
    directory.entries |= assign_mode.files(state, show_or_hide_configs)
    show_or_hide_configs()
    return directory


def _features(monitoring: Monitoring, directory: Directory) -> str:
    names = [name for event in monitoring.events for name in (event, f"{event}_config")]
    return "".join(f"{name}\n" for name in names if name in monitoring.events or name in directory.entries)


def _telemetry_files(telemetry: Telemetry) -> dict[str, Node]:
    return {
        "mon_features": _fixed("\n".join(event.name for event in telemetry.events)),
        "num_rmids": _fixed(telemetry.rmids),
    }


def _threshold_writer(state: State) -> Callable[[str], None]:
    def write(text: str) -> None:
        if state.rules.invalid_input_texts:
            state.status.clear()
        try:
            value = unsigned(c_string(text), 0, 32)
        except NumberError as error:
            state.refuse_input("max_threshold_occupancy", error.errno)
        if value > state.rmids.limit:
            limit = f"Exceeds limit (before adjustment) of {state.rmids.limit} bytes"
            state.refuse(f"max_threshold_occupancy: {limit}\n" if state.rules.invalid_input_texts else "")
        state.rmids.threshold = state.rmids.round(value)

    return write


# -- configurable events (AMD) ----------------------------------------------------------------------------

_EVENT_BITS = 0x7F
_EVENT_DEFAULTS = {"mbm_total_bytes": 0x7F, "mbm_local_bytes": 0x15}


def _event_config(state: State, event: str) -> File:
    chosen = dict.fromkeys((domain.id for domain in state.domains), _EVENT_DEFAULTS[event])

    def read() -> str:
        return ";".join(f"{i}=0x{bits:02x}" for i, bits in chosen.items()) + "\n"

    def write(text: str) -> None:
        if state.rules.invalid_input_texts:
            state.status.clear()
        if not text.endswith("\n"):
            state.refuse_input(f"{event}_config")
        state.status.clear()
        rest = c_string(text[:-1])
        while rest:
            entry, _, rest = rest.partition(";")
            cache_id, bits = _read_event_entry(state, strip(entry))
            if cache_id not in chosen:
                state.refuse()
            if chosen[cache_id] != bits:
                chosen[cache_id] = bits
                for each in MBM_EVENTS:
                    state.counters.restart(cache_id, each)

    return File(0o644, read, write)


def _read_event_entry(state: State, entry: str) -> tuple[int, int]:
    number, _, value = entry.partition("=")
    try:
        cache_id = unsigned(number, 10, 64)
    except NumberError:
        state.refuse("Missing '=' or non-numeric domain id\n")
    try:
        bits = unsigned(value, 16, 64)
    except NumberError:
        state.refuse("Non-numeric event configuration value\n")
    if bits & ~_EVENT_BITS:
        state.refuse_formatted(f"Invalid event configuration: max valid mask is 0x{_EVENT_BITS:02x}\n")
    return cache_id, bits
