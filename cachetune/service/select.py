"""Which guests: running guests by name, UUID or process, and the groups of a selection."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cachetune.apply.state.ledger import Ledger
from cachetune.domain.model import Domain
from cachetune.errors import InputError, WrongGuestError
from cachetune.guests.find import guest_named, look
from cachetune.guests.model import RunningGuest
from cachetune.guests.sources import SourceName
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.tuning_files import GUESTS_D
from cachetune.host.model import Host
from cachetune.plan.groups.names import belongs_to, machine_name_of, machine_names, scope_of
from cachetune.text import listed, printable

_NO_LEDGER = Ledger()
_SHOWN_OWNERS = {"default", "cachetune", "libvirt"}


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The running guest ``guest`` (name or UUID), all running guests, or the process ``pid``.

    ``vcpus`` are pairs of vCPU and thread id, instead of a process. ``machine_name`` overrides the prefix of the group
    names, which is made from the guest's name. ``foreign`` adds foreign groups where the selection names
    no guest; ``without_groups`` accepts running guests that have none. ``sources`` configures where to look for running
    guests, ``source`` restricts that to one source. ``guests_d`` is the directory of tuning files.
    """

    guest: str | None = None
    all_guests: bool = False
    machine_name: str | None = None
    pid: int | None = None
    vcpus: tuple[tuple[int, int], ...] = ()
    foreign: bool = False
    without_groups: bool = False
    sources: SourceOptions = SourceOptions()
    source: SourceName | None = None
    guests_d: Path = GUESTS_D

    @property
    def is_empty(self) -> bool:
        """Whether the selection names no guest."""
        return not (self.guest or self.all_guests or self.machine_name or self.pid is not None or self.vcpus)


class Selected(msgspec.Struct, frozen=True):
    """Running guests, and ``notes``: warnings about what could not be read. ``warnings_about`` each guest are extra."""

    guests: tuple[RunningGuest, ...] = ()
    notes: tuple[str, ...] = ()


def select_guests(selection: Selection) -> Selected:
    """The running guests of a selection, with or without identified vCPUs.

    Raises GuestNotFoundError, and what ``guests.find.look`` raises.
    """
    if selection.guest is not None:
        guest = guest_named(selection.guest, selection.sources, selection.source, per_vcpu=False)
        return Selected((guest,))
    if not selection.all_guests:
        return Selected()
    running = look(selection.sources, selection.source)
    return Selected(running.guests, running.notes)


def doubts_about(guest: RunningGuest) -> tuple[str, ...]:
    """Reasons to doubt a guest's identity: what its sources disagree on, and a name that no source confirms."""
    if not guest.is_unverified:
        return guest.disagreements
    claim = f"unverified: only process {guest.guest.pid} (user {guest.user}) claims to be this guest"
    return (*guest.disagreements, claim)


def warnings_about(guest: RunningGuest) -> tuple[str, ...]:
    """The doubts about a guest as warnings that name it."""
    return tuple(f"guest {guest.name!r}: {doubt}" for doubt in doubts_about(guest))


class SelectedGroups(msgspec.Struct, frozen=True):
    """The paths of groups, and ``notes``: warnings about the guests that they belong to."""

    paths: tuple[str, ...]
    notes: tuple[str, ...] = ()


def select_groups(
    host: Host, selection: Selection, domain: Domain | None = None, ledger: Ledger = _NO_LEDGER
) -> SelectedGroups:
    """The groups to read: those of the guests selected, or of ``domain``.

    A guest's groups have its names, or those that the ledger has for it. With neither, the default group and every
    group that cachetune or libvirt made, or with ``foreign`` every group. Raises GuestNotFoundError, WrongGuestError,
    and InputError if no selected guest has groups, unless the selection accepts that.
    """
    if domain is None and selection.is_empty:
        shown = (group.path for group in host.groups if selection.foreign or group.owner in _SHOWN_OWNERS)
        return SelectedGroups(tuple(shown))
    selected = select_guests(selection)
    running = selected.guests
    if selection.all_guests and not running:
        raise InputError("no guests are running", hint="omit --all-guests to show all groups, running or not")
    if selection.guest and domain and domain.name not in ("", running[0].name):
        raise WrongGuestError("the file", domain.name, running[0].name)
    machines = [name for guest in running for name in _machines_of(guest, ledger)]
    if selection.machine_name:
        machines.append(selection.machine_name)
    elif domain and not selection.guest:
        machines.append(machine_name_of(domain))
    names = {f"{machine}-{group_id}" for machine in machines for group_id in (_group_ids(domain) if domain else ())}
    found = tuple(
        group.path
        for group in host.groups
        if any(belongs_to(group.path, each) for each in machines) or group.path.rpartition("/")[2] in names
    )
    if not found and not (running and selection.without_groups):
        wanted = listed([repr(each) for each in dict.fromkeys(machines)], joint="or")
        raise InputError(f"{host.source} has no groups of {wanted}", hint=_known_machines(host))
    return SelectedGroups(found, (*selected.notes, *(note for guest in running for note in warnings_about(guest))))


def _machines_of(guest: RunningGuest, ledger: Ledger) -> Iterator[str]:
    """The machine names that the guest's groups can have: by its name, and as it was applied (--machine-name)."""
    yield from machine_names(guest.name, guest.libvirt_id)
    for machine, entry in ledger.guests.items():
        if guest.name and entry.name == guest.name and (None in (entry.uuid, guest.uuid) or entry.uuid == guest.uuid):
            yield machine


def _group_ids(domain: Domain) -> Iterable[str]:
    """The ids of all groups and monitors. In live XML they can be any text, not only ``vcpus_0-1``."""
    for group in domain.groups:
        yield from (i for i in (group.id, *(monitor.id for monitor in group.monitors)) if i is not None)


def _known_machines(host: Host) -> str:
    names = {scope_of(group.path).machine for group in host.groups if group.owner in {"cachetune", "libvirt"}}
    return f"groups exist for {', '.join(sorted(map(printable, names)))}" if names else "apply a plan first"
