"""The ledger: which groups are ours, for which guest, and what the default group had before guests and operators.

One small JSON file in the run directory, replaced atomically. It is valid for one boot, as resctrl's state is. If it is
lost, groups whose name starts with ``cachetune-`` are still recognized by name.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, assert_never

import msgspec
from msgspec.structs import replace

from cachetune import documents
from cachetune.apply.state.default_group import DefaultRecord, follow_shrink
from cachetune.apply.state.journal import boot_id
from cachetune.cbm import Cbm
from cachetune.documents import repeated
from cachetune.errors import DocumentError, StateFileError
from cachetune.files import replace_file
from cachetune.host.model import DEFAULT_GROUP, BandwidthUnit, Host
from cachetune.host.paths import kind_of
from cachetune.host.resctrl.schemata import cache_resource
from cachetune.plan.allocation import Allocation
from cachetune.plan.groups.names import machine_of
from cachetune.plan.model import DefaultShrink, Plan
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, WriteFile, WriteSchemata
from cachetune.units import BANDWIDTH_RESOURCES


class GuestEntry(msgspec.Struct, frozen=True):
    """The groups created for one guest."""

    name: str
    uuid: str | None
    groups: tuple[str, ...]


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Guests by machine name, and how the default group is currently shrunk for them.

    ``initial`` is what the default group had where ``cachetune default`` has changed it since, with MB in
    ``initial_unit``. The ledger is valid for the boot ``boot_id`` only: resctrl's state does not survive a restart.
    """

    schema_version: Literal[1] = 1
    boot_id: str = ""
    guests: dict[str, GuestEntry] = {}
    shrunk: DefaultShrink | None = None
    initial: Allocation = msgspec.field(default_factory=Allocation)
    initial_unit: BandwidthUnit | None = None

    @property
    def owned(self) -> frozenset[str]:
        """Every group that we created."""
        return frozenset(path for guest in self.guests.values() for path in guest.groups)

    @property
    def guest_names(self) -> dict[str, str]:
        """The names of guests by the paths of their groups."""
        return {path: entry.name for entry in self.guests.values() if entry.name for path in entry.groups}

    def groups_of(self, machine: str) -> frozenset[str]:
        """The groups of one guest."""
        entry = self.guests.get(machine)
        return frozenset(entry.groups) if entry else frozenset()

    def after(self, plan: Plan) -> "Ledger":
        """The ledger after the plan has been carried out. Calling this twice changes nothing."""
        groups = {machine: set(self.groups_of(machine)) for machine in plan.machine_names}
        for step in plan.steps:
            match step:
                case CreateGroup(path):
                    groups.setdefault(machine_of(path, groups), set()).add(path)
                case RemoveGroup(path):
                    for of in groups.values():
                        of.discard(path)
                case WriteSchemata() | WriteFile() | MoveTasks():
                    pass
                case _:
                    assert_never(step)
        guests = {name: entry for name, entry in self.guests.items() if name not in groups}
        for planned in plan.guests:
            machine = planned.machine_name
            if groups.get(machine):
                known = self.guests.get(machine)
                guest = known if known and not planned.name else planned
                uuid = guest.uuid or (known.uuid if known else None)
                guests[machine] = GuestEntry(guest.name, uuid, tuple(sorted(groups[machine])))
        record = DefaultRecord(self.shrunk, self.initial, self.initial_unit).after(plan)
        return replace(
            self,
            boot_id=boot_id(),
            guests=guests,
            shrunk=record.shrunk,
            initial=record.initial,
            initial_unit=record.unit,
        )

    def with_shrunk(self, kept: DefaultShrink) -> "Ledger":
        """The ledger with ways added that the default group gave up and could not get back."""
        return replace(self, boot_id=boot_id(), shrunk=follow_shrink(self.shrunk, kept.before, kept.after))

    def without_lost(self, host: Host) -> "Ledger":
        """The ledger without groups that no longer exist: a program that creates one again owns it."""
        guests = {}
        for machine, entry in self.guests.items():
            left = tuple(path for path in entry.groups if host.group(path))
            if left:
                guests[machine] = GuestEntry(entry.name, entry.uuid, left)
        return replace(self, guests=guests)


def load_ledger(run: Path) -> Ledger:
    """The ledger in the run directory, empty if there is no file. Raises StateFileError if it cannot be read."""
    try:
        fd = os.open(run / "ledger.json", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe must not block
        with os.fdopen(fd, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return Ledger()
    except OSError as error:
        raise StateFileError(run / "ledger.json", error.strerror, hint="run as root") from None
    try:
        ledger = documents.decode(data, Ledger, str(run / "ledger.json"), _problems)
    except DocumentError as error:
        hint = "if it was edited, move it away; groups called cachetune-... are still recognized"
        raise StateFileError(run / "ledger.json", error.reason, hint=hint) from None
    return ledger if ledger.boot_id == boot_id() else Ledger()


def _problems(ledger: Ledger) -> Iterator[str]:
    """What contradicts itself in a ledger."""
    yield from repeated("group", (path for entry in ledger.guests.values() for path in entry.groups))
    for machine, entry in ledger.guests.items():
        for path in entry.groups:
            if path == DEFAULT_GROUP or kind_of(path) is None or not machine_of(path, [machine]):
                yield f"{path!r} is not the path of a group of {machine!r}"
    if ledger.shrunk:
        yield from _shrink_problems(ledger.shrunk)
    for name, cache_id, mask in ledger.initial.masks.entries():
        if cache_resource(name) is None or cache_id < 0 or not mask:
            yield f"initial: {name} cache {cache_id} = {mask:x} is not a mask of a cache"
    for name, node, value in ledger.initial.bandwidth.entries():
        if name not in BANDWIDTH_RESOURCES or node < 0 or value < 0:
            yield f"initial: {name} {node} = {value} is not a bandwidth"


def _shrink_problems(shrunk: DefaultShrink) -> Iterator[str]:
    before, after, shared = shrunk.before, shrunk.after, shrunk.shared
    for name, cache_id in sorted(before.places() ^ after.places() | shared.places() - before.places()):
        yield f"shrunk: before, after and shared differ in whether they have {name} cache {cache_id}"
    for name, cache_id, mask in before.entries():
        left, common = after.at(name, cache_id) or Cbm(0), shared.at(name, cache_id) or Cbm(0)
        where = f"shrunk: {name} cache {cache_id}"
        if cache_resource(name) is None or cache_id < 0:
            yield f"{where} is not a cache"
        if not left or left & mask == mask:
            yield f"{where} was {mask:x} and is {left:x}, which gives nothing up"
        if common & ~mask:
            yield f"{where} shared {common:x}, which is not within {mask:x}"


def save_ledger(ledger: Ledger, run: Path) -> None:
    """Replace the ledger; the caller holds the lock. Raises OSError."""
    replace_file(run / "ledger.json", documents.encode(ledger), sole_writer=True)


def save_ledger_if_changed(ledger: Ledger, run: Path) -> None:
    """Save a ledger that differs from the one on disk; failing to is harmless after a run that changed nothing."""
    with contextlib.suppress(OSError, StateFileError):
        if load_ledger(run) != ledger:
            save_ledger(ledger, run)
