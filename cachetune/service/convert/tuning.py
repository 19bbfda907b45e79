"""Classes of another tool as requests: masks become sizes, and limits that limit something become bandwidth.

Tuning XML requests sizes, so cachetune chooses the ways, and no other group gets them. What that loses is a note: ways
that classes share, and holes. A mask of all ways is no request: a group without one has the default group's ways.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

import msgspec

from cachetune.cbm import Cbm, is_contiguous
from cachetune.domain.model import BandwidthRequest, CacheRequest, Domain, GroupRequest
from cachetune.findings import Source
from cachetune.host.model import CacheControl, Host
from cachetune.idset import format_ids
from cachetune.service.convert.model import ForeignClass
from cachetune.text import count
from cachetune.units import BANDWIDTH_RESOURCES, Rate, Size

_HERE = Source()  # the request is not from XML


class Requests(msgspec.Struct, frozen=True):
    """The requests as a domain without a name, and notes on what it lacks."""

    domain: Domain
    notes: tuple[str, ...]


def requests_of(classes: Sequence[ForeignClass], host: Host, vcpus: Mapping[str, frozenset[int] | None]) -> Requests:
    """The requests of the classes, each for the vCPUs at its name; None is the whole process."""
    notes: list[str] = []
    groups = []
    for each in classes:
        caches = [*_caches(each, host, notes)]
        nodes = [*_nodes(each, host, notes)]
        if caches or nodes:
            groups.append(GroupRequest(vcpus[each.name], None, tuple(caches), tuple(nodes), (), _HERE))
        else:
            notes.append(f"class {each.name} requests nothing: it has all ways and the whole bandwidth")
    notes += _shared(classes, host)
    domain = Domain(name="", uuid=None, id=None, type="kvm", vcpus=0, groups=tuple(groups))
    return Requests(domain, tuple(notes))


def not_expressed(classes: Collection[ForeignClass]) -> Iterator[str]:
    """Notes on what is in a class besides its values."""
    for each in classes:
        if each.is_default:
            yield f"class {each.name} is left out: it is the default group, which belongs to no guest"
            continue
        if each.cpus:
            yield f"class {each.name}: CPUs {format_ids(each.cpus)} left out: tuning XML names vCPUs"
        if each.tids:
            yield f"class {each.name}: {count(len(each.tids), 'task')} left out: tuning XML names vCPUs"


def _caches(of: ForeignClass, host: Host, notes: list[str]) -> Iterator[CacheRequest]:
    for control in host.caches:
        for cache_id in sorted(control.size_bytes):
            mask = of.masks.at(control.name, cache_id)
            if mask is not None and mask != control.cbm_mask:
                place = f"class {of.name}: mask {mask:#x} on {control.name} cache {cache_id}"
                if why := _unusable(mask, control):
                    notes.append(f"{place} is left out: {why}")
                    continue
                if not is_contiguous(mask):
                    notes.append(
                        f"{place} has holes: {count(mask.bit_count(), 'way')} are requested, contiguous or not"
                    )
                yield CacheRequest(control.level, cache_id, control.type, _size(mask, control, cache_id), _HERE)


def _size(mask: Cbm, control: CacheControl, cache_id: int) -> Size:
    """Bytes, which libvirt understands, too; ways of a cache whose size is unknown."""
    way_bytes = control.way_bytes(cache_id)
    return Size(mask.bit_count(), "ways") if way_bytes is None else Size(mask.bit_count() * way_bytes)


def _unusable(mask: Cbm, control: CacheControl) -> str:
    if mask & ~control.cbm_mask:
        return f"the host has the ways {control.cbm_mask:#x}"
    if mask.bit_count() < control.min_cbm_bits:
        return f"the host requires at least {count(control.min_cbm_bits, 'way')}"
    return ""


def _nodes(of: ForeignClass, host: Host, notes: list[str]) -> Iterator[BandwidthRequest]:
    for resource in BANDWIDTH_RESOURCES:
        control = host.bandwidth(resource)
        for node_id, value in sorted(of.bandwidth.row(resource).items()):
            if control is None or value == control.max_bandwidth:
                continue
            least, most = control.min_bandwidth, control.max_bandwidth
            if value < max(least, 1) or (most is not None and value > most):
                limits = f"{least} to {most}" if most is not None else f"at least {least}"
                place = f"{resource} {value} on node {node_id}"
                notes.append(f"class {of.name}: {place} is left out: the host takes {limits}")
            else:
                yield BandwidthRequest(node_id, Rate(value), _HERE, resource=resource)


def _shared(classes: Sequence[ForeignClass], host: Host) -> Iterator[str]:
    """Ways that two classes share: separate guests, or groups of one, get separate ways."""
    for one, other in combinations(classes, 2):
        for control in host.caches:
            for cache_id in sorted(control.size_bytes):
                masks = [each.masks.at(control.name, cache_id) for each in (one, other)]
                own = [mask for mask in masks if mask is not None and mask != control.cbm_mask]
                if len(own) == 2 and (both := own[0] & own[1]):
                    names = f"classes {one.name} and {other.name}"
                    place = f"{control.name} cache {cache_id}"
                    yield f"{names} share the ways {both:#x} of {place}: each gets separate ways, so both take more"
