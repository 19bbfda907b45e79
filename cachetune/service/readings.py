"""Read the counters of the groups of a selection."""

import time

import msgspec

from cachetune.errors import HostError, InputError
from cachetune.host.model import Host
from cachetune.service.connection import Location, open_resctrl
from cachetune.service.hosts import read_tree
from cachetune.service.notes import noted
from cachetune.service.requests import Document, load_document
from cachetune.service.select import Selection, select_groups
from cachetune.watch import Readings, read_counters


class HostReadings(msgspec.Struct, frozen=True):
    """The readings, their host, and ``notes``: warnings."""

    readings: Readings
    host: Host
    notes: tuple[str, ...] = ()


def read_monitors(location: Location, selection: Selection, document: Document | None = None) -> HostReadings:
    """Read every counter of the selected groups, or of those of a document's domain.

    Raises HostError for a host without monitoring, InvalidDomainError, InputError if the selection has no groups, and
    ResctrlError.
    """
    resctrl = open_resctrl(location)
    began = time.time()
    reading = read_tree(resctrl, location)
    host = reading.host
    if not host.monitors:
        raise HostError(host.source, "no monitoring", hint="info/L3_MON is missing")
    domain = None if document is None else load_document(document)[0]
    if document and domain and not (domain.name or selection.guest or selection.machine_name):
        raise InputError(f"{document.name} does not name its guest", hint="pass --guest NAME")
    with noted(reading.notes):
        groups = select_groups(host, selection, domain, reading.ledger)
        monitors = read_counters(resctrl, host, groups.paths)
    readings = Readings(source=host.source, time=round(began, 6), monitors=monitors)
    return HostReadings(readings, host, (*reading.notes, *groups.notes))
