"""What is applied to guests, in the words of a tool: tuning XML, pqos's command line, or goresctrl's configuration.

``export_guests`` takes what ``service.applied`` has read and returns texts; ``tuning``, ``pqos`` and ``goresctrl`` have
one format each. What a format cannot express is a note. Nothing here reads or writes a file.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from cachetune.domain import SCHEMA
from cachetune.host.model import Host
from cachetune.service.applied import AppliedGuest
from cachetune.service.export import goresctrl, pqos, tuning

Format = Literal["tuning", "pqos", "goresctrl"]


class ExportedText(msgspec.Struct, frozen=True):
    """One text, and the guest that it is for, with the machine name of its groups; None for all guests."""

    guest: str | None
    machine_name: str | None
    text: str


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """The document of ``cachetune export --json``. ``notes`` say what the texts lack."""

    schema_version: Literal[1] = 1
    source: str
    format: Format
    texts: tuple[ExportedText, ...]
    notes: tuple[str, ...] = ()


def export_guests(
    guests: Sequence[AppliedGuest], host: Host, words: Format, *, default: bool, schema: str = SCHEMA
) -> Exported:
    """Export what is applied to the guests. Tuning XML is one text for each guest, the others are one for all.

    ``default`` includes the default group, if it has less than everything; tuning XML does not have it, but it names a
    ``schema`` for editors.
    """
    if words == "tuning":
        chosen, notes = _one_for_each_name(guests)
        texts = tuple(ExportedText(guest.name, guest.machine_name, tuning.export(guest, schema)) for guest in chosen)
        notes += [f"guest {guest.name!r}: {note}" for guest in chosen for note in guest.notes]
    else:
        text, notes = (pqos if words == "pqos" else goresctrl).export(guests, host, default=default)
        texts = (ExportedText(None, None, text),)
    return Exported(source=host.source, format=words, texts=texts, notes=tuple(notes))


def _one_for_each_name(guests: Sequence[AppliedGuest]) -> tuple[list[AppliedGuest], list[str]]:
    """Each guest once, and notes: it has one tuning file, so groups that cachetune made count, or else libvirt's."""
    chosen: dict[str, AppliedGuest] = {}
    notes = []
    for guest in guests:
        other = chosen.setdefault(guest.name, guest)
        if other is not guest:
            kept, lost = (other, guest) if other.owner == "cachetune" else (guest, other)
            chosen[guest.name] = kept
            notes.append(f"guest {guest.name!r}: of its groups, those called {lost.machine_name} are left out")
    return list(chosen.values()), notes
