"""Decide what to do for each guest: pure functions from an observation and the agent's memory to one decision each.

Invariants:

- A guest's groups are removed only when they no longer hold threads, or when its tuning file was removed. A file that
  is missing in a single round (an editor replaces it) does not count as removed.
- A tuning file that becomes invalid changes nothing: its last valid content stays in force.
- libvirt's groups are compared, and written only if the operator adopts them. A difference counts when two consecutive
  rounds observe it, because libvirt creates its groups before the threads that go there. The same applies to a guest
  whose vCPUs cannot be identified: QEMU names its threads only when it starts them.
- A decision that failed is retried later, or at once when the decision changes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from cachetune.agent.model import State
from cachetune.apply.state.ledger import Ledger
from cachetune.domain.model import Domain
from cachetune.errors import CachetuneError, error_text
from cachetune.findings import first_error
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import TuningFiles
from cachetune.host.model import Host
from cachetune.plan import Options, Plan, PlanRefusedError, machine_name_of
from cachetune.plan.build import groups_of
from cachetune.plan.policy import Policy
from cachetune.plan.render import describe
from cachetune.plan.request import GuestRequest
from cachetune.service.plans import compare_requests
from cachetune.service.wanted import (
    RequestedBy,
    claimants,
    conflict_of,
    rivals_problem,
    source_of,
    uuid_problem,
)
from cachetune.text import count
from cachetune.units import Rounding

_SHOWN_STEPS = 3
_NOT_RUNNING = "not running"
_FILE_REMOVED = "tuning file removed"


class AgentOptions(msgspec.Struct, frozen=True):
    """The operator's choices. ``period`` is the time between two rounds in seconds."""

    shrink_default: bool = False
    assign_counters: bool = False
    rounding: Rounding | None = None
    policy: Policy | None = None
    adopt: bool = False
    period: float = 5.0


class Observation(msgspec.Struct, frozen=True):
    """What one round observes. ``files`` can be None: their directory is missing, so nothing is known about files."""

    files: TuningFiles | None
    running: tuple[RunningGuest, ...]
    host: Host
    ledger: Ledger


class Memory(msgspec.Struct, frozen=True):
    """What the agent remembers about a guest: its machine name, the source of its request, its last valid request.

    ``unconfirmed`` is an observation that counts once the next round repeats it. The decision ``tried`` (see
    ``retry_key``) failed ``failures`` times and is not retried before ``not_before`` (monotonic seconds).
    """

    machine_name: str
    requested_by: RequestedBy
    domain: Domain | None = None
    unconfirmed: str = ""
    tried: "Decision | None" = None
    failures: int = 0
    not_before: float = 0.0


class NoAction(msgspec.Struct, frozen=True):
    """Nothing to do: the guest is in ``state``. ``unconfirmed`` goes into the guest's memory."""

    state: State
    reason: str = ""
    unconfirmed: str = ""


class Recheck(msgspec.Struct, frozen=True):
    """Do nothing and keep the guest's state; ``unconfirmed`` counts if the next round observes the same."""

    unconfirmed: str


class Apply(msgspec.Struct, frozen=True):
    """Apply the request. ``problem`` remains afterwards: the tuning file is invalid, and this is its last request."""

    request: GuestRequest
    problem: str = ""


class Remove(msgspec.Struct, frozen=True):
    """Remove the guest's groups. With ``keep`` the guest stays managed, in case it starts again."""

    why: str
    keep: bool


class Forget(msgspec.Struct, frozen=True):
    """Stop managing the guest: it has no request and no groups."""


Decision = NoAction | Recheck | Apply | Remove | Forget


class ManagedGuest(msgspec.Struct, frozen=True):
    """A guest to decide about: its request, where that is from, and the running guests (normally one) of its name.

    Without a request, or without a usable one, ``domain`` is empty; ``problem`` says why it cannot be used.
    """

    name: str
    machine_name: str
    requested_by: RequestedBy
    domain: Domain | None
    problem: str
    running: tuple[RunningGuest, ...]


DecisionOf = Callable[[ManagedGuest, Observation, Memory | None, AgentOptions], Decision]


