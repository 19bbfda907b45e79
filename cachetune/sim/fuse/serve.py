"""Serve a simulated resctrl as a mounted file system until it is unmounted or the process ends.

FUSE is provided by mfusepy and libfuse, which are imported on first use. Requests are handled one at a time in the main
thread. Locks (flock) are handled by the kernel, so they work between all local processes.
"""

import importlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from cachetune.errors import CachetuneError, FuseUnavailableError, MissingExtraError, MountError
from cachetune.sim.fuse.filesystem import FuseOperations
from cachetune.sim.fuse.mounts import Record, is_up, write_record
from cachetune.sim.fuse.threads import GuestOf, RealThreads, Tids, stat_of
from cachetune.sim.kernel.resctrl import SimulatedResctrl

_DEVICE = Path("/dev/fuse")


def load_fuse() -> ModuleType:
    """Import mfusepy. Raises MissingExtraError, or FuseUnavailableError without libfuse or the kernel's FUSE."""
    try:
        fuse = importlib.import_module("mfusepy")
    except ImportError:
        raise MissingExtraError("sim", "mfusepy", "mounting a simulated resctrl") from None
    except (OSError, AttributeError) as error:
        raise FuseUnavailableError(f"mfusepy finds no libfuse: {error}", hint="apt-get install fuse3") from None
    if not _DEVICE.exists():
        raise FuseUnavailableError(f"no {_DEVICE}", hint="run modprobe fuse; a container needs --device /dev/fuse")
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise FuseUnavailableError(f"you may not open {_DEVICE}", hint="chmod 666 /dev/fuse, as most distributions do")
    if os.geteuid() != 0 and shutil.which("fusermount3") is None and shutil.which("fusermount") is None:
        raise FuseUnavailableError("only root can mount without fusermount3", hint="apt-get install fuse3")
    return fuse


def serve(
    sim: SimulatedResctrl,
    place: Path,
    tids: Tids,
    run: Path,
    ready: Callable[[], None],
    guest_of: GuestOf = lambda _: "",
) -> None:
    """Mount and serve until unmounted. ``ready`` is called once the kernel has initialized the mount.

    ``guest_of`` names the guests for their workloads. ``place`` has been through check_place. Raises MountError.
    """
    fuse = load_fuse()
    threads = RealThreads(sim, guest_of=guest_of) if tids == "real" else None
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
        # libfuse also raises it after the signal that ended the mount
        if not up:
            raise MountError(place, f"libfuse says {error}", hint="see its message above") from None
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
    """Run ``serve_until_end`` in a child process and return its pid once the mount responds.

    It gets the function to call when the mount is up. If it fails before that, its error is raised here, or MountError.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _be_the_server(serve_until_end, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        error = pipe.read()
    if error:
        raise pickle.loads(error)  # noqa: S301 - written by our own child
    if not is_up(place):
        raise MountError(place, "the server process ended before the mount was up")
    return pid


def _be_the_server(serve_until_end: Callable[[Callable[[], None]], None], writer: int) -> NoReturn:
    """Detach from the terminal and serve. Earlier errors are sent to the parent. Never returns."""

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
        os.write(writer, pickle.dumps(error))
    finally:
        os._exit(status)


def _options(sim: SimulatedResctrl) -> dict[str, object]:
    """Return the options for mount(2) and libfuse. The source has resctrl's options, because FUSE only allows its own.

    The files' permissions apply to a mount by root. A mount by another user is only accessible to that user, as root.
    """
    options = (option for option in sim.mount_options if option.isidentifier())  # a snapshot may contain any text
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
