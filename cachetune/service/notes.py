"""Warnings on the way to a result: part of the result, or, when there is none, notes of the exception (PEP 678)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from cachetune.errors import CachetuneError


@contextmanager
def noted(notes: Iterable[str]) -> Iterator[None]:
    """Add the notes to an error that is raised in the block, so that they are not lost with the result."""
    try:
        yield
    except CachetuneError as error:
        for note in notes:
            error.add_note(note)
        raise


def notes_of(error: BaseException) -> tuple[str, ...]:
    """The notes of an error."""
    return tuple(getattr(error, "__notes__", ()))
