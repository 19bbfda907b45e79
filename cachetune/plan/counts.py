"""What the steps of a plan add up to: its summary, and whether the host has enough CLOSIDs and RMIDs for them.

A limit that the host already exceeds is ignored. On MPAM each control group has separate RMIDs, as many as there are
PMGs; where the kernel does not report how many, mkdir decides.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from cachetune.findings import Finding, Source
from cachetune.host.model import DEFAULT_GROUP, Group, Host, is_monitor, parent_of
from cachetune.plan.model import Summary, Usage
from cachetune.plan.rules import RULES
from cachetune.plan.steps import Step, effect_of
from cachetune.text import count, listed

_OWNERS = {"default": "the default group", "unknown": "other programs"}
_NAMES = 2
_ALL = "all"  # the pool of ids that all groups share


def summarize(steps: Iterable[Step], host: Host) -> Summary:
    """Count what the steps do, and what is in use after them."""
    effects = [effect_of(step) for step in steps]
    created = [effect.created for effect in effects if effect.created]
    removed = [effect.removed for effect in effects if effect.removed]
    written = {effect.written for effect in effects if effect.written}
    after = [*({group.path for group in host.groups} - set(removed)), *created]
    monitors = sum(map(is_monitor, created))
    return Summary(
        control_groups_created=len(created) - monitors,
        monitor_groups_created=monitors,
        groups_changed=len(written.difference(created)),
        groups_removed=len(removed),
        tasks_moved=len({tid for effect in effects for tid in effect.tids}),
        closids=Usage(len(after) - sum(map(is_monitor, after)), host.closids_total),
        rmids=Usage(len(after) if host.monitors else 0, None if host.is_mpam else host.rmids_total),
        rmids_per_control_group=_most_in_a_control_group(after, host),
        settings_changed=len({effect.setting for effect in effects if effect.setting}),
    )


def limit_findings(steps: Sequence[Step], host: Host, places: Mapping[str, Source]) -> list[Finding]:
    """CLOSIDs and RMIDs that the steps lack, counted at the moment when most are in use.

    ``places`` are the places in the XML that request the groups, by path.
    """
    findings = [*_closid_findings(steps, host, places)]
    if host.is_mpam:
        return [*findings, *_mpam_findings(steps, host, places)]
    left = left_of(host.rmids_used, host.rmids_total)
    for needed, first in _shortages(steps, lambda _: _ALL, {_ALL: left}).values():
        groups = count(needed, "group")
        findings.append(_no_rmid(groups, left or 0, host.rmids_total or 0, host.groups, host, places.get(first)))
    return findings


def left_of(used: int, total: int | None) -> int | None:
    """How many of ``total`` are left; None if that is not known, because the host exceeds what it reports."""
    return None if total is None or used > total else total - used


def _closid_findings(steps: Sequence[Step], host: Host, places: Mapping[str, Source]) -> Iterator[Finding]:
    left = left_of(host.closids_used, host.closids_total)
    for needed, first in _shortages(steps, lambda path: None if is_monitor(path) else _ALL, {_ALL: left}).values():
        held = list(host.control_groups())
        yield RULES["CT212"].at(
            places.get(first, Source()),
            groups=count(needed, "control group"),
            free=left,
            total=count(host.closids_total or 0, "CLOSID"),
            held=_held(held),
            idle=_idle(held, host),
        )


def _mpam_findings(steps: Sequence[Step], host: Host, places: Mapping[str, Source]) -> Iterator[Finding]:
    created = [path for step in steps if (path := effect_of(step).created)]
    most = _rmid_limit(host)
    if most is None:
        if created and host.monitors:
            yield RULES["CT224"].at(places.get(created[0], Source()), reason=_why_unknown(host))
        return
    inside: dict[str, list[Group]] = {parent_of(path): [] for path in created}
    for group in host.groups:
        if group.parent in inside:
            inside[group.parent].append(group)
    left = {parent: most - max(len(groups), 1) for parent, groups in inside.items()}
    shortages = _shortages(steps, lambda path: parent_of(path) if is_monitor(path) else None, left)
    for parent, (needed, first) in shortages.items():
        held, groups = inside[parent], f"{count(needed, 'monitor group')} in {_name(parent)}"
        finding = _no_rmid(groups, left[parent], most, held, host, places.get(first))
        alone = f"request fewer monitors in it: every control group has {count(most, 'RMID')}"
        yield finding if len(held) > 1 else replace(finding, hint=alone)


def _no_rmid(groups: str, left: int, total: int, held: Collection[Group], host: Host, place: Source | None) -> Finding:
    return RULES["CT213"].at(
        place or Source(),
        groups=groups,
        free=left,
        total=count(total, "RMID"),
        held=_held(held),
        idle=_idle(held, host),
    )


def _rmid_limit(host: Host) -> int | None:
    """The RMIDs of each control group on MPAM; None if not known, or if a control group has more."""
    most = host.rmids_per_control_group
    used = Counter(group.parent for group in host.groups)
    return None if most is None or max(used.values()) > most else most


def _why_unknown(host: Host) -> str:
    """Why num_rmids does not say how many RMIDs each control group has."""
    if host.rmids_total is None:
        return "it has no num_rmids"
    if host.rmids_per_control_group is None:
        return f"num_rmids is {host.rmids_total}, less than the {count(host.closids_total or 0, 'CLOSID')}"
    return f"num_rmids is {host.rmids_total}, but there are more groups in one control group"


def _most_in_a_control_group(paths: Iterable[str], host: Host) -> Usage | None:
    """The RMIDs in use by the control group that has most; None where all groups share one pool, or not known."""
    most = _rmid_limit(host) if host.is_mpam else None
    return None if most is None else Usage(max(Counter(map(parent_of, paths)).values()), most)


def _shortages(
    steps: Sequence[Step], pool_of: Callable[[str], str | None], left: Mapping[str, int | None]
) -> dict[str, tuple[int, str]]:
    """The pools that run out along the steps: how many groups the steps create from each, and the first without.

    ``pool_of`` names the pool that a group's path takes from, None for none. What is ``left`` in a pool may be unknown.
    """
    created: Counter[str] = Counter()
    level: Counter[str] = Counter()
    first: dict[str, str] = {}
    for effect in map(effect_of, steps):
        path = effect.created or effect.removed
        pool = None if path is None else pool_of(path)
        if path is None or pool is None:
            continue
        level[pool] += 1 if effect.created else -1
        created[pool] += effect.created is not None
        limit = left.get(pool)
        if limit is not None and effect.created and level[pool] > limit:
            first.setdefault(pool, path)
    return {pool: (created[pool], path) for pool, path in first.items()}


def _held(groups: Collection[Group]) -> str:
    """Who has how many, the most first: "30 held by cadvisor (a, b and 28 more), 1 by the default group".

    Without groups, it is about a control group that does not exist yet.
    """
    owners: dict[str, list[str]] = {}
    for group in groups:
        owners.setdefault(group.owner, []).append(group.path)
    most_first = sorted(owners.items(), key=lambda item: -len(item[1]))
    words = [
        f"{len(paths)} by {_OWNERS.get(owner, owner)}"
        + ("" if owner == "default" and paths == [DEFAULT_GROUP] else f" ({listed(paths, _NAMES)})")
        for owner, paths in most_first
    ]
    return ", ".join(words).replace(" by ", " held by ", 1) or "1 held by the control group itself"


def _idle(groups: Collection[Group], host: Host) -> str:
    """The number of unused groups, "" for zero and for a host that is a copy without tasks."""
    if not host.default_group.tids:
        return ""
    idle = [g for g in groups if g.path != DEFAULT_GROUP and not (g.tids or g.other_tasks or g.cpus)]
    if not idle:
        return ""
    return f"; {len(idle)} of them {'has' if len(idle) == 1 else 'have'} no tasks and no CPUs"


def _name(path: str) -> str:
    return "the default group" if path == DEFAULT_GROUP else f"control group '{path}'"
