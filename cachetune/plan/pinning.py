"""Whether vCPUs can run on CPUs that have the caches and bandwidth nodes that are requested for them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cachetune.domain.model import Domain, GroupRequest
from cachetune.findings import Finding, Source
from cachetune.guests.model import Guest
from cachetune.host.model import Host
from cachetune.idset import MAX_VCPUS, format_mask, numbered, parse_vcpu_mask
from cachetune.plan.bandwidth import NOUNS, cpus_of_nodes
from cachetune.plan.rules import RULES


class _Requested(NamedTuple):
    """A cache or node that is requested, and the CPUs of each one of its kind."""

    noun: str
    id: int
    at: Source
    cpus: Mapping[int, str]


def pinning_findings(domain: Domain, guest: Guest | None, host: Host) -> list[Finding]:
    """CT223 for each cache or node that no vCPU of its group can use.

    Where a vCPU can run is its thread's affinity, or else what the domain pins it to.
    """
    threads = {t.vcpu: t.cpus for t in guest.threads if t.vcpu is not None} if guest else {}
    findings = []
    for group in domain.groups:
        if group.threads:
            continue  # only vCPUs are pinned by what a domain or a thread's affinity says here
        vcpus = range(min(domain.vcpus, MAX_VCPUS)) if group.vcpus is None else sorted(group.vcpus)
        allowed = _allowed(threads.get(vcpu) or domain.cpus_of(vcpu) for vcpu in vcpus)
        if allowed:
            who = "every vCPU" if group.vcpus is None else numbered("vCPU", vcpus)
            findings += [found for one in _requested(group, host) if (found := _outside(one, allowed, who))]
    return findings


def _allowed(lists: Iterable[str]) -> int:
    """All CPUs of these lists as a bit mask; 0 if any of them is not known or too long to compare."""
    allowed = 0
    for cpus in lists:
        mask = _mask(cpus)
        if not mask:
            return 0
        allowed |= mask
    return allowed


def _mask(cpus: str) -> int:
    try:
        return parse_vcpu_mask(cpus) if cpus else 0
    except ValueError:  # more CPUs than Linux supports
        return 0


def _requested(group: GroupRequest, host: Host) -> Iterator[_Requested]:
    for cache in group.caches:
        cpus = host.topology.caches.get(cache.level, {})
        yield _Requested(f"L{cache.level} cache", cache.cache_id, cache.at, cpus)
    for control in host.bandwidths:
        noun, cpus = f"{NOUNS[control.name]} node", cpus_of_nodes(control, host)
        yield from (_Requested(noun, n.node_id, n.at, cpus) for n in group.nodes if n.resource == control.name)


def _outside(requested: _Requested, allowed: int, who: str) -> Finding | None:
    """The finding if none of the ``allowed`` CPUs has what is requested."""
    own = _mask(requested.cpus.get(requested.id, ""))
    if not own or own & allowed:
        return None
    theirs = [i for i, cpus in requested.cpus.items() if _mask(cpus) & allowed]
    have = numbered(requested.noun, theirs) if theirs else f"no {requested.noun}"
    instead = f"request {have}, or " if theirs else ""
    return RULES["CT223"].at(
        requested.at,
        who=who,
        cpus=f"CPU{'s' * (allowed.bit_count() > 1)} {format_mask(allowed)}",
        have=have,
        noun=requested.noun,
        id=requested.id,
        hint=f"{instead}pin to CPUs of {requested.noun} {requested.id}: {format_mask(own)}",
    )
