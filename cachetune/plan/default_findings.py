"""What a plan leaves to the default group: too little of a cache is worth a word."""

from collections.abc import Iterable, Iterator

from cachetune.findings import Finding, Source
from cachetune.host.model import Host
from cachetune.plan.after import host_after
from cachetune.plan.rules import RULES
from cachetune.plan.steps import Step
from cachetune.text import count

_LEAST_PART = 4  # a quarter


def default_findings(host: Host, steps: Iterable[Step]) -> tuple[Finding, ...]:
    """CT238 for each cache of which the steps leave the default group less than a quarter, and less than before."""
    return tuple(_findings(host, host_after(host, steps)))


def _findings(host: Host, later: Host) -> Iterator[Finding]:
    for control in host.caches:
        for cache_id in control.size_bytes:
            before = host.default_group.masks.at(control.name, cache_id) or 0
            after = later.default_group.masks.at(control.name, cache_id) or 0
            if after.bit_count() < before.bit_count() and after.bit_count() * _LEAST_PART < control.ways:
                left, ways = after.bit_count(), count(control.ways, "way")
                yield RULES["CT238"].at(Source(), resource=control.name, id=cache_id, left=left, ways=ways)
