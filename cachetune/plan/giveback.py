"""Give ways back that the default group gave up for guests and that no group has now.

``DefaultShrink`` of the ledger says which ways those are; all others stay where they are, among them those that the
operator has taken from the default group with ``cachetune default``. The ways go back in the last steps of a plan, when
its groups have given up what they have to: no moment has ways in common that had none before.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from cachetune.cbm import Cbm, Masks, runs
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host
from cachetune.host.usage import unexplained_ways
from cachetune.plan.after import host_after
from cachetune.plan.allocate.occupancy import exclusive_ways, occupancy_of
from cachetune.plan.allocation import Allocation
from cachetune.plan.diff import writes_to
from cachetune.plan.model import DefaultShrink
from cachetune.plan.steps import Step


def returning_steps(host: Host, steps: Iterable[Step], shrunk: DefaultShrink | None) -> tuple[Step, ...]:
    """What follows ``steps`` to give the default group back what is unclaimed after them; empty if nothing is.

    Our groups with the default group's mask get the same ways, directly after it.
    """
    if shrunk is None:
        return ()
    later = replace(host_after(host, steps), problems=())  # bit_usage is of now: see _returned
    masks: dict[str, list[tuple[str, int, Cbm]]] = {}
    for path, entry in _returned(host, later, shrunk):
        masks.setdefault(path, []).append(entry)
    return tuple(writes_to(later, {path: Allocation(Masks.of(entries)) for path, entries in masks.items()}))


def _returned(host: Host, later: Host, shrunk: DefaultShrink) -> Iterator[tuple[str, tuple[str, int, Cbm]]]:
    """The masks that grow, each with its group; ``later`` is the host at the time."""
    removed = [group.path for group in host.groups if later.group(group.path) is None]
    for control in host.caches:
        for cache_id, before in shrunk.before.row(control.name).items():
            if shrunk.after.at(control.name, cache_id) != host.default_group.masks.at(control.name, cache_id):
                continue  # another program has changed it since
            occupancy = occupancy_of(later, control, cache_id, ())
            taken = occupancy.taken | unexplained_ways(host, control, cache_id, removed)
            taken &= ~(shrunk.shared.at(control.name, cache_id) or 0)
            taken |= exclusive_ways(later, control, cache_id, {DEFAULT_GROUP})
            grown = _grown(occupancy.default, before & ~taken & control.cbm_mask, control)
            if grown != occupancy.default:
                for path in (DEFAULT_GROUP, *occupancy.followers):
                    yield path, (control.name, cache_id, grown)


def _grown(mask: Cbm, available: int, control: CacheControl) -> Cbm:
    """``mask`` and the available bits that it can be extended by: all of them if masks may have holes."""
    reach = mask | available
    if control.sparse_masks:
        return reach
    return next((Cbm(((1 << n) - 1) << s) for s, n in runs(reach) if mask & ~(((1 << n) - 1) << s) == 0), mask)