def decide(
    observation: Observation,
    known: Mapping[str, Memory],
    options: AgentOptions,
    now: float,
    decision_of: DecisionOf | None = None,
) -> dict[str, tuple[ManagedGuest, Decision]]:
    """Decide about every guest that has a tuning file, requests tuning in its live XML, or was managed so far.

    ``now`` is the time in monotonic seconds. ``decision_of`` decides about one guest, by default ``decision_about``.
    The result is keyed by guest name. Raises nothing.
    """
    decided = {}
    for guest in managed_guests(observation, known):
        memory = known.get(guest.name)
        decision = (decision_of or decision_about)(guest, observation, memory, options)
        if memory and now < memory.not_before and memory.tried == retry_key(decision):
            decision = Recheck(memory.unconfirmed)
        decided[guest.name] = (guest, decision)
    return decided


def retry_key(decision: Decision) -> Decision:
    """The decision without the emulator's threads: QEMU starts and ends those at any time."""
    if not isinstance(decision, Apply) or decision.request.guest is None:
        return decision
    guest = decision.request.guest
    lasting = tuple(t for t in guest.threads if t.vcpu is not None or t.iothread or t.vhost or t.tid == guest.pid)
    request = msgspec.structs.replace(decision.request, guest=msgspec.structs.replace(guest, threads=lasting))
    return msgspec.structs.replace(decision, request=request)


def managed_guests(observation: Observation, known: Mapping[str, Memory]) -> Iterator[ManagedGuest]:
    """The guests to decide about, sorted by name."""
    tuned = {guest.name: domain for guest in observation.running if (domain := _live_request(guest))}
    called: dict[str, list[RunningGuest]] = {}
    for guest in observation.running:
        called.setdefault(guest.name, []).append(guest)
    files = observation.files or {}
    for name in sorted({*files, *tuned, *known}):
        if source_of(has_file=name in files, has_xml=name in tuned) == "libvirt":
            running = tuple(claimants(name, None, called[name]))
            yield ManagedGuest(name, machine_name_of(tuned[name]), "libvirt", tuned[name], "", running)
        else:
            yield _guest_with_file(name, called.get(name, ()), observation, known.get(name), tuned.get(name))


def _guest_with_file(
    name: str, called: Sequence[RunningGuest], observation: Observation, memory: Memory | None, live: Domain | None
) -> ManagedGuest:
    """A guest with a tuning file, or a managed guest that now has neither a file nor a request in live XML.

    ``called`` are the running guests with its name.
    """
    file = (observation.files or {}).get(name)
    domain, problem = (file.domain, file.problem) if file else (None, "")
    requested_by: RequestedBy = memory.requested_by if memory and not file else "file"
    if memory and memory.requested_by == "file" and (problem or observation.files is None):
        domain = memory.domain
        problem = problem or "the directory of tuning files is missing"
    if conflict := conflict_of(domain, live):
        domain, problem = None, conflict
    machine = memory.machine_name if memory else ""
    if domain is not None:
        try:
            machine = machine_name_of(domain)
        except CachetuneError as error:
            domain, problem = None, str(error)
    same_name = claimants(name, None, called)
    running = tuple(claimants(name, domain, called))
    if same_name and not running:
        problem = uuid_problem(domain, same_name[0].uuid)
    return ManagedGuest(name, machine, requested_by, domain, problem, running)


def _live_request(guest: RunningGuest) -> Domain | None:
    """The request in the live XML of a libvirt guest; None if it has no tuning."""
    domain = guest.live_domain
    return domain if domain and domain.groups else None


def decision_about(
    guest: ManagedGuest, observation: Observation, memory: Memory | None, options: AgentOptions
) -> Decision:
    """The decision about one guest. It follows from the arguments, without the threads in the default group."""
    try:
        return _decide(guest, observation, memory, options)
    except Exception as error:  # noqa: BLE001 - a bug that one guest triggers must not affect the others
        return NoAction("failed", error_text(error))


def _decide(guest: ManagedGuest, observation: Observation, memory: Memory | None, options: AgentOptions) -> Decision:
    if guest.domain is None and not guest.problem:
        return _without_request(guest, observation, memory)
    if rivals := rivals_problem(guest.running):
        return NoAction("failed", rivals)
    if not guest.running:
        return _not_running(guest, observation)
    if guest.domain is None:
        return NoAction("failed", guest.problem)
    return _running(guest, guest.domain, observation, memory, options)


