"""Random domains from a seeded generator, for places without hypothesis."""

import random

from cachetune.domain.model import BandwidthRequest, CacheRequest, Domain, GroupRequest, MonitorRequest
from cachetune.findings import Source
from cachetune.host.model import Host
from cachetune.idset import format_ids
from cachetune.units import Rate, Size

_HERE = Source()


def drawn_domain(draw: random.Random, host: Host, name: str) -> Domain:
    """Some groups of four vCPUs, each with requests for some caches and nodes, and some monitors.

    An exclusive group, which is one in five, requests ways of every cache.
    """
    vcpus = draw.sample(range(4), 4)
    parts = draw.choice([(4,), (2, 2), (1, 3), (1, 1, 2), (1, 1, 1, 1)])
    groups = [_group(draw, host, {vcpus.pop() for _ in range(size)}) for size in parts]
    kept = tuple(g for g in groups if g.caches or g.nodes or g.monitors)
    return Domain(name, None, None, "kvm", 4, kept)


def _group(draw: random.Random, host: Host, vcpus: set[int]) -> GroupRequest:
    exclusive = bool(host.caches) and draw.random() < 0.2
    caches = tuple(
        CacheRequest(c.level, i, c.type, Size(draw.randint(c.min_cbm_bits, 3) * (c.way_bytes(i) or 0)), _HERE)
        for c in host.caches
        for i in c.size_bytes
        if exclusive or draw.random() < 0.5
    )
    nodes = tuple(
        BandwidthRequest(i, Rate(draw.randrange(b.min_bandwidth, 101, b.bandwidth_gran)), _HERE, resource=b.name)
        for b in host.bandwidths
        for i in b.ids
        if draw.random() < 0.4
    )
    watched = [vcpu for vcpu in vcpus if draw.random() < 0.2]
    monitors = tuple(MonitorRequest("cache", frozenset({v}), f"vcpus_{v}", _HERE) for v in watched)
    return GroupRequest(frozenset(vcpus), f"vcpus_{format_ids(vcpus)}", caches, nodes, monitors, _HERE, exclusive)
