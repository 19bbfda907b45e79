"""Decide what to do for each guest: pure functions from what is seen and remembered to one decision per guest.

What holds, whatever is seen:

- A guest's groups are removed only when they hold no thread any more, or when its file is gone; a file that is missing
  in one round only (an editor that replaces it) is not gone.
- XML that has become invalid changes nothing: the last valid XML of the file goes on to count.
- libvirt's own groups are compared, and written to only when the operator adopts them. A difference counts when two
  rounds in a row see it: libvirt makes its groups before it has the threads to put there. So does a guest of which
  nobody tells the vCPUs apart: QEMU names its threads when it starts them.
- What was tried and failed is tried again later, or at once when it is something else that is wanted.
"""

from collections.abc import Iterator, Mapping

import msgspec

from cachetune.agent.model import RequestedBy, State
from cachetune.apply.state.ledger import Ledger
from cachetune.domain.model import Domain
from cachetune.errors import CachetuneError
from cachetune.findings import first_error
from cachetune.guests.find import most_trusted
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import TuningFiles
from cachetune.host.model import Host
from cachetune.plan import Options, Plan, PlanRefusedError, machine_name_of
from cachetune.plan.build import groups_of
from cachetune.plan.render import describe
from cachetune.plan.request import GuestRequest
from cachetune.service.plans import plan_requests
from cachetune.service.requests import live_domain

_SHOWN_STEPS = 3
_ENDED = "it does not run"


class AgentOptions(msgspec.Struct, frozen=True):
    """What the operator chose."""

    shrink_default: bool = False
    adopt: bool = False
    period: float = 5.0


class Observation(msgspec.Struct, frozen=True):
    """What one round sees. ``files`` is None where there is no directory: then nothing is known about files."""

    files: TuningFiles | None
    running: tuple[RunningGuest, ...]
    host: Host
    ledger: Ledger


class Memory(msgspec.Struct, frozen=True):
    """What is remembered of a guest: under which name it has its groups, who asked, the last valid XML of its file.

    ``suspected`` is what the last round saw and this one must see again. ``tried`` (the essence of a decision) failed
    ``failures`` times and is not tried again before ``not_before`` (the agent's clock).
    """

    machine_name: str
    requested_by: RequestedBy
    domain: Domain | None = None
    suspected: str = ""
    tried: "Decision | None" = None
    failures: int = 0
    not_before: float = 0.0


class Stay(msgspec.Struct, frozen=True):
    """Nothing to do; the guest is in this state. ``suspected`` must be seen again to count."""

    state: State
    reason: str = ""
    suspected: str = ""


class Hold(msgspec.Struct, frozen=True):
    """Nothing to do and no new state yet. ``suspected`` counts once the next round has seen the same."""

    suspected: str


class Apply(msgspec.Struct, frozen=True):
    """Have this carried out. ``problem`` remains when it is done: the file's XML is invalid, this is its last."""

    request: GuestRequest
    problem: str = ""


class Clear(msgspec.Struct, frozen=True):
    """Remove our groups of the guest. ``keep`` says that it is still wanted, should it run again."""

    why: str
    keep: bool


class Forget(msgspec.Struct, frozen=True):
    """Nobody wants anything for the guest, and it has nothing."""


Decision = Stay | Hold | Apply | Clear | Forget


class Case(msgspec.Struct, frozen=True):
    """One guest: what is asked for it, by whom, under which machine name, and the processes that may be it."""

    name: str
    machine_name: str
    requested_by: RequestedBy
    domain: Domain | None
    problem: str
    guests: tuple[RunningGuest, ...]


def decide(
    observation: Observation, known: Mapping[str, Memory], options: AgentOptions, now: float
) -> dict[str, tuple[Case, Decision]]:
    """What to do for every guest that has a file, or is libvirt's and asks for tuning, or was kept so far."""
    decided = {}
    for case in cases(observation, known):
        memory = known.get(case.name)
        try:
            decision = _decide(case, observation, memory, options)
        except Exception as error:  # noqa: BLE001 - even a bug of ours must not cost the other guests their agent
            decision = Stay("failed", text_of(error))
        if memory and now < memory.not_before and memory.tried == retry_key(decision):
            decision = Hold(memory.suspected)
        decided[case.name] = (case, decision)
    return decided


