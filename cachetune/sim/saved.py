"""A saved host as a simulated resctrl, with the host's capabilities, groups, masks and tasks.

A Host does not contain everything, so the rest is guessed: CPUs are distributed evenly over the caches, missing limits
are generous, and only L3_MON has events. Sizes are the Host's. As on any machine, the ``size`` file rounds a cache size
that is not a multiple of the ways; the sysfs from ``copies.write_sysfs`` has it exactly.
"""

import itertools
import time
from collections.abc import Callable
from typing import get_args

from cachetune.host.model import DEFAULT_GROUP, BandwidthControl, CacheControl, Host
from cachetune.host.model import Group as SavedGroup
from cachetune.sim.kernel import tree
from cachetune.sim.kernel.groups import find_directory
from cachetune.sim.kernel.nodes import Directory, split
from cachetune.sim.kernel.resctrl import SimulatedResctrl
from cachetune.sim.kernel.rmids import OutOfRmidsError
from cachetune.sim.kernel.state import Group, Mode, Region, State
from cachetune.sim.numbers import NumberError, format_cpu_list, parse_cpu_list
from cachetune.sim.profile import Bandwidth, Cache, Monitoring, Profile

_MANY_CLOSIDS = 128
_MANY_RMIDS = 4096
_AMD_MAXIMUM = 2048
_MOST_CPUS = 1 << 16
_SUFFIXES = ("CODE", "DATA")
_DIRECTORY_MODE = 0o755
_MODES: dict[str, Mode] = {mode: mode for mode in get_args(Mode)}


def simulate_host(
    host: Host, *, kernel: str | None = None, clock: Callable[[], float] = time.monotonic, writer: int = 1
) -> SimulatedResctrl:
    """Return a simulated resctrl in the state of a saved host, to rehearse a plan on.

    ``kernel``, ``clock`` and ``writer`` are those of SimulatedResctrl.
    """
    sim = SimulatedResctrl(profile_of(host), kernel=kernel, clock=clock, writer=writer)
    sim.mount_options = host.mount_options
    take_over(sim.state, sim.root, host)
    return sim


def profile_of(host: Host) -> Profile:
    """Return the processor and the mount options of a saved host."""
    absolute = any(b.unit == "1/8 GB/s" for b in host.bandwidths)
    count = _cpu_count(host)
    caches = [_cache(host, level, count) for level in sorted({c.level for c in host.caches})]
    if not any(c.level == 3 for c in caches) and (host.bandwidths or host.monitors):
        ids = next((b.ids for b in host.bandwidths), (0,))
        caches.append(Cache(level=3, ids=ids, cpu_lists=_distributed(count, len(ids)), size_bytes=0, ways=1))
    options = [
        *("cdp" for c in host.caches if c.name == "L3CODE"),
        *("cdpl2" for c in host.caches if c.name == "L2CODE"),
    ]
    return Profile(
        name=host.source,
        vendor="amd" if absolute or any(c.sparse_masks for c in host.caches) else "intel",
        caches=tuple(caches),
        bandwidths=tuple(map(_bandwidth, host.bandwidths)),
        monitoring=_monitoring(host),
        mount_options=tuple(options) + (("mba_MBps",) if _in_mbps(host) else ()),
    )


def _in_mbps(host: Host) -> bool:
    return any(b.unit == "MiB/s" for b in host.bandwidths)


def _cpu_count(host: Host) -> int:
    named = {cpu for group in host.groups for cpu in _cpus(group.cpus)}
    return max(1 + max(named, default=0), *(len(c.size_bytes) for c in host.caches), 1)


def _cpus(text: str) -> frozenset[int]:
    try:
        return parse_cpu_list(text, _MOST_CPUS)
    except NumberError:
        return frozenset()


