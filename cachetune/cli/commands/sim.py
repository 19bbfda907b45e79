"""``cachetune sim``: mount a simulated resctrl for any program to use."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from cachetune import documents
from cachetune.cli.show.console import show
from cachetune.cli.show.table import Table, names, numbers, words
from cachetune.cli.verb import VerbGroup, option
from cachetune.errors import InputError
from cachetune.service.connection import Location
from cachetune.service.hosts import read_location
from cachetune.sim import decode_profile, load_profile, profile_names
from cachetune.sim.faults import Fault, parse_fault
from cachetune.sim.fuse.threads import Tids
from cachetune.sim.profile import Profile
from cachetune.sim.rules import KERNELS
from cachetune.text import printable

if TYPE_CHECKING:
    from cachetune.sim import SimulatedResctrl, WorkloadEntry
    from cachetune.sim.fuse.mounts import Mount

_DIRECTORY = click.Path(path_type=Path)
_directory = click.argument("directory", metavar="DIR", type=_DIRECTORY)
_run = option(
    "--run",
    type=_DIRECTORY,
    metavar="DIR",
    help="Directory of the records of mounts (default: /run/cachetune/sim, or under $XDG_RUNTIME_DIR without root).",
)


class _MountOptions(msgspec.Struct, frozen=True):
    """The options of ``sim mount``."""

    profile: str
    kernel: str | None
    background: bool
    tids: Tids
    faults: tuple[Fault, ...]
    workloads: Path | None
    sysfs: Path | None
    run: Path | None


def _read_faults(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[Fault, ...]:
    """Parse the faults. Raises click.BadParameter for the first invalid one."""
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
    kernel's errors, but controls no hardware.

    \b
    Example:
      cachetune sim mount /tmp/resctrl --profile skylake-2s --background
    """


@command.command("mount", exit_codes={0: "mounted, or served until the end", 2: "could not mount"})
@_directory
@option(
    "--profile",
    metavar="NAME|FILE",
    required=True,
    help="A profile (see 'cachetune sim list'), the file of a profile, or a snapshot.",
)
@option(
    "--kernel",
    type=click.Choice(list(KERNELS)),
    help="The kernel whose rules apply (default: the profile's, mostly 6.12).",
)
@option("--background", is_flag=True, help="Return once the mount is ready (default: serve until Ctrl-C).")
@option(
    "--tids",
    type=click.Choice(["real", "any"]),
    default="real",
    show_default=True,
    help="Accept only threads of this machine as tasks, or any number.",
)
@option(
    "--fault",
    "faults",
    callback=_read_faults,
    multiple=True,
    metavar="OP[@PATH]:ERRNO[:N][:after]",
    help="Fail the Nth mkdir, rmdir, write, rename, read or listdir, optionally only on PATH. Repeatable.",
)
@option(
    "--workload",
    "workloads",
    type=_DIRECTORY,
    metavar="FILE",
    help="What guests and groups do to the caches (default: each thread a little). See docs/how-to/simulation.md.",
)
@option("--sysfs", type=_DIRECTORY, metavar="DIR", help="Also write the matching sysfs tree to DIR.")
@_run
def mount(directory: Path, **options: Any) -> None:
    """Mount a simulated resctrl at an empty directory. Needs FUSE (apt-get install fuse3) and mfusepy.

    With --tids real, a new thread starts in the group of its process's main thread, and a new process in that of its
    parent. The fault mkdir:ENOSPC:3 fails the third mkdir, write@g1/tasks:ESRCH the first write to g1/tasks. With
    :after, the operation takes effect and then reports the error.

    \b
    Examples:
      cachetune sim mount /tmp/resctrl --profile skylake-2s --background
      mkdir /tmp/resctrl/g1; echo 'L3:0=f' >/tmp/resctrl/g1/schemata
      cachetune show --resctrl /tmp/resctrl
      cachetune sim unmount /tmp/resctrl
    """
    from cachetune.guests.proc.programs import guest_named_in
    from cachetune.sim import read_workloads
    from cachetune.sim.fuse.mounts import check_place, run_directory
    from cachetune.sim.fuse.serve import load_fuse, serve, serve_in_background

    load_fuse()
    wanted, place = _MountOptions(**options), check_place(directory)
    sim = _simulated(wanted.profile, wanted.kernel, read_workloads(wanted.workloads) if wanted.workloads else ())
    for fault in wanted.faults:
        sim.add_fault(fault)
    if wanted.sysfs is not None:
        _write_sysfs(sim.profile, wanted.sysfs)
    run = (wanted.run or run_directory()).absolute()
    what = printable(f"{sim.profile.name} (kernel {sim.kernel}) is mounted at {place}")

    def serve_until_end(ready: Callable[[], None]) -> None:
        serve(sim, place, wanted.tids, run, ready, guest_named_in)

    if wanted.background:
        pid = serve_in_background(serve_until_end, place)
        click.echo(f"{what}, served by process {pid}.")
    else:
        serve_until_end(lambda: click.echo(f"{what}; Ctrl-C ends it.", err=True))


