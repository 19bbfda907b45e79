"""Turn a ``ParsedGroups`` into the frozen values of model.py, each with its place in the document."""

from typing import cast

from lxml import etree

from cachetune.domain.model import (
    BandwidthRequest,
    CacheRequest,
    CacheType,
    Domain,
    GroupRequest,
    MonitorRequest,
    ResourceType,
)
from cachetune.domain.parse import Group, Monitor, ParsedGroups
from cachetune.domain.xml.positions import Positions
from cachetune.idset import format_ids, ids_of

_TYPES = ("both", "code", "data")


def elements_of(parsed: ParsedGroups) -> list[etree._Element]:
    """Return the elements whose places a Domain records."""
    elements = []
    for group in parsed.groups.values():
        elements.append(group.element)
        elements += [cache.element for caches in group.caches.values() for cache in caches]
        elements += [element for _, element in group.nodes.values()]
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
    )


def _group(group: Group, positions: Positions, *, live: bool) -> GroupRequest:
    group_id = None if group.vcpus is None else (live and group.element.get("id")) or _id_of(group.vcpus)
    caches = (
        CacheRequest(
            level=cache.level,
            cache_id=cache.cache_id,
            type=cast("CacheType", cache.type),
            size_bytes=cache.size,
            at=positions.at(cache.element, "size"),
        )
        for each in group.caches.values()
        for cache in each
    )
    nodes = (
        BandwidthRequest(node_id=node_id, bandwidth=bandwidth, at=positions.at(element, "bandwidth"))
        for node_id, (bandwidth, element) in sorted(group.nodes.items())
    )
    return GroupRequest(
        vcpus=None if group.vcpus is None else ids_of(group.vcpus),
        id=group_id,
        caches=tuple(sorted(caches, key=lambda cache: (cache.level, _TYPES.index(cache.type), cache.cache_id))),
        nodes=tuple(nodes),
        monitors=tuple(_monitor(monitor, group_id, positions) for monitor in group.monitors),
        at=positions.at(group.element, "vcpus"),
    )


def _monitor(monitor: Monitor, group_id: str | None, positions: Positions) -> MonitorRequest:
    own_id = None if monitor.vcpus is None else _id_of(monitor.vcpus)
    return MonitorRequest(
        resource=cast("ResourceType", monitor.resource),
        vcpus=None if monitor.vcpus is None else ids_of(monitor.vcpus),
        id=group_id if monitor.shares_id else own_id,
        at=positions.at(monitor.element, "vcpus"),
    )


def _id_of(vcpus: int) -> str:
    return "vcpus_" + format_ids(ids_of(vcpus))
