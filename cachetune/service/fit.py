"""Which hosts can take guests: every snapshot is read and asked once, on all processors if there are many.

Each host is released once it has answered, so that the memory needed is that of the answers.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from cachetune.fleet.fit import fit, fit_together
from cachetune.fleet.model import Fit, FleetFit, FleetHost, GuestFit, Unusable
from cachetune.fleet.ranking import ranked
from cachetune.fleet.snapshots import STALE_SECONDS, Snapshot, counted
from cachetune.plan.request import Options
from cachetune.service.fleet_files import FleetGuest, SnapshotFile, find_files, read_candidate, snapshot_of
from cachetune.service.workers import map_forked

MANY = 100
"""From this number of plans on, all processors are used, and progress is reported."""

Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


class _Answers(NamedTuple):
    """What one snapshot has answered, for each guest in order."""

    snapshot: Snapshot
    fits: tuple[Fit, ...]


def fit_guests(
    names: Sequence[str],
    options: Options,
    *,
    spread: bool = False,
    together: bool = False,
    stale_seconds: float = STALE_SECONDS,
    progress: Progress | None = None,
) -> FleetFit:
    """Ask all hosts about all guests, each guest on its own, or with ``together`` after those before it.

    ``names`` are those of ``find_files``. For many hosts ``progress`` is entered with their number, and what it yields
    is called with the number that has answered so far. Raises CachetuneError if a worker process is killed.
    """
    files = find_files(names)
    ask = partial(_ask, guests=files.guests, options=options, together=together)
    answers = _ask_all(files.snapshots, ask, len(files.guests), progress) if files.guests else []
    answered = [each for each in answers if isinstance(each, _Answers)]
    named = counted(each.snapshot for each in answered)
    hosts = [_named(each, named.names) for each in answered if each.snapshot.file in named.names]
    now = time.time()
    return FleetFit(
        spread=spread,
        guests=tuple(
            GuestFit(
                guest.domain.name,
                guest.file,
                guest.findings,
                ranked((host.fits[number] for host in hosts), spread=spread),
            )
            for number, guest in enumerate(files.guests)
        ),
        hosts=tuple(fleet_host(each.snapshot, named.older, now, stale_seconds) for each in hosts),
        unusable=(*files.unusable, *(each for each in answers if isinstance(each, Unusable))),
    )


def _ask_all(
    snapshots: Sequence[SnapshotFile],
    ask: Callable[[SnapshotFile], _Answers | Unusable],
    guests: int,
    progress: Progress | None,
) -> list[_Answers | Unusable]:
    many = len(snapshots) * guests >= MANY
    jobs = len(os.sched_getaffinity(0)) if many else 1
    if progress is None or not many:
        return map_forked(ask, snapshots, jobs, None)
    with progress(len(snapshots)) as tick:
        return map_forked(ask, snapshots, jobs, tick)


def _ask(
    snapshot: SnapshotFile, guests: Iterable[FleetGuest], options: Options, *, together: bool
) -> _Answers | Unusable:
    found = read_candidate(snapshot)
    if isinstance(found, Unusable):
        return found
    domains = [guest.domain for guest in guests]
    fits = fit_together(domains, found, options) if together else (fit(each, found, options) for each in domains)
    return _Answers(snapshot_of(found), tuple(fits))


def _named(answers: _Answers, names: dict[str, str]) -> _Answers:
    name = names[answers.snapshot.file]
    if name == answers.snapshot.hostname:
        return answers
    return _Answers(answers.snapshot._replace(hostname=name), tuple(replace(fit, host=name) for fit in answers.fits))


def fleet_host(snapshot: Snapshot, older: dict[str, tuple[str, ...]], now: float, stale_seconds: float) -> FleetHost:
    """A snapshot that counts, by its name, with its age."""
    age = None if snapshot.taken is None else max(now - snapshot.taken, 0.0)
    return FleetHost(
        host=snapshot.hostname,
        file=snapshot.file,
        taken=snapshot.taken,
        age_seconds=age,
        stale=age is not None and age > stale_seconds,
        older=older.get(snapshot.file, ()),
    )
