"""The guest sources: one module each, the most trusted first.

``options`` and ``sighting`` are what a source is given and what it answers; ``live_xml`` reads XML for two of them. All
other modules are sources.

To add a source, write ``sources/NAME.py`` with the members of ``Source`` ("-" in a name is "_" in its module) and add
the name to ``SourceName``. If it needs a setting, add a field to ``SourceOptions`` (options.py). The choices of
``--source``, the options, the order and the labels in messages follow from these. A test compares them with
docs/explanation/guests.md and has the order and the settings as well (tests/guests/sources/test_registry.py).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast, get_args

if TYPE_CHECKING:
    from cachetune.guests.sources.sighting import Search, Seen

SourceName = Literal["libvirt-status", "libvirt", "qmp", "threads", "cgroup"]
"""The sources, the most trusted first. A closed type, so that mypy and the JSON schemas know every name."""

NAMES: tuple[SourceName, ...] = get_args(SourceName)


class Source(Protocol):
    """What the module of a source contains. ``LABEL`` names the source in a sentence: "libvirt's status file"."""

    LABEL: str

    def worth_asking(self, search: "Search") -> bool:
        """Whether to ask this source although neither ``--source`` nor a setting requests it."""

    def look(self, search: "Search") -> "Seen":
        """Return the guests that this source knows.

        Raises SourceUnavailableError or MissingExtraError. If the source was not requested, the error becomes a
        note.
        """


def load(name: SourceName) -> Source:
    """Import the module of a source."""
    return cast("Source", import_module(f"{__name__}.{name.replace('-', '_')}"))
