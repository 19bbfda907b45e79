"""Record the counters of a host into a history until it is stopped: one look and one moment each interval.

A host that cannot be read, and a full disk, are reported when that begins and when it ends; what cannot be recorded in
between is missing from the history.
"""

from collections.abc import Callable, Iterable
from typing import Literal

from cachetune.errors import CachetuneError, HistoryDamagedError
from cachetune.service.notes import NewNotes
from cachetune.service.readings import HostReadings, Watcher
from cachetune.text import count
from cachetune.watch.history import Recorder
from cachetune.watch.usage import moment_of

Report = Callable[[Literal["warning", "notice"], str], None]


class Recording:
    """Adds readings to a history, and reports what is missing from it."""

    def __init__(self, recorder: Recorder, report: Report) -> None:
        self.recorded = 0
        self._recorder, self._report = recorder, report
        self._missing = 0
        self._problem = ""
        self._notes = NewNotes()

    def add(self, seen: HostReadings) -> None:
        """Add the moment of these readings. Raises HistoryDamagedError: nothing can be added after that."""
        for note in self._notes.new(seen.notes):
            self._report("warning", note)
        try:
            self._recorder.add(moment_of(seen.readings, seen.host))
        except HistoryDamagedError:
            raise
        except CachetuneError as error:
            self.miss(error)
            return
        if self._missing:
            self._report("notice", f"recording again; {count(self._missing, 'moment')} missing")
        self.recorded += 1
        self._missing, self._problem = 0, ""

    def miss(self, error: CachetuneError) -> None:
        """Report why nothing can be recorded now, once for each reason."""
        self._missing += 1
        if str(error) != self._problem:
            self._problem = str(error)
            self._report("warning", f"{error}; not recording")


def record(watcher: Watcher, recording: Recording, ticks: Iterable[int], ready: Callable[[], object]) -> None:
    """Record at each tick; ``ready`` is called after the first look.

    Raises what the first look raises; later ones are tried again. Raises HistoryDamagedError.
    """
    for tick in ticks:
        try:
            seen = watcher.look()
        except CachetuneError as error:
            if tick == 0:
                raise
            recording.miss(error)
            continue
        if tick == 0:
            ready()
        recording.add(seen)
