"""Configurations of pqos, rdtset and goresctrl as tuning XML.

``pqos``, ``rdtset`` and ``goresctrl`` read one tool's words each and return classes with the values of a host's
schemata; ``convert`` turns classes into the XML. What tuning XML cannot express is a note.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import msgspec

from cachetune.domain import Head, tuning_text
from cachetune.errors import InputError
from cachetune.host.model import Host
from cachetune.idset import format_ids
from cachetune.service.convert.model import Foreign, ForeignClass
from cachetune.service.convert.tuning import not_expressed, requests_of
from cachetune.text import listed

_MOST_NAMES = 8


class Converted(msgspec.Struct, frozen=True):
    """The tuning XML, and notes on what the configuration has that it lacks."""

    xml: str
    notes: tuple[str, ...]


def convert(foreign: Foreign, host: Host, chosen: str | None, vcpus: Mapping[str, frozenset[int]]) -> Converted:
    """Convert classes for a guest: the ``chosen`` one for the whole guest, or those in ``vcpus`` for these vCPUs.

    Without either there must be one class. Raises InputError for a class that does not exist, or several.
    """
    usable = [each for each in foreign.classes if not each.is_default]
    classes, notes = _chosen(usable, chosen, vcpus)
    places: dict[str, frozenset[int] | None] = {each.name: vcpus.get(each.name) for each in classes}
    requests = requests_of(classes, host, places)
    named = [each for each in foreign.classes if each.is_default or each in classes]
    return Converted(
        tuning_text(requests.domain, Head()), (*foreign.notes, *not_expressed(named), *notes, *requests.notes)
    )


def _chosen(
    classes: Sequence[ForeignClass], chosen: str | None, vcpus: Mapping[str, frozenset[int]]
) -> tuple[list[ForeignClass], list[str]]:
    """The classes to convert, and a note on the others."""
    names = [each.name for each in classes]
    every = listed(names, _MOST_NAMES)
    for name in (*vcpus, *([chosen] if chosen is not None else [])):
        if name not in names:
            raise InputError(f"no class {name!r} is defined", hint=f"defined: {every}" if names else "")
    for one, other in combinations(vcpus, 2):
        if both := vcpus[one] & vcpus[other]:
            raise InputError(
                f"vCPUs {format_ids(both)} are in the classes {one} and {other}", hint="a vCPU has one class"
            )
    if not vcpus and chosen is None and len(classes) > 1:
        raise InputError(
            f"several classes are defined: {every}",
            hint="pass --class NAME for the one of this guest, or --vcpus NAME=LIST for each",
        )
    wanted = [chosen] if chosen is not None else [*vcpus] or names
    others = [name for name in names if name not in wanted]
    notes = (
        [f"not converted: {'class' if len(others) == 1 else 'classes'} {listed(others, _MOST_NAMES)}"] if others else []
    )
    return [each for each in classes if each.name in wanted], notes
