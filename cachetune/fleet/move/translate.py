"""Translate a request group by group; what B cannot have is left out, with the planner's finding for it."""

from msgspec.structs import replace

from cachetune.domain.model import Domain, GroupRequest
from cachetune.fleet.move.bandwidth import move_nodes
from cachetune.fleet.move.caches import move_caches
from cachetune.fleet.move.model import Lost, Move, MovedValue, MoveOptions, Translation
from cachetune.fleet.move.places import pins_of
from cachetune.host.model import Host
from cachetune.plan.allocate.capacity import capacity_findings


def translate(domain: Domain, a: Host, b: Host, options: MoveOptions) -> Translation:
    """Translate the request of a guest on A to B.

    Bytes, and numbers in A's own unit, become whole ways and steps of B, by default rounded up, so that the guest gets
    at least what it has; a value that was requested in ways, percent or a rate keeps its unit.
    """
    groups: list[GroupRequest] = []
    values: list[MovedValue] = []
    lost: list[Lost] = []
    for group in domain.groups:
        move = Move(group, a, b, pins_of(group, domain, options.cpus), options)
        caches, nodes = move_caches(move), move_nodes(move)
        unmonitored = _lost_monitors(move)
        moved = replace(
            group,
            caches=caches.requests,
            nodes=nodes.requests,
            monitors=() if unmonitored else group.monitors,
            exclusive=group.exclusive and bool(caches.requests),
        )
        values += (*caches.values, *nodes.values)
        lost += (*caches.lost, *nodes.lost, *unmonitored)
        if moved.has_allocation or moved.monitors:
            groups.append(moved)
    return Translation(replace(domain, groups=tuple(groups)), tuple(values), tuple(dict.fromkeys(lost)))


def _lost_monitors(move: Move) -> list[Lost]:
    """The monitors of the group, if B has no monitoring."""
    alone = replace(move.group, caches=(), nodes=())
    findings = [finding for finding in capacity_findings(alone, move.b) if finding.severity == "error"]
    return [move.lost("the monitors", finding) for finding in findings]
