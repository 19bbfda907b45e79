"""The states of the running guests again and again: what is as it was is not planned again.

Whether a guest has what it requests follows from the guests, their tuning files, the host, the ledger and the options.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from cachetune.apply.state.ledger import Ledger
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import FileState, path_for, state_of_file
from cachetune.guests.watcher import GuestWatcher
from cachetune.host.model import Host
from cachetune.plan.request import Options
from cachetune.service.connection import Location
from cachetune.service.hosts import HostReading, for_planning
from cachetune.service.select import Selection
from cachetune.service.status import GuestState, state_of, tunings_of


class _Given(NamedTuple):
    """What the states follow from. None for a file that changed a moment ago: its state proves nothing."""

    running: tuple[RunningGuest, ...]
    files: tuple[FileState | None, ...]
    host: Host
    ledger: Ledger
    options: Options


class GuestStates:
    """The states of all running guests of a live host, as ``status.guest_states`` has them.

    ``options`` returns those with which the requests are planned, at each look. ``clock`` is in seconds since 1970.
    """

    def __init__(
        self,
        location: Location,
        selection: Selection,
        options: Callable[[], Options] = Options,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._run, self._guests_d = location.run, selection.guests_d
        self._options, self._clock = options, clock
        self._watcher = GuestWatcher(selection.sources, selection.source)
        self._given: _Given | None = None
        self._found: tuple[GuestState, ...] = ()

    def look(self, reading: HostReading) -> tuple[GuestState, ...]:
        """The states on this host, which has just been read. Raises what ``guests.find.look`` raises."""
        running = self._watcher.look()
        host = for_planning(reading.host, self._run)
        given = _Given(running, self._files(running), without_other_threads(host), reading.ledger, self._options())
        if given != self._given or None in given.files:
            tunings = tunings_of(running, self._guests_d, replace(reading, host=host), given.options)
            self._found = tuple(state_of(one, tuning, host) for one, tuning in zip(running, tunings, strict=True))
            self._given = given
        return self._found

    def _files(self, running: Sequence[RunningGuest]) -> tuple[FileState | None, ...]:
        paths = (path_for(guest.name, self._guests_d) for guest in running)
        return tuple(state_of_file(path, self._clock()) if path else () for path in paths)


def without_other_threads(host: Host) -> Host:
    """The host without the threads of its default group, which every program that starts changes: no plan needs them.

    Only whether there are any is kept.
    """
    default, *others = host.groups
    return replace(host, groups=(replace(default, tids=default.tids and (0,)), *others))
