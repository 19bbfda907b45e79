"""Running guests with their requests and CPUs, tuning files, and what libvirt knows of guests."""

import re
from collections.abc import Iterator
from pathlib import Path

from cachetune.doctor.collect.reading import names_in, read_text
from cachetune.doctor.examination import Definition, ExaminedGuest, Unknown
from cachetune.domain import Loaded, load, read_file
from cachetune.domain.compat import parse_version
from cachetune.errors import CachetuneError, InputError, UnknownVersionError
from cachetune.guests.find import look
from cachetune.guests.model import RunningGuest
from cachetune.guests.sources import SourceName
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.tuning_files import TuningFile, read_tuning_files, tuning_of
from cachetune.host.model import Host
from cachetune.idset import parse_cpu_list
from cachetune.service.status import tuning_of as state_of
from cachetune.service.wanted import wanted

_ALLOWED = re.compile(r"^Cpus_allowed_list:\s*([0-9,-]+)$", re.MULTILINE | re.ASCII)
# libvirt's library has its version in its name: 9000 is 9.0, 12008 is 12.8.
_LIBRARY = re.compile(r"libvirt\.so\.0\.([0-9]{4,6})\.([0-9]{1,3})", re.ASCII)
_LIBRARIES = ("usr/lib/*/libvirt.so.0.*", "usr/lib64/libvirt.so.0.*", "usr/lib/libvirt.so.0.*")


def guests_of(
    options: SourceOptions, source: SourceName | None, guests_d: Path, host: Host | None
) -> tuple[ExaminedGuest, ...] | Unknown:
    """The running guests; for one with a tuning file that is its request, else its live XML."""
    try:
        running = look(options, source)
    except CachetuneError as error:
        return Unknown(str(error), error.hint)
    return tuple(_examined(guest, guests_d, host, options.proc) for guest in running.guests)


def tuning_files_in(guests_d: Path) -> dict[str, TuningFile] | Unknown:
    """The tuning files by guest, none if there is no such directory."""
    try:
        return read_tuning_files(guests_d, {}) or {}
    except InputError as error:
        return Unknown(str(error), "run as root")


def libvirt_version(root: Path) -> str | Unknown:
    """The version of the installed libvirt ("9.0.0"), from the name of its library; "" if it is not installed."""
    for pattern in _LIBRARIES:
        for path in sorted(root.glob(pattern), reverse=True):
            if match := _LIBRARY.fullmatch(path.name):
                number = int(match[1])
                return f"{number // 1000}.{number % 1000}.{match[2]}"
    return ""


def definitions_in(root: Path, libvirt: str | Unknown) -> tuple[Definition, ...] | Unknown:
    """The guests that libvirt has definitions of, with what this version of libvirt refuses in them."""
    directory = root / "etc/libvirt/qemu"
    names = names_in(directory)
    if isinstance(names, Unknown):
        return names
    version = None if isinstance(libvirt, Unknown) else _supported(libvirt)
    return tuple(_definitions([directory / name for name in names if name.endswith(".xml")], version))


def _definitions(files: list[Path], version: str | None) -> Iterator[Definition]:
    for path in files:
        try:
            loaded = load(read_file(str(path)), path.name, libvirt=version)
        except InputError:
            continue  # another program's file, which libvirt reports
        refused = [f.message for f in loaded.findings if f.severity == "error" and f.rule.startswith("CT3")]
        yield Definition(path.name.removesuffix(".xml"), tuple(refused))


def _supported(version: str) -> str | None:
    try:
        parse_version(version)
    except UnknownVersionError:
        return None
    return version


def _examined(running: RunningGuest, guests_d: Path, host: Host | None, proc: Path) -> ExaminedGuest:
    live = running.live_domain
    file = _file_of(running, guests_d, live.vcpus if live else None)
    request = file.domain if file else live
    return ExaminedGuest(running, request, state_of(running, wanted(running, file), host), _cpus(running, proc))


def _file_of(running: RunningGuest, guests_d: Path, vcpus: int | None) -> Loaded | None:
    try:
        return tuning_of(running.name, guests_d, vcpus) if running.name else None
    except InputError:
        return None  # a check on its own reports it


def _cpus(running: RunningGuest, proc: Path) -> dict[int, frozenset[int]]:
    """The CPUs that each thread may run on; a thread that has ended since is left out."""
    found = {}
    for thread in running.guest.threads:
        text = read_text(proc / str(running.guest.pid or thread.tid) / "task" / str(thread.tid) / "status")
        match = None if isinstance(text, Unknown) else _ALLOWED.search(text)
        if match:
            found[thread.tid] = parse_cpu_list(match[1])
    return found
