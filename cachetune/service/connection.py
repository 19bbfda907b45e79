"""Where to work: the files of one host, and the connection through which a plan is applied to it."""

from pathlib import Path

import msgspec

from cachetune.apply.guard import refused
from cachetune.apply.run import Connection
from cachetune.errors import InputError, ProfileNotFoundError
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.host.resctrl.port import OnWait, Resctrl, in_silence
from cachetune.host.sysfs import sizes_for

SIMULATED = "sim:"


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """The host to work on.

    ``host`` is the file of a snapshot ("-" for standard input) or a simulated host, ``sim:NAME``; by default, the
    resctrl tree at ``resctrl`` is the host. Cache sizes are read from ``sysfs`` and threads from ``proc``. ``run`` is
    the directory of the journal, the ledger and the reservations. ``lock_timeout`` is in seconds. ``log`` is the change
    log, by default the system's, or the one in another ``run``; ``program`` is named in it.
    """

    host: str | None = None
    resctrl: Path = Path("/sys/fs/resctrl")
    sysfs: Path = Path("/sys")
    proc: Path = Path("/proc")
    run: Path = Path("/run/cachetune")
    lock_timeout: float = 10.0
    log: Path | None = None
    program: str = "library"


def connect(location: Location, on_wait: OnWait = in_silence) -> Connection:
    """Connect to a live host. Raises HostError, and ApplyRefusedError (CT502) for a copy of a resctrl tree.

    ``on_wait`` is called if the lock on resctrl is not free within a second.
    """
    resctrl = SysfsResctrl(location.resctrl)
    if not resctrl.is_live:
        raise refused("CT502", root=location.resctrl)
    sizes = sizes_for(resctrl, location.sysfs)
    return Connection(
        resctrl,
        location.run,
        sizes,
        location.proc,
        location.lock_timeout,
        on_wait,
        log=location.log,
        program=location.program,
    )


def open_resctrl(location: Location) -> Resctrl:
    """Open the resctrl of a location for reading. Raises HostError, ProfileNotFoundError, InputError for a snapshot."""
    if location.host is None:
        return SysfsResctrl(location.resctrl)
    if not location.host.startswith(SIMULATED):
        raise InputError(
            f"{location.host} is a snapshot and has no counters", hint="use --resctrl DIR or --host sim:NAME"
        )
    from cachetune.sim import SimulatedResctrl, load_profile, profile_names

    name, known = location.host.removeprefix(SIMULATED), profile_names()
    if name not in known:
        raise ProfileNotFoundError(name, known, SIMULATED)
    return SimulatedResctrl(load_profile(name))
