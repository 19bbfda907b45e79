"""Whether a host can take a guest: the plan for it is made, and what it says is the answer.

If the plan is refused, it is made again with the options that could help, so that the answer can name those that do.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from cachetune.cbm import Cbm, largest_run
from cachetune.domain.model import Domain
from cachetune.errors import PlanRefusedError
from cachetune.fleet.model import CacheFit, Candidate, Fit, Mean, Rounded
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host
from cachetune.host.usage import unexplained_ways
from cachetune.plan.after import host_after
from cachetune.plan.build import plan
from cachetune.plan.groups.names import is_libvirts_name, scope_of
from cachetune.plan.model import Plan, PlannedGroup, Usage
from cachetune.plan.request import Options
from cachetune.plan.steps import effect_of
from cachetune.units import Rounding

ROOM = frozenset({"CT207", "CT219", "CT237"})
"""What can be different if the default group gives up ways or groups move."""
SIZES = frozenset({"CT205", "CT210"})
"""What is different with --round."""
_NOT_RUNNING = "CT403"
_ROUNDINGS: tuple[Rounding, ...] = ("up", "down")  # the first that helps is named: a guest rather gets more


class _Planned(NamedTuple):
    """A plan and the options with which it was made."""

    plan: Plan
    options: Options


def fit(domain: Domain, candidate: Candidate, options: Options) -> Fit:
    """Whether the candidate can take the guest with these options, or with which others. Raises MachineNameError."""
    return _fit(domain, candidate, options)[0]


def fit_together(domains: Iterable[Domain], candidate: Candidate, options: Options) -> Iterator[Fit]:
    """``fit`` for each guest on the candidate as the guests before it leave it; one that is refused changes nothing."""
    for domain in domains:
        found, made = _fit(domain, candidate, options)
        yield found
        if made:
            candidate = replace(candidate, host=host_after(candidate.host, made.steps))


def _fit(domain: Domain, candidate: Candidate, options: Options) -> tuple[Fit, Plan | None]:
    """The answer, and the plan with the options that were given; None if it is refused."""
    host = candidate.host
    domain = _as_there(domain, host)
    try:
        planned = _Planned(plan(domain, host, None, options), options)
    except PlanRefusedError as refused:
        with_more = _with_more(domain, host, options, refused)
        findings = tuple(f for f in refused.findings if f.rule != _NOT_RUNNING)
        if with_more is None:
            return replace(_unanswered(domain, candidate), findings=findings), None
        answer = _answer(domain, candidate, with_more)
        missing = _missing(options, with_more, answer.means)
        return replace(answer, answer="possible", missing=missing, findings=findings), None
    return _answer(domain, candidate, planned), planned.plan


def _as_there(domain: Domain, host: Host) -> Domain:
    """The domain with libvirt's number of the guest, if the host has groups with such a name; the last of several.

    A tuning file and inactive XML have no number, and without it the guest's own groups would count as another's.
    """
    if domain.id is not None:
        return domain
    machines = {scope_of(group.path).machine for group in host.groups if group.owner == "cachetune"}
    numbers = [int(machine.split("-")[1]) for machine in machines if is_libvirts_name(machine, domain.name)]
    return replace(domain, id=max(numbers)) if numbers else domain


def _unanswered(domain: Domain, candidate: Candidate) -> Fit:
    return Fit(guest=domain.name, host=candidate.name, answer="refused")


def _with_more(domain: Domain, host: Host, options: Options, refused: PlanRefusedError) -> _Planned | None:
    """The plan with the options that were not given and could help; None if they do not."""
    reasons = {finding.rule for finding in refused.findings if finding.severity == "error"}
    rounds = options.rounding is None and bool(reasons & SIZES)
    if not reasons <= ROOM | (SIZES if rounds else frozenset()):
        return None
    more = replace(options, shrink_default=True, compact=True)
    for rounding in _ROUNDINGS if rounds else (options.rounding,):
        tried = replace(more, rounding=rounding)
        if tried != options and (made := _planned(domain, host, tried)):
            return _with_least(domain, host, options, made)
    return None


def _with_least(domain: Domain, host: Host, options: Options, made: _Planned) -> _Planned:
    """The plan without an option that it does not need.

    The planner moves groups only if nothing else helps, and then the default group as well if it may.
    """
    compacts, shrinks = bool(made.plan.moved), _shrinks(made.plan)
    if compacts and shrinks and not options.shrink_default:
        alone = replace(made.options, shrink_default=False)
        return _planned(domain, host, alone) or made
    return made


def _planned(domain: Domain, host: Host, options: Options) -> _Planned | None:
    try:
        return _Planned(plan(domain, host, None, options), options)
    except PlanRefusedError:
        return None


def _missing(options: Options, made: _Planned, means: Iterable[Mean]) -> tuple[str, ...]:
    """The options, as they are written, that were not given and that the plan needs."""
    given = {"rounded": options.rounding is not None, "shrunk": options.shrink_default, "compacted": options.compact}
    names = {
        "rounded": f"--round {made.options.rounding}",
        "shrunk": "--shrink-default",
        "compacted": "--compact",
    }
    return tuple(names[mean] for mean in means if not given[mean])


def _answer(domain: Domain, candidate: Candidate, planned: _Planned) -> Fit:
    """The answer that a plan is; "fits" regardless of the options with which it was made."""
    made, host = planned.plan, candidate.host
    control_groups = [group for group in made.groups if group.kind == "control"]
    rounded = tuple(_rounded(control_groups))
    means: dict[Mean, bool] = {
        "rounded": any(_must_be_asked_for(each.requested) for each in rounded),
        "shrunk": _shrinks(made),
        "compacted": bool(made.moved),
    }
    return replace(
        _unanswered(domain, candidate),
        answer="fits",
        means=tuple(mean for mean, used in means.items() if used),
        present=bool(control_groups) and all(group.action != "create" for group in control_groups),
        caches=tuple(_caches(made, control_groups, host)),
        bandwidth={g.path: g.schemata.bandwidth for g in control_groups if g.schemata.bandwidth},
        rounded=rounded,
        moved=made.moved,
        closids_left=_left(made.summary.closids),
        rmids_left=_left(made.summary.rmids),
        findings=tuple(finding for finding in made.warnings if finding.rule != _NOT_RUNNING),
    )


def _shrinks(made: Plan) -> bool:
    return any(effect_of(step).written == DEFAULT_GROUP for step in made.steps)


def _rounded(groups: Iterable[PlannedGroup]) -> Iterator[Rounded]:
    for group in groups:
        for resource, row in group.rounded_from.items():
            for number, requested in row.items():
                mask = group.schemata.masks.at(resource, number)
                ways = None if mask is None else mask.bit_count()
                yield Rounded(group.path, resource, number, requested, group.requested.at(resource, number) or 0, ways)


def _must_be_asked_for(requested: str) -> bool:
    """Whether a value is rounded only with --round: percentages and rates are converted, which always rounds."""
    return not requested.endswith(("%", "/s"))


def _caches(made: Plan, groups: list[PlannedGroup], host: Host) -> Iterator[CacheFit]:
    """The caches in which the guest's groups request ways, as they are after the plan."""
    later = host_after(host, made.steps)
    for control in host.caches:
        for cache_id in control.size_bytes:
            masks = {
                group.path: mask
                for group in groups
                if group.requested.at(control.name, cache_id) is not None
                and (mask := group.schemata.masks.at(control.name, cache_id)) is not None
            }
            if masks:
                yield _cache(control, cache_id, masks, host, later)


def _cache(control: CacheControl, cache_id: int, masks: dict[str, Cbm], host: Host, later: Host) -> CacheFit:
    guests = 0
    for mask in masks.values():
        guests |= mask
    others = int(unexplained_ways(host, control, cache_id))
    default = later.default_group.masks.at(control.name, cache_id) or Cbm(0)
    for group in later.control_groups():
        if group.path not in masks and group.path != DEFAULT_GROUP:
            others |= group.masks.at(control.name, cache_id) or 0
    free = Cbm(control.cbm_mask & ~(default | others | guests))
    return CacheFit(
        resource=control.name,
        id=cache_id,
        ways=control.ways,
        way_bytes=control.way_bytes(cache_id),
        masks=masks,
        default=default,
        default_before=host.default_group.masks.at(control.name, cache_id) or Cbm(0),
        others=Cbm(others),
        free=free,
        free_ways=free.bit_count(),
        largest_hole_ways=largest_run(free),
    )


def _left(usage: Usage) -> int | None:
    return None if usage.total is None or usage.used > usage.total else usage.total - usage.used
