"""Serving a simulated resctrl as a mounted file system until somebody unmounts it or ends this process.

FUSE comes from mfusepy and libfuse, imported when it is needed. Requests are answered one after the other, in this
process's main thread; locks (flock) are the kernel's own business, so they hold between all local processes.
"""

import importlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from cachetune.errors import CachetuneError, InputError
from cachetune.sim.fuse.filesystem import FuseOperations
from cachetune.sim.fuse.mounts import Record, is_up, write_record
from cachetune.sim.fuse.threads import RealThreads, Tids, stat_of
from cachetune.sim.kernel.resctrl import SimulatedResctrl

_DEVICE = Path("/dev/fuse")


def load_fuse() -> ModuleType:
    """Import mfusepy. Raises InputError where it, libfuse or the kernel's FUSE is missing."""
    try:
        fuse = importlib.import_module("mfusepy")
    except ImportError:
        raise InputError("mounting needs the Python package mfusepy", hint="pip install 'cachetune[sim]'") from None
    except (OSError, AttributeError) as error:
        raise InputError(f"mfusepy finds no libfuse: {error}", hint="apt-get install fuse3") from None
    if not _DEVICE.exists():
        raise InputError(f"there is no {_DEVICE}", hint="modprobe fuse; a container needs --device /dev/fuse")
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise InputError(f"you may not use {_DEVICE}", hint="chmod 666 /dev/fuse, as most distributions have it")
    if os.geteuid() != 0 and shutil.which("fusermount3") is None and shutil.which("fusermount") is None:
        raise InputError("only root can mount without fusermount3", hint="apt-get install fuse3")
    return fuse


def serve(sim: SimulatedResctrl, place: Path, tids: Tids, run: Path, ready: Callable[[], None]) -> None:
    """Mount and answer until the end; ``ready`` is called when the kernel has begun to ask.

    ``place`` has been through check_place. Raises InputError when mounting fails.
    """
    fuse = load_fuse()
    threads = RealThreads(sim) if tids == "real" else None
    sim.state.takes_any_tid = threads is None
    up: list[bool] = []

    def started() -> None:
        up.append(True)
        ready()

    operations = FuseOperations(
        sim,
        caller=lambda: int(fuse.fuse_get_context()[2]),
        look=threads.look if threads else lambda: None,
        started=started,
    )
    record = write_record(_record_of(sim, place, tids), run)
    try:
        if threads:
            threads.look()
            threads.keep_looking()
        fuse.FUSE(operations, str(place), **_options(sim))
    except RuntimeError as error:
        # libfuse's number also tells of the signal that ended it
        if not up:
            raise InputError(f"cannot mount at {place} (libfuse says {error})", hint="see its message above") from None
    finally:
        record.unlink(missing_ok=True)


def _record_of(sim: SimulatedResctrl, place: Path, tids: Tids) -> Record:
    pid = os.getpid()
    return Record(
        directory=str(place),
        pid=pid,
        started=stat_of(pid)[1],
        profile=sim.profile.name,
        kernel=sim.kernel,
        tids=tids,
    )


def serve_in_background(serve_until_end: Callable[[Callable[[], None]], None], place: Path) -> int:
    """Run ``serve_until_end`` in a process of its own; returns its pid when the mount answers.

    It is given the function to call when it is up. Raises InputError with what it said when it does not come up.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _be_the_server(serve_until_end, writer)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as pipe:
        message, _, hint = pipe.read().partition("\0")
    if message or not is_up(place):
        raise InputError(message or f"the server of {place} ended before it was up", hint=hint)
    return pid


def _be_the_server(serve_until_end: Callable[[Callable[[], None]], None], writer: int) -> NoReturn:
    """Leave the terminal and serve; an error before that goes to the parent. Never returns to the caller's code."""

    def ready() -> None:
        nothing = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        os.close(nothing)
        os.close(writer)

    status = 1
    try:
        os.setsid()
        os.chdir("/")
        serve_until_end(ready)
        status = 0
    except CachetuneError as error:
        os.write(writer, f"{error}\0{error.hint}".encode())
    finally:
        os._exit(status)


def _options(sim: SimulatedResctrl) -> dict[str, object]:
    """What mount(2) and libfuse are told. The source carries resctrl's own options, as FUSE knows none but its own.

    Root's mount is open to all as the files' permissions say; a user's is the user's alone, who is its root.
    """
    options = (option for option in sim.mount_options if option.isidentifier())  # a snapshot may say anything
    return {
        "foreground": True,
        "nothreads": True,
        "fsname": "+".join(("resctrl", *options)),
        "subtype": "resctrl",
        "allow_other": os.geteuid() == 0,
        "default_permissions": os.geteuid() == 0,
        "direct_io": True,
        "hard_remove": True,
        "entry_timeout": 0,
        "negative_timeout": 0,
        "attr_timeout": 0,
    }
