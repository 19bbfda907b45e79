"""The run directory: journal, ledger, agent, room, and the clock."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import cachetune
from cachetune.agent import status_file
from cachetune.apply.state import journal, reservations
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.doctor.collect.reading import obstacle, unreadable
from cachetune.doctor.examination import Agent, Clock, Journal, Space, Unknown
from cachetune.errors import JournalDamagedError, LockTimeoutError, ResctrlError, StateFileError
from cachetune.host.model import Host
from cachetune.host.resctrl.files import SysfsResctrl

_A_MOMENT = 0.2


def journal_of(run: Path, fs: SysfsResctrl | None) -> Journal | Unknown | None:
    """The journal of a run that is not finished, None without one."""
    path = run / "journal.jsonl"
    if not journal.exists(run):
        return None
    if why := obstacle(path):
        return why
    runs = _lock_holder(fs)
    try:
        unfinished = journal.read(run)
    except JournalDamagedError as error:
        return Journal((), damage=error.reason or "it cannot be read", runs=runs)
    if unfinished is None:
        return None  # it was finished between the two looks
    machines = unfinished.plan.machine_names if unfinished.plan else ()
    return Journal(machines, same_boot=unfinished.same_boot, runs=runs)


def _lock_holder(fs: SysfsResctrl | None) -> int | None:
    """The process that holds the lock on resctrl, which a run holds until it ends; 0 if it is not known which."""
    if fs is None or not fs.is_live:
        return None
    try:
        with fs.lock(exclusive=False, timeout=_A_MOMENT):
            return None
    except LockTimeoutError as error:
        return error.holder or 0
    except ResctrlError:
        return None


def ledger_of(run: Path) -> tuple[Ledger | Unknown, str]:
    """The ledger, and what is wrong with its file ("" if nothing is)."""
    path = run / "ledger.json"
    if why := obstacle(path):
        return why, ""
    try:
        return load_ledger(run), ""
    except StateFileError as error:
        return Ledger(), error.reason or "it cannot be read"


def expected_groups(host: Host, run: Path) -> tuple[str, ...]:
    """The groups that are reserved for guests that are starting."""
    there = {group.path for group in host.groups}
    return tuple(g.path for g in reservations.with_reservations(host, run).groups if g.path not in there)


def space_of(run: Path) -> Space | Unknown:
    """Room in the file system of the run directory, or of the directory in which it would be created."""
    place = run
    while not place.is_dir() and place != place.parent:
        place = place.parent
    try:
        found = os.statvfs(place)
    except OSError as error:
        return unreadable(place, error)
    files = found.f_ffree if found.f_files else 1 << 32  # some file systems do not limit files
    read_only = bool(found.f_flag & os.ST_RDONLY)
    return Space(str(place), found.f_bfree * found.f_frsize, files, read_only, exists=place == run)


def clock_of(directories: tuple[Path, ...]) -> Clock:
    """The clock, and the newest file of the run directory, guests.d and the package."""
    times = dict(_times((*directories, Path(cachetune.__file__))))
    newest = max(times, key=lambda path: times[path], default="")
    return Clock(time.time(), times.get(newest, 0.0), newest)


def _times(paths: tuple[Path, ...]) -> Iterator[tuple[str, float]]:
    for path in paths:
        try:
            files = list(path.iterdir()) if path.is_dir() else [path]
            yield from ((str(file), file.lstat().st_mtime) for file in files)
        except OSError:
            continue


def agent_of(run: Path) -> Agent | Unknown | None:
    """The last agent, None if none has run since boot."""
    if why := obstacle(run / "agent.json"):
        return why
    try:
        status = status_file.read(run)
    except StateFileError as error:
        return Unknown(str(error), error.hint)
    return None if status is None else Agent(status, status_file.is_alive(status))
