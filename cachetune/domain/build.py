"""Turn a ``ParsedGroups`` into the frozen values of model.py, each with its place in the document."""

from typing import TYPE_CHECKING, cast

from lxml import etree

from cachetune.domain.model import (
    BandwidthRequest,
    CacheRequest,
    CacheType,
    Domain,
    GroupRequest,
    MonitorRequest,
    ResourceType,
    VcpuSet,
)
from cachetune.domain.parse import Group, Monitor, ParsedGroups, naming
from cachetune.domain.threads import Threads, threads_in
from cachetune.domain.xml.positions import Positions
from cachetune.domain.xml.schema import cputunes
from cachetune.idset import format_mask, ids_of, parse_vcpu_mask

if TYPE_CHECKING:
    from cachetune.units import BandwidthResource

_TYPES = ("both", "code", "data")
_LONGEST_NUMBER = 10


def elements_of(parsed: ParsedGroups) -> list[etree._Element]:
    """Return the elements whose places a Domain records."""
    elements = []
    for group in parsed.groups.values():
        elements.append(group.element)
        elements += [cache.element for caches in group.caches.values() for cache in caches]
        elements += [element for alternatives in group.nodes.values() for _, element in alternatives]
        elements += [monitor.element for monitor in group.monitors]
    return elements


def build_domain(root: etree._Element, parsed: ParsedGroups, positions: Positions) -> Domain:
    """Return the Domain of a document without errors. Its name is "" if there is no <name>.

    A numeric ``id`` marks the XML of a running guest. Only then are the groups' ids read.
    """
    live = root.get("id", "")
    number = int(live) if live.isascii() and live.isdigit() and len(live) < 10 else None
    groups = (_group(group, positions, live=number is not None) for group in parsed.groups.values())
    return Domain(
        name=root.findtext("name") or "",
        uuid=(root.findtext("uuid") or "").strip() or None,
        id=number,
        type=root.get("type", ""),
        vcpus=parsed.maximum,
        groups=tuple(groups),
        cpuset=_cpuset(root),
        vcpupins=_vcpupins(root),
    )


def _cpuset(root: etree._Element) -> str:
    """The CPUs of <vcpu cpuset>, which placement='auto' replaces by what numad says."""
    vcpu = root.find("vcpu")
    return "" if vcpu is None or vcpu.get("placement") == "auto" else _cpu_list(vcpu.get("cpuset", ""))


def _vcpupins(root: etree._Element) -> dict[int, str]:
    """The CPUs of each <vcpupin> by vCPU. An element that is not understood pins nothing: libvirt checks it, not we."""
    pins: dict[int, str] = {}
    for cputune in cputunes(root):
        for pin in cputune.iterchildren("vcpupin"):
            vcpu, cpus = pin.get("vcpu", ""), _cpu_list(pin.get("cpuset", ""))
            if cpus and vcpu.isascii() and vcpu.isdigit() and len(vcpu) < _LONGEST_NUMBER:
                pins.setdefault(int(vcpu), cpus)
    return pins


def _cpu_list(text: str) -> str:
    try:
        return format_mask(parse_vcpu_mask(text)) if text else ""
    except ValueError:
        return ""


def _group(group: Group, positions: Positions, *, live: bool) -> GroupRequest:
    group_id = None if group.vcpus is None else (live and group.element.get("id")) or _id_of(group.vcpus)
    caches = (
        CacheRequest(
            level=cache.level,
            cache_id=cache.cache_id,
            type=cast("CacheType", cache.type),
            size=cache.size,
            at=positions.at(cache.element, "size"),
            level_at=positions.at(cache.element, "level"),
            type_at=positions.at(cache.element, "type"),
            id_at=positions.at(cache.element, "id"),
        )
        for each in group.caches.values()
        for cache in each
    )
    nodes = (
        BandwidthRequest(
            node_id=node_id,
            bandwidth=bandwidth,
            at=positions.at(element, "bandwidth"),
            resource=cast("BandwidthResource", resource),
            id_at=positions.at(element, "id"),
        )
        for (resource, node_id), alternatives in sorted(group.nodes.items())
        for bandwidth, element in alternatives
    )
    return GroupRequest(
        vcpus=_vcpus_of(group.vcpus),
        id=group_id,
        caches=tuple(sorted(caches, key=lambda cache: (cache.level, _TYPES.index(cache.type), cache.cache_id))),
        nodes=tuple(nodes),
        monitors=tuple(_monitor(monitor, group_id, positions) for monitor in group.monitors),
        at=positions.at(group.element, naming(group.element)),
        exclusive=group.exclusive,
        threads=_threads_of(group.vcpus),
    )


def _monitor(monitor: Monitor, group_id: str | None, positions: Positions) -> MonitorRequest:
    own_id = None if monitor.vcpus is None else _id_of(monitor.vcpus)
    return MonitorRequest(
        resource=cast("ResourceType", monitor.resource),
        vcpus=_vcpus_of(monitor.vcpus),
        id=group_id if monitor.shares_id else own_id,
        at=positions.at(monitor.element, naming(monitor.element)),
        threads=_threads_of(monitor.vcpus),
    )


def _vcpus_of(mask: int | None) -> VcpuSet | None:
    if mask is None:
        return None
    return frozenset() if threads_in(mask) else ids_of(mask)


def _threads_of(mask: int | None) -> Threads | None:
    return None if mask is None else threads_in(mask)


def _id_of(mask: int) -> str:
    threads = threads_in(mask)
    return threads.id if threads else "vcpus_" + format_mask(mask)
