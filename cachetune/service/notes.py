"""Warnings that accompany a result; without a result, they become notes of the exception (PEP 678)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cachetune.errors import CachetuneError


@contextmanager
def noted(notes: Iterable[str]) -> Iterator[None]:
    """Add the notes to a CachetuneError that is raised in the block."""
    try:
        yield
    except CachetuneError as error:
        for note in notes:
            error.add_note(note)
        raise


class NewNotes:
    """Distinguishes notes that are new from those that were there the last time; one that comes back is new."""

    def __init__(self) -> None:
        self._known: frozenset[str] = frozenset()

    def new(self, notes: Iterable[str]) -> tuple[str, ...]:
        """Those that were not there the last time, in their order."""
        current = dict.fromkeys(notes)
        known, self._known = self._known, frozenset(current)
        return tuple(note for note in current if note not in known)


def notes_of(error: BaseException) -> tuple[str, ...]:
    """The notes of an error."""
    return tuple(getattr(error, "__notes__", ()))
