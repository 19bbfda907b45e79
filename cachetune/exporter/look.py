"""Look at a host for the exporter: the counters once per interval, what is slower to find out less often.

Nothing is read unless it is scraped. A part that cannot be read is counted by reason and reported once, and
the others are not affected.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import msgspec

from cachetune.agent import status_file
from cachetune.agent.effective import effective_options
from cachetune.agent.model import AgentStatus
from cachetune.apply.state import journal
from cachetune.errors import CachetuneError, LockTimeoutError, NotMountedError, error_text
from cachetune.exporter.model import Reason, Seen
from cachetune.guests.find import look, most_trusted
from cachetune.host.model import Host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.service.connection import Location
from cachetune.service.hosts import HostReading, read_for_planning, read_location
from cachetune.service.idle import usage_on
from cachetune.service.readings import Watcher
from cachetune.service.select import Selection
from cachetune.service.status import Tuning, TuningState, tunings_of
from cachetune.watch import Reading
from cachetune.watch.counters import labels

if TYPE_CHECKING:
    from cachetune.guests.model import RunningGuest

GUESTS_SECONDS = 15.0
"""How often, at most, guests are looked for and compared with their requests: each is planned."""

Report = Callable[[Reason, str], object]

# Guests of one name, the worst first.
_WORST: tuple[TuningState, ...] = ("invalid", "refused", "drifted", "unknown", "no resctrl", "none", "applied")


def _badness(tuning: Tuning) -> int:
    return _WORST.index(tuning.state)


class _Slow(msgspec.Struct, frozen=True):
    """What is not looked at each time, and when it was, in seconds of the monotonic clock."""

    seconds: float
    host: HostReading | None = None
    idle_ways: Mapping[tuple[str, int], int] | None = None
    guests: Mapping[str, Tuning] = {}


class Observer:
    """Looks at the host of a location at most once per ``interval`` seconds, for any number of threads.

    ``report`` gets each new problem by reason, and "" once it is solved. Use it in a with statement: it keeps
    files open.
    """

    def __init__(
        self,
        location: Location,
        selection: Selection,
        interval: float,
        report: Report = lambda _reason, _text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._location, self._selection, self._interval = location, selection, interval
        self._report, self._clock = report, clock
        self._watcher = Watcher(location, Selection(foreign=True))
        self._lock = threading.Lock()
        self._seen: Seen | None = None
        self._began = self._due = clock()
        self._slow: _Slow | None = None
        self._errors: dict[Reason, int] = {}
        self._problems: dict[Reason, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._watcher.close()

    def seen(self) -> Seen:
        """The look of this interval. Intervals follow one another from the start, so a tick never gets an old one."""
        with self._lock:
            now = self._clock()
            if self._seen is None or now >= self._due:
                passed = (now - self._began) // self._interval
                self._due = self._began + (passed + 1) * self._interval
                self._seen = self._look(now)
            return self._seen

    def _look(self, now: float) -> Seen:
        began = time.time()
        slow = self._slow
        if slow is None or slow.host is None or now - slow.seconds >= max(GUESTS_SECONDS, self._interval):
            slow = self._slow = self._slow_look(now)
        host, groups = self._counters(slow)
        agent = self._agent()
        return Seen(
            host=host,
            groups=groups,
            idle_ways=slow.idle_ways,
            guests=slow.guests,
            agent=agent,
            agent_is_alive=agent is not None and status_file.is_alive(agent),
            interrupted=self._is_interrupted(),
            errors=dict(self._errors),
            looks=self._seen.looks + 1 if self._seen else 1,
            time=began,
            duration=self._clock() - now,
        )

    def _counters(self, slow: _Slow) -> tuple[Host | None, tuple[Reading, ...]]:
        """The host and its groups; without their counters where these cannot be read, or there are no counters."""
        known = slow.host
        if known is None or known.host.monitors:
            with self._counted("counters"):
                found = self._watcher.look()
                return found.host, tuple(group for group in found.readings.monitors if group.counters)
        if known is not None:
            with self._counted("host"):
                reading = read_location(self._location)
                paths = [group.path for group in reading.host.groups]
                return reading.host, tuple(labels(reading.host, paths, reading.ledger.guest_names))
        return None, ()

    def _slow_look(self, now: float) -> _Slow:
        reading, idle, guests = None, None, dict[str, Tuning]()
        with self._counted("host"):
            reading = read_location(self._location)
            usage = usage_on(self._location, reading)
            idle = {(ways.resource, ways.id): ways.ways.bit_count() for ways in usage.idle}
        if self._location.host is None:  # another host has other guests
            with self._counted("guests"):
                guests = self._guests()
        return _Slow(now, reading, idle, guests)

    def _guests(self) -> dict[str, Tuning]:
        """The request of each running guest that has a name, and its state."""
        running = look(self._selection.sources, self._selection.source).guests
        try:
            planning = read_for_planning(self._location)
        except CachetuneError:  # counted where the host is read
            planning = None
        effective = effective_options(self._location, self._selection)
        states = tunings_of(running, self._selection.guests_d, planning, effective.options)
        by_name: dict[str, list[tuple[RunningGuest, Tuning]]] = {}
        for guest, tuning in zip(running, states, strict=True):
            if guest.name:
                by_name.setdefault(guest.name, []).append((guest, tuning))
        found = {}
        for name, same in by_name.items():
            trusted = most_trusted([guest for guest, _ in same])
            found[name] = min((tuning for guest, tuning in same if guest in trusted), key=_badness)
        return found

    def _agent(self) -> AgentStatus | None:
        with self._counted("agent_status"):
            return status_file.read(self._location.run) if self._location.host is None else None
        return None

    def _is_interrupted(self) -> bool:
        """Whether there is a journal although no run has the lock. While it has, this is what it was before."""
        location = self._location
        if location.host is not None or not journal.exists(location.run):
            return False
        try:
            with SysfsResctrl(location.resctrl).lock(exclusive=False, timeout=0):
                return journal.exists(location.run)
        except LockTimeoutError:
            return self._seen is not None and self._seen.interrupted
        except CachetuneError:  # no resctrl, so no run
            return True

    @contextmanager
    def _counted(self, part: Reason) -> Iterator[None]:
        """Count and report a failure of the block, and continue after it."""
        text = ""
        try:
            yield
        except (CachetuneError, OSError) as error:
            reason: Reason = "not_mounted" if isinstance(error, NotMountedError) else part
            self._errors[reason] = self._errors.get(reason, 0) + 1
            text = error_text(error)
        before, others = self._problems.get(part, ""), [other for key, other in self._problems.items() if key != part]
        self._problems[part] = text
        if text != before and (text or before) not in others:  # one cause can be a problem of several parts
            self._report(part, text)