def text_of(error: Exception) -> str:
    """What went wrong in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input or output'}: {error.strerror}"
    known = isinstance(error, CachetuneError)
    return str(error) if known else f"{type(error).__name__}: {error} (this is a bug)"


def retry_key(decision: Decision) -> Decision:
    """The decision less what changes all the time: threads that are no vCPUs, which QEMU starts and ends at will."""
    if not isinstance(decision, Apply) or decision.request.guest is None:
        return decision
    guest = decision.request.guest
    lasting = tuple(thread for thread in guest.threads if thread.vcpu is not None or thread.tid == guest.pid)
    request = msgspec.structs.replace(decision.request, guest=msgspec.structs.replace(guest, threads=lasting))
    return msgspec.structs.replace(decision, request=request)


def cases(observation: Observation, known: Mapping[str, Memory]) -> Iterator[Case]:
    """The guests in the order of their names, each with all that concerns it."""
    tuned = {guest.name: domain for guest in observation.running if (domain := _asked_by_libvirt(guest))}
    for name in sorted({*(observation.files or {}), *tuned, *known}):
        if name in tuned and name not in (observation.files or {}):
            yield _libvirt_case(name, tuned[name], observation)
        else:
            yield _file_case(name, observation, known.get(name), also_libvirt=name in tuned)


def _libvirt_case(name: str, domain: Domain, observation: Observation) -> Case:
    return Case(name, machine_name_of(domain), "libvirt", domain, "", _called(name, observation))


def _file_case(name: str, observation: Observation, memory: Memory | None, *, also_libvirt: bool) -> Case:
    """A guest with a file, or one that is kept and has neither file nor live XML now."""
    wish = (observation.files or {}).get(name)
    domain, problem = (wish.domain, wish.problem) if wish else (None, "")
    requested_by: RequestedBy = memory.requested_by if memory and not wish else "file"
    if memory and memory.requested_by == "file" and (problem or observation.files is None):
        domain = memory.domain
        problem = problem or "the directory of its file is not there"
    if also_libvirt:
        domain, problem = None, "its own XML asks for tuning, too, which libvirt has carried out; one must go"
    machine = memory.machine_name if memory else ""
    if domain is not None:
        try:
            machine = machine_name_of(domain)
        except CachetuneError as error:
            domain, problem = None, str(error)
    same_name = _called(name, observation)
    uuid = domain.uuid if domain else None
    guests = tuple(guest for guest in same_name if uuid is None or guest.uuid in (None, uuid))
    if same_name and not guests:
        problem = f"a guest of this name runs with the uuid {same_name[0].uuid}; its file has {uuid}"
    return Case(name, machine, requested_by, domain, problem, guests)


def _called(name: str, observation: Observation) -> tuple[RunningGuest, ...]:
    """The guests of this name; one that somebody else vouches for goes before those that only call themselves so."""
    return tuple(most_trusted([guest for guest in observation.running if guest.name == name]))


def _asked_by_libvirt(guest: RunningGuest) -> Domain | None:
    """What the live XML of a libvirt guest asks for; None where that is nothing."""
    domain = live_domain(guest)
    return domain if domain and domain.groups else None


def _decide(case: Case, observation: Observation, memory: Memory | None, options: AgentOptions) -> Decision:
    if case.domain is None and not case.problem:
        return _unwanted(case, observation, memory)
    if len(case.guests) > 1:
        pids = ", ".join(str(guest.guest.pid) for guest in case.guests)
        return Stay("failed", f"several guests of this name run (processes {pids}); give its uuid in the file")
    if not case.guests:
        return _not_running(case, observation)
    if case.domain is None:
        return Stay("failed", case.problem)
    return _running(case, case.domain, observation, memory, options)


def _unwanted(case: Case, observation: Observation, memory: Memory | None) -> Decision:
    """Its file is gone, or libvirt's guest has ended."""
    if not _groups(case, observation):
        return Forget()
    if case.requested_by == "libvirt":
        return (
            Stay("waiting", "its groups still hold threads")
            if _threads(case, observation)
            else Clear(_ENDED, keep=False)
        )
    gone = "its file is gone"
    return Clear(gone, keep=False) if memory and memory.suspected == gone else Hold(gone)


def _not_running(case: Case, observation: Observation) -> Decision:
    if _groups(case, observation):
        if _threads(case, observation):
            return Stay("waiting", "it is not found, but its groups still hold threads")
        return Clear(_ENDED, keep=True)
    return Stay("failed", case.problem) if case.problem else Stay("waiting", _ENDED)


def _running(
    case: Case, domain: Domain, observation: Observation, memory: Memory | None, options: AgentOptions
) -> Decision:
    guest = case.guests[0]
    if guest.problem and domain.needs_vcpus:
        return _seen_twice("failed", guest.problem, memory)  # a QEMU that has just begun has no such threads yet
    entry = observation.ledger.guests.get(case.machine_name)
    other = entry is not None and None not in (entry.uuid, guest.uuid) and entry.uuid != guest.uuid
    if other and _groups(case, observation) and not _threads(case, observation):
        return Clear("they were those of another guest of this name", keep=True)
    request = GuestRequest(msgspec.structs.replace(domain, uuid=guest.uuid), guest.guest, case.machine_name)
    only_compare = case.requested_by == "libvirt" and not options.adopt
    try:
        made = plan_requests((request,), observation.host, observation.ledger, plan_options(options))
    except PlanRefusedError as error:
        why = first_error(error.findings)
        return _seen_twice("drifted", why, memory) if only_compare else Stay("failed", why)
    except CachetuneError as error:
        return Stay("failed", str(error))
    if not made.steps:
        return Stay("failed", case.problem) if case.problem else Stay("placed")
    if only_compare:
        return _seen_twice("drifted", _steps(made), memory)
    return Apply(request, case.problem)


def plan_options(options: AgentOptions) -> Options:
    """How the agent plans."""
    return Options(shrink_default=options.shrink_default)


def _seen_twice(state: State, what: str, memory: Memory | None) -> Decision:
    """A state that counts once two rounds in a row have seen it."""
    if memory and memory.suspected == what:
        return Stay(state, what, suspected=what)
    return Hold(what)


def _steps(made: Plan) -> str:
    shown = [describe(step) for step in made.steps[:_SHOWN_STEPS]]
    more = len(made.steps) - len(shown)
    return f"to be as its XML asks: {'; '.join(shown)}" + (f"; and {more} more" if more else "")


def _groups(case: Case, observation: Observation) -> tuple[str, ...]:
    """Our groups of the guest that are there; none where another guest has them under the same machine name."""
    entry = observation.ledger.guests.get(case.machine_name)
    if not case.machine_name or (entry is not None and entry.name != case.name):
        return ()
    return groups_of(observation.host, case.machine_name, entry.groups if entry else ())


def _threads(case: Case, observation: Observation) -> bool:
    """Whether any of our groups of the guest still holds a thread."""
    groups = (observation.host.group(path) for path in _groups(case, observation))
    return any(group is not None and group.tids for group in groups)
