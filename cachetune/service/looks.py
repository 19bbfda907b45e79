"""Look at a host again and again: the counters of its groups, and what is used and left."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Self

import msgspec

from cachetune.apply.state.ledger import load_ledger
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.host.usage import HostUsage
from cachetune.service.connection import Location
from cachetune.service.hosts import HostReading, read_location
from cachetune.service.idle import usage_on
from cachetune.service.readings import HostReadings, Watcher
from cachetune.service.select import Selection
from cachetune.watch.counters import events_of

if TYPE_CHECKING:
    from cachetune.host.model import Host


class Look(msgspec.Struct, frozen=True):
    """One look at a host. Idle ways are known of a live one (``is_live``)."""

    seen: HostReadings
    usage: HostUsage
    is_live: bool


class Looker:
    """Looks through a ``Watcher`` at those of ``events`` that the host counts.

    What is used is counted only when the host has been read again. Close it, or use it in a with statement. One thread
    may use it at a time.
    """

    def __init__(self, location: Location, selection: Selection, events: Collection[str]) -> None:
        self._location, self._selection, self._events = location, selection, events
        self._watcher: Watcher | None = None
        self._host: Host | None = None
        self._usage: HostUsage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close everything. The next look opens it again."""
        if self._watcher:
            self._watcher.close()

    def look(self) -> Look:
        """Look once, with rates from the second time on. Raises what ``Watcher.look`` raises, and StateFileError."""
        self._watcher = self._watcher or self._new_watcher()
        seen = self._watcher.look()
        if seen.host is not self._host or self._usage is None:
            self._usage = usage_on(self._location, HostReading(seen.host, load_ledger(self._location.run)))
            self._host = seen.host
        is_live = self._location.host is None and SysfsResctrl(self._location.resctrl).is_live
        return Look(seen, self._usage, is_live)

    def _new_watcher(self) -> Watcher:
        counted = {name for names in events_of(read_location(self._location).host).values() for name in names}
        return Watcher(self._location, self._selection, events=[name for name in self._events if name in counted])
