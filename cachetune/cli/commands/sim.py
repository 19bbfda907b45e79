"""``cachetune sim``: mount a simulated resctrl for any program to use."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from cachetune import documents
from cachetune.cli.show.console import show, table
from cachetune.cli.verb import VerbGroup
from cachetune.errors import InputError
from cachetune.service.connection import Location
from cachetune.service.hosts import read_location
from cachetune.sim import load_profile, profile_names
from cachetune.sim.faults import Fault, parse_fault
from cachetune.sim.fuse.threads import Tids
from cachetune.sim.profile import KERNELS, Profile, decode_profile
from cachetune.text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from cachetune.sim import SimulatedResctrl
    from cachetune.sim.fuse.mounts import Mount

_DIRECTORY = click.Path(path_type=Path)
_directory = click.argument("directory", metavar="DIR", type=_DIRECTORY)
_run = click.option(
    "--run",
    type=_DIRECTORY,
    help="Directory of records of running mounts; default is /run/cachetune/sim, or $XDG_RUNTIME_DIR for other users.",
)


class _Kind(msgspec.Struct):
    """What tells a profile from a snapshot."""

    kind: str | None = None


class _Asked(msgspec.Struct, frozen=True):
    """What the user asked to be mounted."""

    profile: str
    kernel: str
    background: bool
    tids: Tids
    faults: tuple[Fault, ...]
    sysfs: Path | None
    run: Path | None


def _read_faults(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[Fault, ...]:
    """Read the faults, or say what is wrong with the first that cannot be read."""
    read = []
    for text in texts:
        try:
            read.append(parse_fault(text))
        except ValueError as error:
            raise click.BadParameter(f"{text!r}: {error}", ctx, param) from None
    return tuple(read)


@click.group("sim", cls=VerbGroup, exit_codes={0: "mounted, unmounted or listed", 2: "could not run"})
def command() -> None:
    """Mount a simulated resctrl as a file system, unmount it, or list what is mounted.

    Shells, pqos, libvirt and cachetune (--resctrl DIR) can use it. It follows the kernel's rules and returns the
    kernel's errors, but controls nothing.
    """


@command.command("mount")
@_directory
@click.option(
    "--profile",
    metavar="NAME|FILE",
    required=True,
    help="A profile (see `cachetune sim list`), a profile's file, or a snapshot.",
)
@click.option(
    "--kernel",
    type=click.Choice(list(KERNELS)),
    default="6.12",
    show_default=True,
    help="Kernel version whose rules to follow.",
)
@click.option("--background", is_flag=True, help="Return once the mount is ready; otherwise Ctrl-C ends it.")
@click.option(
    "--tids",
    type=click.Choice(["real", "any"]),
    default="real",
    show_default=True,
    help="Accept threads of this machine, or any number, as tasks.",
)
@click.option(
    "--fault",
    "faults",
    callback=_read_faults,
    multiple=True,
    metavar="OP[@PATH]:ERRNO[:N][:after]",
    help="Make the Nth mkdir, rmdir, write, rename, read or listdir fail, only on PATH if given. Repeatable.",
)
@click.option("--sysfs", type=_DIRECTORY, metavar="DIR", help="Also write the matching sysfs tree to DIR.")
@_run
def mount(directory: Path, **options: Any) -> None:
    """Mount a simulated resctrl at an empty directory. Needs FUSE (apt-get install fuse3) and mfusepy.

    With --tids real, a new thread starts in the group of its process's main thread, and a new process in that of its
    parent. The fault mkdir:ENOSPC:3 makes the third mkdir fail, write@g1/tasks:ESRCH the first write to g1/tasks; with
    :after the operation takes effect and then reports the error.

    \b
    Examples:
      cachetune sim mount /tmp/resctrl --profile skylake-2s --background --sysfs /tmp/sys
      mkdir /tmp/resctrl/g1; echo 'L3:0=f' >/tmp/resctrl/g1/schemata
      cachetune show --resctrl /tmp/resctrl --sysfs /tmp/sys
      cachetune sim unmount /tmp/resctrl
    """
    from cachetune.sim.fuse.mounts import check_place, run_directory
    from cachetune.sim.fuse.serve import load_fuse, serve, serve_in_background

    load_fuse()
    asked, place = _Asked(**options), check_place(directory)
    sim = _simulated(asked.profile, asked.kernel)
    for fault in asked.faults:
        sim.add_fault(fault)
    if asked.sysfs is not None:
        _write_sysfs(sim.profile, asked.sysfs)
    run = (asked.run or run_directory()).absolute()
    what = printable(f"{sim.profile.name} (kernel {sim.kernel}) is mounted at {place}")

    def serve_until_end(ready: Callable[[], None]) -> None:
        serve(sim, place, asked.tids, run, ready)

    if asked.background:
        pid = serve_in_background(serve_until_end, place)
        click.echo(f"{what}, served by process {pid}.")
    else:
        serve_until_end(lambda: click.echo(f"{what}; Ctrl-C ends it.", err=True))


@command.command("unmount")
@_directory
@_run
def unmount(directory: Path, run: Path | None) -> None:
    """Unmount a simulated resctrl, even if its server was killed."""
    from cachetune.sim.fuse import mounts

    was = mounts.unmount(directory, run or mounts.run_directory())
    click.echo(f"{printable(was.directory)} is unmounted{'; its server was dead' if was.state == 'dead' else ''}.")


@command.command("list")
@_run
def show_list(run: Path | None) -> None:
    """Show the profiles, and the simulated resctrls that are mounted."""
    from cachetune.sim.fuse import mounts

    found = mounts.running(run or mounts.run_directory())
    show([_profiles(), "", _mounts(found) if found else "Nothing is mounted."])


def _simulated(profile: str, kernel: str) -> "SimulatedResctrl":
    """The simulated host that the option names. Raises InputError and ResctrlError."""
    from cachetune.sim import SimulatedResctrl, simulate_host

    if profile in profile_names():
        return SimulatedResctrl(load_profile(profile), kernel=kernel)
    file = Path(profile)
    if not file.is_file():
        known = ", ".join(profile_names())
        raise InputError(f"no profile and no file {profile!r}", hint=f"profiles: {known}")
    data = file.read_bytes()
    if documents.decode(data, _Kind, profile).kind is None:
        return simulate_host(read_location(Location(host=profile)).host, kernel=kernel)
    return SimulatedResctrl(decode_profile(data, profile), kernel=kernel)


def _write_sysfs(profile: Profile, sysfs: Path) -> None:
    """Write the tree, in place of one that was written before. Raises InputError for any other directory."""
    from cachetune.sim import write_sysfs

    try:
        names = [entry.name for entry in sysfs.iterdir()] if sysfs.exists() else []
        if names not in ([], ["devices"]):
            raise InputError(f"{sysfs} is not empty", hint="give an empty directory for the sysfs tree")
        if names:
            shutil.rmtree(sysfs / "devices")
        write_sysfs(profile, sysfs)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or sysfs}: {error.strerror}") from None


def _profiles() -> "Table":
    rows = table("profile", "what it is")
    for name in profile_names():
        rows.add_row(name, load_profile(name).description)
    return rows


def _mounts(found: "list[Mount]") -> "Table":
    rows = table("mounted at", "state", "profile", "kernel", "tids", "pid")
    for mount in found:
        record = mount.record
        about = (record.profile, record.kernel, record.tids, str(record.pid)) if record else ("", "", "", "")
        rows.add_row(printable(mount.directory), mount.state, *map(printable, about))
    return rows
