"""The bandwidths of a group on another host, which may have other steps, or count in another unit."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from cachetune.domain.model import BandwidthRequest
from cachetune.findings import Finding, Source
from cachetune.fleet.move.model import Lost, Move, MovedValue, Part, name_of
from cachetune.fleet.move.places import Placed, Places, placed
from cachetune.host.model import BandwidthControl, Host
from cachetune.plan.allocate.capacity import bandwidth_of, capacity_findings
from cachetune.plan.bandwidth import cpus_of_nodes
from cachetune.plan.rounding import exact_bandwidth
from cachetune.units import BANDWIDTH_RESOURCES, Rate

_HERE = Source()
_EIGHTHS = 8


class _Rated(NamedTuple):
    """A bandwidth on B in its unit, as it is written, and the request that it is from."""

    value: int
    rate: Rate
    source: BandwidthRequest


def move_nodes(move: Move) -> Part[BandwidthRequest]:
    """Translate the bandwidths, sorted as those of a GroupRequest."""
    requests: list[BandwidthRequest] = []
    values: list[MovedValue] = []
    lost: list[Lost] = []
    for resource in BANDWIDTH_RESOURCES:
        nodes = [node for node in move.group.nodes if node.resource == resource]
        control = move.b.bandwidth(resource)
        if control is None:
            lost += (move.lost(_name(move, node), finding) for node in nodes for finding in _findings(move, node))
        elif nodes:
            part = _of_resource(move, control, nodes)
            requests += part.requests
            values += part.values
            lost += part.lost
    return Part(tuple(requests), tuple(values), tuple(lost))


def _of_resource(move: Move, control: BandwidthControl, nodes: Sequence[BandwidthRequest]) -> Part[BandwidthRequest]:
    """The bandwidths of one resource. Several that become one are the largest, the smallest with --round down.

    A node can have a percentage and a rate: B gets the one that it can convert.
    """
    by_id: defaultdict[int, list[BandwidthRequest]] = defaultdict(list)
    for node in nodes:
        by_id[node.node_id].append(node)
    before = move.a.bandwidth(control.name)
    places = placed(by_id, _places(before, move.a), _places(control, move.b), move.pins)
    lost = [*move.lost_places(places, by_id)]
    if places.rule != "cpus":
        missing = [node for i in places.missing for node in by_id[i]]
        lost += (
            move.lost(_name(move, node), f) for node in missing for f in _findings(move, node) if f.rule == "CT209"
        )
    choose = min if move.options.rounding == "down" else max
    found: dict[int, _Rated] = {}
    for node_id, sources in sorted(places.sources.items()):
        tried = [(node, _rated(move, node, before, control)) for i in sources for node in by_id[i]]
        if rates := [rate for _, rate in tried if isinstance(rate, _Rated)]:
            found[node_id] = choose(rates, key=lambda rate: rate.value)
        else:
            lost += (move.lost(_name(move, node), finding) for node, finding in tried if isinstance(finding, Finding))
    return Part(
        tuple(BandwidthRequest(i, rated.rate, _HERE, resource=rated.source.resource) for i, rated in found.items()),
        tuple(_value(move, control, i, rated, places) for i, rated in found.items()),
        tuple(lost),
    )


def _places(control: BandwidthControl | None, host: Host) -> Places:
    return Places.of(control.ids, cpus_of_nodes(control, host)) if control else Places((), {})


def _name(move: Move, node: BandwidthRequest) -> str:
    return name_of(replace(node, bandwidth=_with_unit(node.bandwidth, move.a.bandwidth(node.resource))))


def _findings(move: Move, node: BandwidthRequest) -> list[Finding]:
    """What the planner says about a bandwidth on B."""
    alone = replace(move.group, caches=(), nodes=(node,), monitors=())
    return [finding for finding in capacity_findings(alone, move.b) if finding.severity == "error"]


def _rated(
    move: Move, node: BandwidthRequest, before: BandwidthControl | None, control: BandwidthControl
) -> _Rated | Finding:
    """A bandwidth on B, or why B cannot have it.

    No limit on A is no limit on B, and what is less than B's minimum becomes the minimum, except with down.
    """
    rate, options, most = node.bandwidth, move.options, control.max_bandwidth
    if before and most and not rate.unit and rate.number == before.max_bandwidth:
        return _Rated(most, Rate(most), node)
    keeps = bool(rate.unit) and options.rounding is None
    asked = _with_unit(rate, before)
    found = bandwidth_of(replace(node, bandwidth=asked, rounding=None if keeps else options.direction), control)
    if isinstance(found, Finding):
        exact, least = exact_bandwidth(asked, control.unit), max(control.min_bandwidth, control.bandwidth_gran)
        if exact is None or exact >= least or options.rounding == "down":
            return found
        found, keeps = least, False
    return _Rated(found, rate if keeps else Rate(found), node)


def _with_unit(rate: Rate, control: BandwidthControl | None) -> Rate:
    """A number in the unit of a host as a rate that says its unit."""
    if rate.unit or control is None:
        return rate
    if control.unit == "1/8 GB/s":
        return Rate(Decimal(int(rate.number)) / _EIGHTHS, "GB/s")
    return Rate(rate.number, "%" if control.unit == "percent" else "MiB/s")


def _value(move: Move, control: BandwidthControl, node_id: int, rated: _Rated, places: Placed) -> MovedValue:
    before, rate = move.a.bandwidth(control.name), rated.source.bandwidth
    exact = exact_bandwidth(rate, before.unit) if before else None
    return MovedValue(
        group=move.group.who,
        resource=control.name,
        a_ids=places.sources[node_id],
        b_id=node_id,
        a=str(_with_unit(rate, before)),
        b=str(_with_unit(rated.rate, control)),
        a_amount=None if exact is None else int(exact),
        b_amount=rated.value,
        rule=places.rule,
    )
