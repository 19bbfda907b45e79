"""Look at a host again and again: the counters of its groups, what is used and left, and the states of its guests."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Self

import msgspec

from cachetune.apply.state.ledger import load_ledger
from cachetune.guests.proc.programs import canonical_uuid
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.host.usage import HostUsage
from cachetune.plan.groups.names import belongs_to
from cachetune.plan.request import Options
from cachetune.service.connection import Location
from cachetune.service.hosts import HostReading, read_location
from cachetune.service.idle import usage_on
from cachetune.service.readings import HostReadings, Watcher
from cachetune.service.select import Selection
from cachetune.service.states import GuestStates
from cachetune.service.status import GuestState
from cachetune.watch.counters import events_of

if TYPE_CHECKING:
    from cachetune.host.model import Host


class Look(msgspec.Struct, frozen=True):
    """One look at a host. Idle ways and running ``guests``, those that are selected, are known of a live one."""

    seen: HostReadings
    usage: HostUsage
    is_live: bool
    guests: tuple[GuestState, ...] = ()


class Looker:
    """Looks through a ``Watcher`` at those of ``events`` that the host counts.

    What is used is counted, and guests are looked for, only when the host has been read again. ``options`` returns
    those with which their requests are planned. Close it, or use it in a with statement. One thread may use it at a
    time.
    """

    def __init__(
        self,
        location: Location,
        selection: Selection,
        events: Collection[str],
        options: Callable[[], Options] = Options,
    ) -> None:
        self._location, self._selection, self._events = location, selection, events
        self._states = GuestStates(location, selection, options)
        self._watcher: Watcher | None = None
        self._host: Host | None = None
        self._usage: HostUsage | None = None
        self._guests: tuple[GuestState, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close everything. The next look opens it again."""
        if self._watcher:
            self._watcher.close()

    def look(self) -> Look:
        """Look once, with rates from the second time on.

        Raises what ``Watcher.look`` and ``guests.find.look`` raise, and StateFileError.
        """
        self._watcher = self._watcher or self._new_watcher()
        seen = self._watcher.look()
        is_live = self._location.host is None and SysfsResctrl(self._location.resctrl).is_live
        if seen.host is not self._host or self._usage is None:
            reading = HostReading(seen.host, load_ledger(self._location.run))
            self._usage = usage_on(self._location, reading)
            self._guests = tuple(filter(self._is_selected, self._states.look(reading))) if is_live else ()
            self._host = seen.host
        return Look(seen, self._usage, is_live, self._guests)

    def _is_selected(self, guest: GuestState) -> bool:
        name, machine = self._selection.guest, self._selection.machine_name
        if name is not None:
            return guest.name == name or (guest.uuid is not None and guest.uuid == canonical_uuid(name))
        return machine is None or any(belongs_to(path, machine) for path in guest.groups)

    def _new_watcher(self) -> Watcher:
        counted = {name for names in events_of(read_location(self._location).host).values() for name in names}
        return Watcher(self._location, self._selection, events=[name for name in self._events if name in counted])
