"""What a plan leaves to the default group: less than the host's policy says is refused, and little is worth a word."""

from collections.abc import Iterable, Iterator

from cachetune.cbm import Masks
from cachetune.findings import Finding, Source
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host
from cachetune.plan.after import masks_after
from cachetune.plan.policy import Policy
from cachetune.plan.rules import RULES
from cachetune.plan.steps import Step
from cachetune.text import count

_LEAST_PART = 4  # a quarter


def default_findings(host: Host, steps: Iterable[Step], policy: Policy | None = None) -> tuple[Finding, ...]:
    """CT237 for each cache of which the steps leave the default group less than the policy says, and less than before.

    CT238 for less than a quarter, where the policy says nothing.
    """
    later = masks_after(host, DEFAULT_GROUP, steps)
    return tuple(
        finding
        for control in host.caches
        for cache_id in control.size_bytes
        for finding in _of_cache(control, cache_id, host, later, policy)
    )


def _of_cache(
    control: CacheControl, cache_id: int, host: Host, later: Masks, policy: Policy | None
) -> Iterator[Finding]:
    before = host.default_group.masks.at(control.name, cache_id) or 0
    left = (later.at(control.name, cache_id) or 0).bit_count()
    if left >= before.bit_count():
        return
    least = policy.least_ways(control, cache_id) if policy else None
    what = f"{control.name} cache {cache_id}"
    if policy and least is not None:
        if left < least:
            key = policy.key_of(control, cache_id)
            hint = f"request {count(least - left, 'way')} less of it, or change {key}"
            yield RULES["CT237"].at(
                Source(),
                what=what,
                left=count(left, "way"),
                least=count(least, "way"),
                file=policy.file,
                key=key,
                hint=hint,
            )
    elif left * _LEAST_PART < control.ways:
        yield RULES["CT238"].at(
            Source(), resource=control.name, id=cache_id, left=left, ways=count(control.ways, "way")
        )
