"""Collect an Examination: each part once, from the directories of a Scope.

This machine's processor, kernel and files say nothing about a snapshot, a copy of a resctrl tree, or a simulated
resctrl. They are examined along with a copy only if ``root`` or ``proc`` is one, too, such as that of an sosreport.
"""

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from cachetune.doctor.collect import guests, installation, machine, programs, state
from cachetune.doctor.examination import OF_A_SNAPSHOT, Examination, Kind, Unknown
from cachetune.errors import CachetuneError, HostError, InputError, NotMountedError, ResctrlError
from cachetune.guests.sources import SourceName
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.tuning_files import GUESTS_D
from cachetune.host.model import Host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.service.connection import Location
from cachetune.service.hosts import HostReading, read_location
from cachetune.service.notes import notes_of

_ROOT, _PROC = Path("/"), Path("/proc")


S = TypeVar("S", bound=msgspec.Struct)


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What to examine. ``root`` is where the machine's files are; "/" is this machine.

    Below another root, such as an unpacked sosreport, every directory that has its default value is looked up there.
    """

    location: Location = Location()
    sources: SourceOptions = SourceOptions()
    source: SourceName | None = None
    guests_d: Path = GUESTS_D
    root: Path = _ROOT

    @property
    def is_elsewhere(self) -> bool:
        """Whether the machine's files are not those of this machine."""
        return self.root != _ROOT or self.location.proc != _PROC

    @property
    def settled(self) -> "Scope":
        """The scope with all default directories below ``root``."""
        if self.root == _ROOT:
            return self
        return msgspec.structs.replace(
            self,
            guests_d=self.root / GUESTS_D.relative_to("/") if self.guests_d == GUESTS_D else self.guests_d,
            location=_below(self.root, self.location),
            sources=_below(self.root, self.sources),
        )

    @property
    def resctrl_on_machine(self) -> str:
        """The directory of resctrl as the examined machine calls it."""
        path = self.settled.location.resctrl
        return str(_ROOT / path.relative_to(self.root) if path.is_relative_to(self.root) else path)


def _below(root: Path, options: S) -> S:
    """The struct with every path that is the default below ``root``."""
    defaults = type(options)()
    paths = {name: value for name in options.__struct_fields__ if isinstance(value := getattr(options, name), Path)}
    moved = {name: root / path.relative_to("/") for name, path in paths.items() if path == getattr(defaults, name)}
    return msgspec.structs.replace(options, **moved)


def examine(scope: Scope) -> Examination:
    """Examine a host. Raises InputError for a snapshot or a simulated host that does not exist."""
    scope = scope.settled
    location, root = scope.location, scope.root
    fs = None if location.host is not None else _open(location.resctrl)
    kind = _kind(location, fs)
    status = _last_status(fs)  # first: newer kernels clear it when any file is read
    read, notes = _read(location)
    if kind == "none":
        read = Unknown("resctrl is not mounted", read.hint if isinstance(read, Unknown) else "")
    host = None if isinstance(read, Unknown) else read
    machine_why, live_why = _out_of_scope(scope, kind)
    proc, sysfs, run = location.proc, location.sysfs, location.run
    ledger, damage = (live_why, "") if live_why else state.ledger_of(run)
    libvirt = machine_why or guests.libvirt_version(root)
    units = machine_why or installation.units_in(root)
    return Examination(
        source=location.host or str(location.resctrl),
        kind=kind,
        resctrl=scope.resctrl_on_machine,
        host=read,
        host_notes=notes,
        is_read_only=fs is not None and _is_read_only(fs, location.resctrl),
        last_status=status,
        mounts=machine_why or machine.mounts_of(proc),
        processor=machine_why or machine.processor_of(proc, sysfs),
        kernel=machine_why or machine.kernel_of(proc, root),
        programs=live_why or programs.programs_of(proc),
        runtimes=machine_why or programs.runtimes_of(root),
        guests=live_why or guests.guests_of(scope.sources, scope.source, scope.guests_d, host),
        guests_d=str(scope.guests_d),
        tuning_files=live_why or guests.tuning_files_in(scope.guests_d),
        definitions=machine_why or guests.definitions_in(root, libvirt),
        libvirt=libvirt,
        journal=live_why or state.journal_of(run, fs),
        ledger=ledger,
        ledger_damage=damage,
        expected=state.expected_groups(host, run) if host and not live_why else (),
        space=live_why or state.space_of(run),
        clock=live_why or state.clock_of((run, scope.guests_d)),
        agent=live_why or state.agent_of(run),
        hooks=machine_why or installation.hooks_in(root),
        units=units,
        mounted_at_boot=machine_why or installation.mounted_at_boot(root, units),
        loose=live_why or installation.loose_paths(root, run, scope.guests_d),
        denials=machine_why or installation.denials_in(root, sysfs),
    )


def _open(directory: Path) -> SysfsResctrl | None:
    try:
        return SysfsResctrl(directory)
    except (NotMountedError, ResctrlError):
        return None


def _kind(location: Location, fs: SysfsResctrl | None) -> Kind:
    if location.host is not None:
        return "snapshot"
    if fs is None:
        return "none"
    if fs.is_simulated:
        return "simulated"
    return "mounted" if fs.is_live else "copy"


def _read(location: Location) -> tuple[Host | Unknown, tuple[str, ...]]:
    """The host and warnings about it. Raises InputError if the options name a host that does not exist."""
    try:
        reading: HostReading = read_location(location)
    except (HostError, ResctrlError) as error:
        return Unknown(str(error), error.hint), notes_of(error)
    except InputError as error:
        if location.host is not None:
            raise
        return Unknown(str(error), error.hint), notes_of(error)
    return reading.host, reading.notes


def _out_of_scope(scope: Scope, kind: Kind) -> tuple[Unknown | None, Unknown | None]:
    """Why the machine's files, and why guests and cachetune's own state, are not examined."""
    if kind == "snapshot":
        why = Unknown(OF_A_SNAPSHOT)
        return why, why
    if kind in ("copy", "simulated") and not scope.is_elsewhere:
        if kind == "simulated":
            return Unknown("this resctrl is simulated"), None
        why = Unknown("this resctrl tree is a copy; pass the --root and --proc that belong to it")
        return why, why
    return None, None


def _last_status(fs: SysfsResctrl | None) -> str:
    try:
        return fs.read("info/last_cmd_status").strip() if fs else ""
    except CachetuneError:
        return ""


def _is_read_only(fs: SysfsResctrl, directory: Path) -> bool:
    """Whether a live resctrl is mounted read-only."""
    try:
        return fs.is_live and bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    except OSError:
        return False
