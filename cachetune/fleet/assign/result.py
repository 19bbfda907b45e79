"""From the outcome of a search to the document: names, what is available, and why guests have no host."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cachetune.domain.model import Domain
from cachetune.fleet.assign.confirm import Accepted, Planner, Refused
from cachetune.fleet.assign.load import Load
from cachetune.fleet.assign.model import AssignedHost, CacheAvailable, Why
from cachetune.fleet.assign.problem import Layout, Problem, most_ways, packs, room_of
from cachetune.fleet.assign.search import Outcome
from cachetune.plan.allocate.capacity import capacity_findings, control_of
from cachetune.plan.rounding import for_host

_RULES = {"ways": "CT207", "CLOSIDs": "CT212", "RMIDs": "CT213"}
_BANDWIDTH = "the bandwidth limits of the guests on a node would add up to more than it has"
_SAME_NAME = "a guest with the same machine name is there"
_NOT_FOUND = "the search ended before a place was found"


class _Reason(NamedTuple):
    rule: str
    message: str = ""


def assigned_hosts(problem: Problem, outcome: Outcome) -> Iterator[AssignedHost]:
    """The hosts that get guests, in the order of their names."""
    by_name = sorted(outcome.accepted.items(), key=lambda item: problem.candidates[item[0]].name)
    for number, found in by_name:
        candidate = problem.candidates[number]
        domains = [problem.guests[guest].domain for guest in found.order]
        room = room_of(found.host, problem.options, problem.limits)
        yield AssignedHost(
            host=candidate.name,
            file=candidate.file,
            guests=tuple(domain.name for domain in domains),
            caches=tuple(_caches_available(problem, found, domains)),
            closids_left=room.closids,
            rmids_left=room.rmids,
        )


def reasons(problem: Problem, outcome: Outcome, planner: Planner) -> dict[int, tuple[Why, ...]]:
    """Why guests without a host have none, with what every host has been given. The most frequent reason is first."""
    known: dict[int, tuple[Why, ...]] = {}
    for number, kind in enumerate(problem.kinds):
        without = [guest for guest in kind.guests if outcome.places[guest] is None]
        if without:
            known |= dict.fromkeys(without, _why(number, without[0], problem, outcome, planner))
    return known


def _caches_available(problem: Problem, found: Accepted, domains: Iterable[Domain]) -> Iterator[CacheAvailable]:
    room = room_of(found.host, problem.options, problem.limits)
    requests = [cache for domain in domains for group in domain.groups for cache in group.caches]
    places = {(control.name, r.cache_id) for r in requests if (control := control_of(r, found.host))}
    for control in found.host.caches:
        for cache_id in control.size_bytes:
            place = control.name, cache_id
            if place in places:
                available = max(most_ways(room, place), 0)
                largest = _largest(room.layouts[place], available, sparse=place in room.sparse)
                yield CacheAvailable(control.name, cache_id, control.ways, available, largest)


def _largest(layouts: Iterable[Layout], most: int, *, sparse: bool) -> int:
    layouts = tuple(layouts)
    return next((ways for ways in range(most, 0, -1) if packs([ways], layouts, sparse=sparse)), 0)


def _why(number: int, guest: int, problem: Problem, outcome: Outcome, planner: Planner) -> tuple[Why, ...]:
    grouped: dict[str, list[tuple[int, str]]] = {}
    for host in problem.homes.get(guest, range(len(problem.candidates))):
        reason = _reason(number, guest, host, problem, outcome, planner)
        grouped.setdefault(reason.rule or reason.message, []).append((host, reason.message))
    found = []
    for key, hosts in sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0])):
        first, message = hosts[0]
        if not message:
            verdict = planner.verdict(first, (*_on(first, outcome), guest))
            message = verdict.why if isinstance(verdict, Refused) else ""
        names = tuple(problem.candidates[host].name for host, _ in hosts)
        found.append(Why("" if key == hosts[0][1] else key, names, message))
    return tuple(found)


def _reason(number: int, guest: int, host: int, problem: Problem, outcome: Outcome, planner: Planner) -> _Reason:
    """Why a host does not get a guest in addition to those that it has."""
    if problem.kinds[number].needs[host] is None:
        domain = for_host(problem.guests[guest].domain, problem.candidates[host].host, problem.options.rounding)
        findings = (f for g in domain.groups for f in capacity_findings(g, problem.candidates[host].host))
        error = next((finding for finding in findings if finding.severity == "error"), None)
        return _Reason(error.rule, error.message) if error else _Reason("", _NOT_FOUND)
    load = Load(problem, host)
    kind_of = problem.kind_of
    for other in _on(host, outcome):
        load.add(kind_of[other], other)
    lack = load.lacks(number)
    if lack in _RULES:
        return _Reason(_RULES[lack])
    if lack:
        return _Reason("", _BANDWIDTH if lack == "bandwidth" else _SAME_NAME)
    verdict = planner.verdict(host, (*_on(host, outcome), guest))
    return _Reason(verdict.rule, verdict.why) if isinstance(verdict, Refused) else _Reason("", _NOT_FOUND)


def _on(host: int, outcome: Outcome) -> tuple[int, ...]:
    return outcome.accepted[host].order if host in outcome.accepted else ()