@command.command("unmount", exit_codes={0: "unmounted", 2: "could not unmount"})
@_directory
@_run
def unmount(directory: Path, run: Path | None) -> None:
    """Unmount a simulated resctrl, even if its server was killed.

    \b
    Example:
      cachetune sim unmount /tmp/resctrl
    """
    from cachetune.sim.fuse import mounts

    was = mounts.unmount(directory, run or mounts.run_directory())
    click.echo(f"{printable(was.directory)} is unmounted{'; its server was dead' if was.state == 'dead' else ''}.")


@command.command("list", exit_codes={0: "listed", 2: "could not run"})
@_run
def show_list(run: Path | None) -> None:
    """List the profiles, and the simulated resctrls that are mounted.

    \b
    Example:
      cachetune sim list
    """
    from cachetune.sim.fuse import mounts

    found = mounts.running(run or mounts.run_directory())
    show([_profiles(), "", _mounts(found) if found else "Nothing is mounted."])


def _simulated(profile: str, kernel: str | None, workloads: "Sequence[WorkloadEntry]") -> "SimulatedResctrl":
    """The simulated host of the option --profile. Raises InputError and ResctrlError."""
    from cachetune.sim import SimulatedResctrl, simulate_host

    if profile in profile_names():
        return SimulatedResctrl(load_profile(profile), kernel=kernel, workloads=workloads)
    file = Path(profile)
    if not file.is_file():
        known = ", ".join(profile_names())
        raise InputError(f"neither a profile nor a file: {profile!r}", hint=f"profiles: {known}")
    data = file.read_bytes()
    if documents.kind_of(data, profile) is None:
        return simulate_host(read_location(Location(host=profile)).host, kernel=kernel, workloads=workloads)
    return SimulatedResctrl(decode_profile(data, profile), kernel=kernel, workloads=workloads)


def _write_sysfs(profile: Profile, sysfs: Path) -> None:
    """Write the tree, or replace one written earlier. Raises InputError for any other directory."""
    from cachetune.sim import write_sysfs

    try:
        names = [entry.name for entry in sysfs.iterdir()] if sysfs.exists() else []
        if names not in ([], ["devices"]):
            raise InputError(f"{sysfs} is not empty", hint="pass an empty directory for the sysfs tree")
        if names:
            shutil.rmtree(sysfs / "devices")
        write_sysfs(profile, sysfs)
    except OSError as error:
        raise InputError(f"cannot write {error.filename or sysfs}: {error.strerror}") from None


def _profiles() -> Table:
    rows = Table(numbers("profile", right=False), words("description"))
    for name in profile_names():
        rows.add_row(name, load_profile(name).description)
    return rows


def _mounts(found: "list[Mount]") -> Table:
    columns = (words("state"), names("profile"), words("kernel"), words("tids"), numbers("pid"))
    rows = Table(names("mounted at"), *columns)
    for mount in found:
        record = mount.record
        about = (record.profile, record.kernel, record.tids, str(record.pid)) if record else ("", "", "", "")
        rows.add_row(printable(mount.directory), mount.state, *map(printable, about))
    return rows