def _without_request(guest: ManagedGuest, observation: Observation, memory: Memory | None) -> Decision:
    """The tuning file was removed, or libvirt's guest has ended."""
    if not _groups(guest, observation):
        return Forget()
    if guest.requested_by == "libvirt":
        if _has_threads(guest, observation):
            return NoAction("waiting", "its groups still hold threads")
        return Remove(_NOT_RUNNING, keep=False)
    confirmed = memory is not None and memory.unconfirmed == _FILE_REMOVED
    return Remove(_FILE_REMOVED, keep=False) if confirmed else Recheck(_FILE_REMOVED)


def _not_running(guest: ManagedGuest, observation: Observation) -> Decision:
    if _groups(guest, observation):
        if _has_threads(guest, observation):
            return NoAction("waiting", "guest not found, but its groups still hold threads")
        return Remove(_NOT_RUNNING, keep=True)
    return NoAction("failed", guest.problem) if guest.problem else NoAction("waiting", _NOT_RUNNING)


def _running(
    guest: ManagedGuest, domain: Domain, observation: Observation, memory: Memory | None, options: AgentOptions
) -> Decision:
    running = guest.running[0]
    if running.problem and domain.needs_vcpus:
        return _confirmed("failed", running.problem, memory)  # a QEMU that has just started has no vCPU threads yet
    entry = observation.ledger.guests.get(guest.machine_name)
    replaced = entry is not None and None not in (entry.uuid, running.uuid) and entry.uuid != running.uuid
    if replaced and _groups(guest, observation) and not _has_threads(guest, observation):
        return Remove("left by another guest with this name", keep=True)
    request = GuestRequest(msgspec.structs.replace(domain, uuid=running.uuid), running.guest, guest.machine_name)
    only_compare = guest.requested_by == "libvirt" and not options.adopt
    try:
        made = compare_requests((request,), observation.host, observation.ledger, plan_options(options))
    except PlanRefusedError as error:
        why = first_error(error.findings)
        if only_compare:
            return _confirmed("drifted", why, memory)
        return NoAction("failed", with_problem(guest.problem, why))
    except CachetuneError as error:
        return NoAction("failed", with_problem(guest.problem, str(error)))
    if not made.steps:
        return NoAction("failed", guest.problem) if guest.problem else NoAction("placed")
    if only_compare:
        return _confirmed("drifted", _difference(made), memory)
    return Apply(request, guest.problem)


def with_problem(problem: str, why: str) -> str:
    """Why a request could not be carried out; with a ``problem`` it is what an invalid file said before."""
    return f"{problem}; its last valid content: {why}" if problem else why


def plan_options(options: AgentOptions) -> Options:
    """The options of the agent's plans."""
    return Options(
        shrink_default=options.shrink_default,
        assign_counters=options.assign_counters,
        rounding=options.rounding,
        policy=options.policy,
    )


def _confirmed(state: State, why: str, memory: Memory | None) -> Decision:
    """The state, if the previous round observed the same."""
    if memory and memory.unconfirmed == why:
        return NoAction(state, why, unconfirmed=why)
    return Recheck(why)


def _difference(plan: Plan) -> str:
    shown = [describe(step) for step in plan.steps[:_SHOWN_STEPS]]
    more = len(plan.steps) - len(shown)
    return f"to match its XML: {'; '.join(shown)}" + (f"; and {count(more, 'more step')}" if more else "")


def _groups(guest: ManagedGuest, observation: Observation) -> tuple[str, ...]:
    """The existing groups that cachetune made for the guest; empty if they belong to another guest."""
    entry = observation.ledger.guests.get(guest.machine_name)
    if not guest.machine_name or (entry is not None and entry.name != guest.name):
        return ()
    return groups_of(observation.host, guest.machine_name, entry.groups if entry else ())


def _has_threads(guest: ManagedGuest, observation: Observation) -> bool:
    """Whether any of the guest's groups still holds a thread."""
    groups = (observation.host.group(path) for path in _groups(guest, observation))
    return any(group is not None and group.tids for group in groups)
