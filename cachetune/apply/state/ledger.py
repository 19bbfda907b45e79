"""The ledger: which groups are ours, for which guest, and what the default group had before it was shrunk.

One small JSON file in the run directory, replaced as a whole. It dies with the reboot, as resctrl's state does; if it
is lost, groups whose name starts with ``cachetune-`` are still known by their name.
"""

import contextlib
from pathlib import Path
from typing import Literal, assert_never

import msgspec

from cachetune import documents
from cachetune.apply.state.journal import boot_id
from cachetune.cbm import Cbm
from cachetune.errors import DocumentError, StateFileError
from cachetune.files import replace_file
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.host.resctrl.schemata import parse
from cachetune.plan.diff import masks_described
from cachetune.plan.groups.names import machine_of
from cachetune.plan.model import DefaultShrink, Plan
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, WriteFile, WriteSchemata

Masks = dict[str, dict[int, Cbm]]


class GuestEntry(msgspec.Struct, frozen=True):
    """The groups made for one guest."""

    name: str
    uuid: str | None
    groups: tuple[str, ...]


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Guests by machine name, and the default group's masks ``before`` and ``after`` the shrinking that still holds.

    It is of the boot ``boot_id`` only; after a restart resctrl has none of it.
    """

    schema_version: Literal[1] = 1
    boot_id: str = ""
    guests: dict[str, GuestEntry] = {}
    shrunk: DefaultShrink | None = None

    @property
    def owned(self) -> frozenset[str]:
        """Every group that we made."""
        return frozenset(path for guest in self.guests.values() for path in guest.groups)

    def groups_of(self, machine: str) -> frozenset[str]:
        """The groups of one guest."""
        entry = self.guests.get(machine)
        return frozenset(entry.groups) if entry else frozenset()

    def after(self, plan: Plan) -> "Ledger":
        """The ledger once the plan has been carried out. Doing this twice changes nothing."""
        groups = {machine: set(self.groups_of(machine)) for machine in plan.machine_names}
        shrunk = self.shrunk
        for step in plan.steps:
            match step:
                case CreateGroup(path):
                    groups.setdefault(machine_of(path, groups), set()).add(path)
                case RemoveGroup(path):
                    for of in groups.values():
                        of.discard(path)
                case WriteSchemata(path, old, new):
                    if path == DEFAULT_GROUP:
                        before = parse(old).masks
                        shrunk = follow_shrink(shrunk, before, parse(new).masks, _shared(before, plan))
                case WriteFile() | MoveTasks():
                    pass
                case _:
                    assert_never(step)
        guests = {name: entry for name, entry in self.guests.items() if name not in groups}
        for planned in plan.guests:
            machine = planned.machine_name
            if groups[machine]:
                known = self.guests.get(machine)
                guest = known if known and not planned.name else planned
                uuid = guest.uuid or (known.uuid if known else None)
                guests[machine] = GuestEntry(guest.name, uuid, tuple(sorted(groups[machine])))
        return Ledger(boot_id=boot_id(), guests=guests, shrunk=shrunk)

    def with_shrunk(self, kept: DefaultShrink) -> "Ledger":
        """The ledger with ways in it that the default group has given up and could not get back."""
        return Ledger(boot_id=boot_id(), guests=self.guests, shrunk=follow_shrink(self.shrunk, kept.before, kept.after))

    def without_lost(self, host: Host) -> "Ledger":
        """The ledger without groups that are no longer there: whoever makes such a group again owns it."""
        guests = {}
        for machine, entry in self.guests.items():
            left = tuple(path for path in entry.groups if host.group(path))
            if left:
                guests[machine] = GuestEntry(entry.name, entry.uuid, left)
        return Ledger(boot_id=self.boot_id, guests=guests, shrunk=self.shrunk)


def load_ledger(run: Path) -> Ledger:
    """The ledger in the run directory; an empty one where there is none. Raises StateFileError if it cannot be read."""
    try:
        data = (run / "ledger.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return Ledger()
    except OSError as error:
        raise StateFileError(run / "ledger.json", error.strerror, hint="run as root") from None
    try:
        ledger = documents.decode(data, Ledger, str(run / "ledger.json"))
    except DocumentError as error:
        raise StateFileError(run / "ledger.json", error.reason, hint=error.hint) from None
    return ledger if ledger.boot_id == boot_id() else Ledger()


def save_ledger(ledger: Ledger, run: Path) -> None:
    """Replace the ledger; the caller holds the lock. Raises OSError."""
    replace_file(run / "ledger.json", documents.encode(ledger), sole_writer=True)


def save_ledger_if_changed(ledger: Ledger, run: Path) -> None:
    """Save a ledger that differs from the one on disk; not being able to is no harm where nothing was done."""
    with contextlib.suppress(OSError, StateFileError):
        if load_ledger(run) != ledger:
            save_ledger(ledger, run)


def follow_shrink(
    shrunk: DefaultShrink | None, before: Masks, after: Masks, shared: Masks | None = None
) -> DefaultShrink | None:
    """How far the default group is shrunk after one more write: the oldest masks, less those that it has back."""
    first, last, common = _copies(shrunk)
    for name, masks in after.items():
        for cache_id, mask in masks.items():
            was = before.get(name, {}).get(cache_id, mask)
            if last.get(name, {}).get(cache_id) not in (was, mask):
                first.setdefault(name, {})[cache_id] = was
                common.setdefault(name, {})[cache_id] = (shared or {}).get(name, {}).get(cache_id, Cbm(0))
            original = first.setdefault(name, {}).setdefault(cache_id, was)
            last.setdefault(name, {})[cache_id] = mask
            if mask & original == original:
                for of in (first, last, common):
                    of.get(name, {}).pop(cache_id, None)
    kept = {name: of for name, of in first.items() if of}
    if not kept:
        return None
    return DefaultShrink(kept, {name: last[name] for name in kept}, {name: common.get(name, {}) for name in kept})


def _copies(shrunk: DefaultShrink | None) -> tuple[Masks, Masks, Masks]:
    all_of = (shrunk.before, shrunk.after, shrunk.shared) if shrunk else ({}, {}, {})
    first, last, common = ({name: dict(masks) for name, masks in of.items()} for of in all_of)
    return first, last, common


def _shared(before: Masks, plan: Plan) -> Masks:
    """The default group's ways that other groups had as well; groups with just its mask follow it and do not count."""
    others = [masks for path, masks in masks_described(plan.host_groups).items() if path != DEFAULT_GROUP]
    shared: Masks = {}
    for name, masks in before.items():
        for cache_id, mask in masks.items():
            theirs = 0
            for of in others:
                held = of.get(name, {}).get(cache_id, Cbm(0))
                theirs |= held if held != mask else 0
            shared.setdefault(name, {})[cache_id] = Cbm(mask & theirs)
    return shared
