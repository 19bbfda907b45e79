"""Look for the running guests again and again, as cheaply as that can be done without missing a change.

A search reads every thread of every emulator and asks all sources. What it finds follows from the processes and their
threads (``cachetune.guests.proc.traces``) and from libvirt's status files, so while these are the same, so are the
guests. Three things change without a trace: the names and cgroups of threads that have just started, the XML that
libvirt's API returns, and the CPUs that a thread may run on. So a result is used again only if the traces had been the
same for ``SETTLED_SECONDS`` when it was found, and for at most ``RENEWED_SECONDS``.
"""

import math
import os
import time
from collections.abc import Callable

from cachetune.guests.find import running_guests
from cachetune.guests.model import RunningGuest
from cachetune.guests.proc.traces import Trace, Traces
from cachetune.guests.sources import SourceName
from cachetune.guests.sources.options import SourceOptions

SETTLED_SECONDS = 10.0
RENEWED_SECONDS = 60.0

_Files = tuple[tuple[str, int, int, int], ...]


class GuestWatcher:
    """Finds the running guests as ``find.running_guests`` does. ``clock`` is in monotonic seconds."""

    def __init__(
        self, options: SourceOptions, source: SourceName | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options, self._source, self._clock = options, source, clock
        self._traces = Traces(options.proc)
        self._found: tuple[RunningGuest, ...] = ()
        self._evidence: tuple[tuple[Trace, ...], _Files] | None = None
        self._since = self._searched = 0.0

    def look(self) -> tuple[RunningGuest, ...]:
        """The running guests; a guest that is as it was is the same object. Raises as ``running_guests`` does."""
        now = self._clock()
        evidence = (self._traces.take(), self._status_files())
        if evidence != self._evidence:
            self._evidence, self._since = evidence, now
        elif not self._is_due(now):
            return self._found
        try:
            guests = running_guests(self._options, self._source)
        except BaseException:
            self._evidence = None  # whatever the reason is, it has to be found again
            raise
        self._searched = now
        known = {guest.guest.pid: guest for guest in self._found}
        self._found = tuple(old if (old := known.get(guest.guest.pid)) == guest else guest for guest in guests)
        return self._found

    def _is_due(self, now: float) -> bool:
        """Whether to search, although nothing seems to have changed."""
        is_settled = self._searched - self._since >= SETTLED_SECONDS
        return not is_settled or now - self._searched >= RENEWED_SECONDS

    def forget(self) -> None:
        """Search again next time, whatever the traces say."""
        self._searched = -math.inf

    def _status_files(self) -> _Files:
        """libvirt's status files. libvirt replaces them; none of them is written to."""
        try:
            with os.scandir(self._options.libvirt_run) as entries:
                found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except OSError:  # no such directory, or a file has just been replaced
            return ()
        return tuple(sorted((name, about.st_ino, about.st_mtime_ns, about.st_ctime_ns) for name, about in found))