def _distributed(count: int, parts: int) -> tuple[str, ...]:
    bounds = [count * part // parts for part in range(parts + 1)]
    return tuple(format_cpu_list(range(low, high)) for low, high in itertools.pairwise(bounds))


def _cache(host: Host, level: int, count: int) -> Cache:
    controls = [c for c in host.caches if c.level == level]
    control = controls[0]
    split = control.name.endswith(_SUFFIXES)
    closids = control.num_closids or _MANY_CLOSIDS
    ids = tuple(control.size_bytes)
    return Cache(
        level=level,
        ids=ids,
        cpu_lists=_distributed(count, len(ids)),
        size_bytes=max((size or 0 for size in control.size_bytes.values()), default=0),
        sizes={i: size or 0 for i, size in control.size_bytes.items()},
        ways=control.ways,
        closids=closids * 2 if split else closids,
        shareable=f"{control.shareable_bits:x}",
        min_cbm_bits=control.min_cbm_bits,
        sparse=control.sparse_masks,
        cdp=split or _is_padded(control),
    )


def _is_padded(control: CacheControl) -> bool:
    """Whether the processor supports CDP, which pads names in schemata: nearly all with L3 control do."""
    return control.level == 3 and control.min_cbm_bits != 2


def _bandwidth(control: BandwidthControl) -> Bandwidth:
    percent = control.unit != "1/8 GB/s"
    in_mbps = control.unit == "MiB/s"
    return Bandwidth(
        name="SMBA" if control.name == "SMBA" else "MB",
        closids=control.num_closids or _MANY_CLOSIDS,
        min_bandwidth=10 if in_mbps else control.min_bandwidth,
        bandwidth_gran=10 if in_mbps else control.bandwidth_gran,
        max_bandwidth=100 if percent else control.max_bandwidth or _AMD_MAXIMUM,
        linear=percent,
        throttle_mode="max" if percent else None,
    )


def _monitoring(host: Host) -> Monitoring | None:
    monitor = next((m for m in host.monitors if m.name == "L3_MON"), None)
    if monitor is None:
        return None
    extra = ("mbm_local_bytes",) if _in_mbps(host) and "mbm_local_bytes" not in monitor.features else ()
    return Monitoring(rmids=monitor.num_rmids or _MANY_RMIDS, events=monitor.features + extra)


def take_over(state: State, root: Directory, host: Host) -> None:
    """Add the groups of a saved host as they are, whether or not the kernel would allow them.

    Monitor groups are added last, so that a task ends up in its innermost group.
    """
    for saved in sorted(host.groups, key=lambda g: (g.kind == "monitor", g.path != DEFAULT_GROUP)):
        parts = split("" if saved.path == DEFAULT_GROUP else saved.path)
        if not parts:
            group = state.root
        elif saved.kind == "control":
            group = _add_control(state, root, parts[0])
        else:
            group = _add_monitor(state, root, parts)
        if saved.kind == "control":
            _fill(state, group, saved)
            tree.follow_mode(find_directory(root, parts), group)
        group.cpus = _cpus(saved.cpus)
        for tid in saved.tids:
            state.place(tid, group)
    for monitor in host.monitors:
        if monitor.name == "L3_MON" and monitor.max_threshold_occupancy is not None:
            state.rmids.threshold = monitor.max_threshold_occupancy


def _add_control(state: State, root: Directory, name: str) -> Group:
    group = state.groups[name] = Group(name, closid=_unused_closid(state), rmid=_rmid(state), values=state.defaults())
    state.counters.start(group)
    root.entries[name] = tree.make_control(state, group, _DIRECTORY_MODE)
    return group


def _add_monitor(state: State, root: Directory, parts: list[str]) -> Group:
    inside = find_directory(root, parts[:-1])
    parent = inside.group or state.root
    group = parent.monitors[parts[-1]] = Group(parts[-1], parent, rmid=_rmid(state))
    state.counters.start(group)
    inside.entries[parts[-1]] = tree.make_monitor(state, group, _DIRECTORY_MODE)
    return group


def _unused_closid(state: State) -> int:
    """Return the next free CLOSID, or a number past the end if a saved host has more groups than CLOSIDs."""
    closid = state.free_closid()
    return state.closids + len(state.groups) if closid is None else closid


def _rmid(state: State) -> int | None:
    try:
        return state.rmids.allocate() if state.profile.monitoring else None
    except OutOfRmidsError:
        return None


def _fill(state: State, group: Group, saved: SavedGroup) -> None:
    """Set a control group's values. Ids that the saved group does not have stay unlimited."""
    for values in (saved.masks, saved.bandwidth):
        for name, by_id in values.items():
            known = group.values.get(name, {})
            known.update({i: int(value) for i, value in by_id.items() if i in known})
    group.mode = _MODES.get(saved.mode, "shareable")
    group.other_lines = saved.other_lines
    if group.mode == "pseudo-locked":
        group.closid = group.rmid = None
        group.region = next(
            (Region(c, i, int(mask)) for c in state.caches for i, mask in saved.masks.row(c.name).items()), None
        )
