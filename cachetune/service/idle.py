"""The ways of a live host that lie idle, and the command that gives them back to the default group."""

from collections.abc import Iterator

from msgspec.structs import replace

from cachetune.apply.settle import settlement
from cachetune.apply.state.departures import departed
from cachetune.apply.state.ledger import Ledger
from cachetune.cbm import Cbm, is_contiguous, run
from cachetune.errors import PlanRefusedError
from cachetune.host.model import CacheControl, Host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.host.usage import HostUsage, IdleWays, free_mask
from cachetune.plan.after import host_after
from cachetune.plan.default_group import plan_reset
from cachetune.plan.steps import Step
from cachetune.service.connection import Location
from cachetune.service.hosts import HostReading, for_planning


def usage_on(location: Location, reading: HostReading) -> HostUsage:
    """What is used and what is free; of a live host also what lies idle."""
    if location.host is not None or not SysfsResctrl(location.resctrl).is_live:
        return reading.usage
    host = for_planning(reading.host, location.run)
    return replace(reading.usage, idle=tuple(_idle(host, reading.ledger, departed(location.run))))


def _idle(host: Host, ledger: Ledger, gone: tuple[str, ...]) -> Iterator[IdleWays]:
    recovered = host_after(host, settlement(host, ledger, gone).steps)
    reset = host_after(host, _reset_steps(host, ledger))
    for control in host.caches:
        for cache_id in control.size_bytes:
            if not (free := free_mask(host, control, cache_id)):
                continue
            grown = _grown(host, control, cache_id, free)
            between = tuple(_between(host, control, cache_id, Cbm(free & ~grown)))
            value = f"--{control.name.lower()} {cache_id}={grown.bit_count()}ways"
            commands = (
                ("cachetune recover", _default(recovered, control, cache_id)),
                ("cachetune default --reset", _default(reset, control, cache_id)),
                (f"cachetune default {value}", grown),
                ("", free),
            )
            yield next(
                IdleWays(control.name, cache_id, free, back if command else Cbm(0), command, between)
                for command, mask in commands
                if (back := mask & free)
            )


def _reset_steps(host: Host, ledger: Ledger) -> tuple[Step, ...]:
    try:
        return plan_reset(host, ledger.initial, ledger.initial_unit).steps
    except PlanRefusedError:
        return ()


def _default(host: Host, control: CacheControl, cache_id: int) -> Cbm:
    return host.default_group.masks.at(control.name, cache_id) or Cbm(0)


def _between(host: Host, control: CacheControl, cache_id: int, waiting: Cbm) -> Iterator[str]:
    """The groups with ways between the default group's and these."""
    default = _default(host, control, cache_id)
    if not waiting or not is_contiguous(default):
        return
    both = int(waiting | default)
    span = (1 << both.bit_length()) - (both & -both)
    for group in host.control_groups():
        if (group.masks.at(control.name, cache_id) or 0) & span & ~default:
            yield group.path


def _grown(host: Host, control: CacheControl, cache_id: int, free: Cbm) -> Cbm:
    """The largest mask that the default group can grow to without losing a way."""
    default = _default(host, control, cache_id)
    reach = default | free
    if control.sparse_masks or not is_contiguous(default):
        return reach if control.sparse_masks else default
    return max(
        (
            mask
            for ways in range(default.bit_count(), control.ways + 1)
            for start in range(control.ways - ways + 1)
            if (mask := run(start, ways)) & ~reach == 0 and default & ~mask == 0
        ),
        key=Cbm.bit_count,
        default=default,
    )
