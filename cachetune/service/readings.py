"""Read the counters of the groups of a selection, once or again and again."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self

import msgspec
from msgspec.structs import replace

from cachetune.domain.model import Domain
from cachetune.errors import HostError, InputError
from cachetune.host.model import Host
from cachetune.host.resctrl.port import Resctrl
from cachetune.service.connection import Location, open_resctrl
from cachetune.service.hosts import HostReading, read_tree
from cachetune.service.notes import noted
from cachetune.service.requests import Document, load_document
from cachetune.service.select import SelectedGroups, Selection, select_groups
from cachetune.watch import GroupSample, Reading, Readings, Sample, Sampler, rated, read_counters, uncounted
from cachetune.watch.counters import events_of, labels
from cachetune.watch.partial import Places, with_partial_sums


class HostReadings(msgspec.Struct, frozen=True):
    """The readings, their host, and ``notes``: warnings."""

    readings: Readings
    host: Host
    notes: tuple[str, ...] = ()


class _Chosen(msgspec.Struct, frozen=True):
    """The groups to read, as ``labels`` without counters, on the host as it was when they were chosen."""

    reading: HostReading
    groups: SelectedGroups
    labels: tuple[Reading, ...]
    lacking: Mapping[str, Places]

    def readings(self, began: float, monitors: Iterable[Reading]) -> HostReadings:
        """What was read at ``began``."""
        host = self.reading.host
        readings = Readings(source=host.source, time=round(began, 6), monitors=tuple(monitors))
        return HostReadings(readings, host, (*self.reading.notes, *self.groups.notes))


def read_monitors(location: Location, selection: Selection, document: Document | None = None) -> HostReadings:
    """Read every counter of the selected groups, or of those of a document's domain.

    Raises HostError for a host without monitoring, InvalidDomainError, InputError if the selection has no groups, and
    ResctrlError.
    """
    resctrl = open_resctrl(location)
    began = time.time()
    reading = _read(resctrl, location)
    domain = _domain_in(document, selection)
    with noted(reading.notes):
        chosen = _chosen(reading, select_groups(reading.host, selection, domain, reading.ledger))
        monitors = read_counters(resctrl, reading.host, chosen.groups.paths, reading.ledger.guest_names)
    return chosen.readings(began, monitors)


class Watcher:
    """Looks at the groups of a selection again and again: each look reads every counter once, of ``events`` or of all.

    The host is read again, and groups are selected, after a run of cachetune, when groups appear or are removed, and
    every few seconds. Close it, or use it in a with statement: what it keeps open keeps resctrl from being unmounted.
    """

    def __init__(
        self,
        location: Location,
        selection: Selection,
        document: Document | None = None,
        events: Collection[str] | None = None,
    ) -> None:
        self._location, self._selection = location, selection
        self._domain = _domain_in(document, selection)
        self._events = events
        self._sampler = Sampler(
            lambda: open_resctrl(location), lambda: events_of(self._chosen.reading.host), self._choose, events
        )
        self._chosen: _Chosen
        self._has_looked = False
        self._before: Mapping[str, GroupSample] = {}
        self._runs = self._runs_so_far()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close everything. The next look opens it again, and has no rates."""
        self._sampler.close()

    def look(self) -> HostReadings:
        """Read the counters, with rates from the second look on.

        The first look raises what ``read_monitors`` raises, and InputError for an event that the host does not count.
        Later, a selection without groups is a note: a guest may end and be started again.
        """
        if (runs := self._runs_so_far()) != self._runs:
            self._sampler.rescan()
            self._runs = runs
        sample = self._sampler.sample()
        monitors = [self._reading(label, sample) for label in self._chosen.labels]
        self._before, self._has_looked = sample.groups, True
        return self._chosen.readings(sample.time, monitors)

    def _runs_so_far(self) -> int:
        """A number that changes with each run, which makes a journal in the run directory and deletes it."""
        try:
            return self._location.run.stat().st_mtime_ns
        except OSError:  # there has been no run, or it is closed to this user
            return 0

    def _choose(self, resctrl: Resctrl, _paths: Sequence[str]) -> tuple[str, ...]:
        reading = _read(resctrl, self._location)
        if not self._has_looked:
            _check_events(reading.host, self._events or ())
        try:
            with noted(reading.notes):
                groups = select_groups(reading.host, self._selection, self._domain, reading.ledger)
        except InputError as error:
            if not self._has_looked:
                raise
            groups = SelectedGroups((), (str(error),))
        self._chosen = _chosen(reading, groups)
        return groups.paths

    def _reading(self, label: Reading, sample: Sample) -> Reading:
        after = sample.groups.get(label.path)
        counters = rated(self._before.get(label.path), after) if after else ()
        return with_partial_sums(replace(label, counters=counters), self._chosen.lacking)


def _read(resctrl: Resctrl, location: Location) -> HostReading:
    reading = read_tree(resctrl, location)
    if not reading.host.monitors:
        raise HostError(reading.host.source, "no monitoring", hint="info/L3_MON is missing")
    return reading


def _check_events(host: Host, events: Iterable[str]) -> None:
    """Raise InputError for an event that the host does not count."""
    known = [name for names in events_of(host).values() for name in names if not name.endswith("_config")]
    for event in events:
        if event not in known:
            raise InputError(f"{host.source} does not count {event!r}", hint=f"its events: {', '.join(known)}")


def _domain_in(document: Document | None, selection: Selection) -> Domain | None:
    if document is None:
        return None
    domain = load_document(document)[0]
    if not (domain.name or selection.guest or selection.machine_name):
        raise InputError(f"{document.name} does not name its guest", hint="pass --guest NAME")
    return domain


def _chosen(reading: HostReading, groups: SelectedGroups) -> _Chosen:
    host = reading.host
    return _Chosen(reading, groups, tuple(labels(host, groups.paths, reading.ledger.guest_names)), uncounted(host))
