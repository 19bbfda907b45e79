"""What the operator's files ask for, as values: a domain for each guest, or why there is none."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from cachetune.domain import Loaded, load
from cachetune.domain.model import Domain
from cachetune.errors import InputError
from cachetune.findings import Finding
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import names_in, tuning_of


class TuningFile(msgspec.Struct, frozen=True):
    """One file of guests.d: its domain, or the ``problem`` with it in one line."""

    domain: Domain | None
    problem: str = ""


TuningFiles = dict[str, TuningFile]


def read_files(directory: Path, vcpus: Mapping[str, int]) -> TuningFiles | None:
    """What each file asks for, by the guest's name; None where there is no such directory.

    ``vcpus`` are the most vCPUs that a guest has, as far as that is known: a tuning file does not say.
    Raises InputError where the directory cannot be read: then nothing is known about its files.
    """
    names = names_in(directory)
    if names is None:
        return None
    found = {name: _read(name, directory, vcpus.get(name)) for name in names}
    return {name: wish for name, wish in found.items() if wish is not None}


def live_domain(guest: RunningGuest) -> Domain | None:
    """The live XML of a guest that libvirt runs; None where there is none, or none that can be read."""
    if guest.xml is None:
        return None
    return load(guest.xml.encode(), guest.name).domain


def first_error(findings: tuple[Finding, ...], document: str = "") -> str:
    """The first error in one line, with its place where it has one, and how many more there are."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return ""
    first = errors[0]
    where = f"{document}:{first.line}:{first.column}: " if document and first.line else ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}{first.message} [{first.rule}]{more}"


def _read(name: str, directory: Path, vcpus: int | None) -> TuningFile | None:
    """None for a file that has gone since the directory was listed."""
    try:
        loaded = tuning_of(name, directory, vcpus)
    except InputError as error:
        return TuningFile(None, str(error))
    return None if loaded is None else _wish(loaded)


def _wish(loaded: Loaded) -> TuningFile:
    if loaded.domain is None:
        return TuningFile(None, first_error(loaded.findings, loaded.name))
    return TuningFile(loaded.domain)
