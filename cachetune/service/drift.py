"""Whether every running guest has what it should have: one line for each guest of a host."""

from typing import Literal

import msgspec

from cachetune.guests.find import look
from cachetune.plan.request import Options
from cachetune.service.connection import Location
from cachetune.service.hosts import read_for_planning
from cachetune.service.notes import noted
from cachetune.service.requests import Document, check_selection
from cachetune.service.select import Selection, warnings_about
from cachetune.service.status import Tuning, TuningState, tunings_of

_WORSE: dict[TuningState, int] = {"drifted": 1, "refused": 2, "invalid": 2}


class GuestDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One running guest, and whether the host matches its request."""

    name: str
    uuid: str | None
    pid: int | None
    tuning: Tuning


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """The document of ``diff --all-guests --json``. ``notes`` are warnings about the guests and the host.

    ``agent_options`` are options of the running agent with which the requests were planned.
    """

    schema_version: Literal[1] = 1
    guests: tuple[GuestDrift, ...]
    notes: tuple[str, ...] = ()
    agent_options: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: every request is applied; 1: a guest has drifted; 2: a request cannot be planned or has errors."""
        return max((_WORSE.get(guest.tuning.state, 0) for guest in self.guests), default=0)


def drift_of(location: Location, selection: Selection, document: Document | None, options: Options) -> Drift:
    """The drift of every running guest, each planned on its own with these options. Guests are sorted by name.

    Raises InputError for contradictory options, and what ``look`` and ``read_for_planning`` raise.
    """
    check_selection(selection, document, location)
    running = look(selection.sources, selection.source)
    with noted(running.notes):
        reading = read_for_planning(location)
    tunings = tunings_of(running.guests, selection.guests_d, reading, options)
    guests = [
        GuestDrift(name=guest.name, uuid=guest.uuid, pid=guest.guest.pid, tuning=tuning)
        for guest, tuning in zip(running.guests, tunings, strict=True)
    ]
    doubts = [note for guest in running.guests for note in warnings_about(guest)]
    return Drift(
        guests=tuple(sorted(guests, key=lambda guest: (guest.name, guest.pid or 0))),
        notes=(*running.notes, *reading.notes, *doubts),
    )
