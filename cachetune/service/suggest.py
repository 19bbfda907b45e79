"""What the curves of guests say: how many ways each should have, as XML, as a command and as a plan.

One group should have as many ways as its knee. Several divide what they have and no other group has, so that together
they read as little as possible.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from cachetune.apply.state.ledger import Ledger
from cachetune.cbm import Cbm
from cachetune.domain import format_cputune
from cachetune.errors import CachetuneError, PlanRefusedError
from cachetune.findings import Finding, Source
from cachetune.guests.model import RunningGuest
from cachetune.host.model import Host
from cachetune.plan.allocate.occupancy import mask_of
from cachetune.plan.groups.names import scope_of
from cachetune.plan.model import Plan
from cachetune.plan.partition import divide, traffic
from cachetune.plan.request import GuestRequest, Options
from cachetune.plan.sizes import free_ways
from cachetune.service.edits import CacheEdit, Edit, base_of, edited
from cachetune.service.members import Members
from cachetune.service.plans import plan_requests
from cachetune.service.requests import request_of
from cachetune.service.wanted import file_of
from cachetune.units import Size
from cachetune.watch.curve import Curve


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """How many ``ways`` the group at ``path`` should have; ``command`` gives it them."""

    guest: str
    path: str
    ways: int
    size_bytes: int | None
    bytes_per_second: float
    command: str


class GuestXml(msgspec.Struct, frozen=True):
    """The <cputune> of a guest whose groups have what is suggested."""

    guest: str
    xml: str


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``advise --measure --json`` prints.

    ``seconds`` is how long it took. ``bytes_per_second`` is the memory traffic of all groups with the ways suggested,
    ``before_bytes_per_second`` with those that they have. ``divided_ways`` are those that several groups divide, None
    for one group. ``plan`` gives all groups what is suggested; it is None if there cannot be one: ``findings`` say why,
    and ``notes`` why there is no XML of a guest.
    """

    schema_version: Literal[1] = 1
    source: str
    seconds: float
    curves: tuple[Curve, ...]
    suggestions: tuple[Suggestion, ...]
    xml: tuple[GuestXml, ...]
    bytes_per_second: float
    before_bytes_per_second: float
    divided_ways: int | None = None
    plan: Plan | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


class Situation(msgspec.Struct, frozen=True):
    """The guests that were measured, on the host as it is now; ``guests_d`` has their tuning files."""

    guests: tuple[RunningGuest, ...]
    host: Host
    ledger: Ledger
    guests_d: Path
    options: Options


def suggest(curves: Sequence[Curve], now: Situation, seconds: float) -> Measured:
    """What the curves of the guests say. What was measured is in the answer, also where nothing can be planned."""
    values = {curve.path: curve.values for curve in curves}
    ways, pool = {curve.path: curve.knee_ways for curve in curves}, None
    if len(curves) > 1:
        pool = _pool(curves, now).bit_count()
        ways = divide(values, pool, max(curve.least_ways for curve in curves))
    requests, notes = _requests(curves, ways, now)
    plan, findings = (None, ()) if notes else _planned(requests, now)
    return Measured(
        source=now.host.source,
        seconds=round(seconds, 3),
        curves=tuple(curves),
        suggestions=tuple(_suggestion(curve, ways[curve.path]) for curve in curves),
        xml=tuple(GuestXml(each.domain.name, format_cputune(each.domain)) for each in requests),
        bytes_per_second=traffic(values, ways),
        before_bytes_per_second=traffic(values, {curve.path: curve.before_ways for curve in curves}),
        divided_ways=pool,
        plan=plan,
        findings=findings,
        notes=notes,
    )


def _pool(curves: Sequence[Curve], now: Situation) -> Cbm:
    """The ways that the groups have and those that are free."""
    cache_id, paths = curves[0].cache_id, [curve.path for curve in curves]
    control = next(control for control in now.host.caches if control.name == curves[0].resource)
    pool = free_ways(now.host, control, cache_id, paths, now.options.policy)
    for group in filter(None, map(now.host.group, paths)):
        pool = pool | mask_of(group, control, cache_id)
    return pool


def _suggestion(curve: Curve, ways: int) -> Suggestion:
    group = f" --vcpus {curve.vcpus}" if curve.vcpus else f" --threads {curve.threads}" if curve.threads else ""
    value = f"--{curve.resource.lower()} {curve.cache_id}={ways}ways"
    return Suggestion(
        guest=curve.guest,
        path=curve.path,
        ways=ways,
        size_bytes=ways * curve.way_bytes if curve.way_bytes else None,
        bytes_per_second=curve.values[min(ways, len(curve.values)) - 1],
        command=f"cachetune set {shlex.quote(curve.guest)}{group} {value}",
    )


def _requests(
    curves: Sequence[Curve], ways: Mapping[str, int], now: Situation
) -> tuple[tuple[GuestRequest, ...], tuple[str, ...]]:
    """The requests of the guests whose groups have these ways, and why the rest cannot be made."""
    requests, notes = [], []
    for guest in now.guests:
        try:
            requests.append(_request(guest, [curve for curve in curves if curve.guest == guest.name], ways, now))
        except CachetuneError as error:
            notes.append(f"guest {guest.name!r}: {error}")
    return tuple(requests), tuple(notes)


def _request(guest: RunningGuest, curves: Sequence[Curve], ways: Mapping[str, int], now: Situation) -> GuestRequest:
    base = base_of(guest, file_of(guest, now.guests_d), now.host, now.ledger)
    domain = base.domain
    for curve in curves:
        scope = scope_of(curve.path)
        members = Members.of_name(curve.path, scope.machine)
        size = Size(ways[curve.path] * curve.way_bytes) if curve.way_bytes else Size(ways[curve.path], "ways")
        cache = CacheEdit(
            3, "data" if curve.resource == "L3DATA" else "both", frozenset({curve.cache_id}), size, Source()
        )
        domain = edited(domain, Edit(members=members, caches=(cache,)), now.host)[0]
    return replace(request_of(guest, domain), machine_name=base.machine_name, findings=base.findings)


def _planned(requests: Sequence[GuestRequest], now: Situation) -> tuple[Plan | None, tuple[Finding, ...]]:
    """The plan for all requests, in which groups move if there is no other way; or why no plan is possible."""
    findings: tuple[Finding, ...] = ()
    for compact in (False, True):
        try:
            options = replace(now.options, compact=compact)
            return plan_requests(requests, now.host, now.ledger, options), ()
        except PlanRefusedError as refused:
            findings = findings or refused.findings
    return None, findings
