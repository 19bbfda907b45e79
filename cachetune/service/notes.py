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


def notes_of(error: BaseException) -> tuple[str, ...]:
    """The notes of an error."""
    return tuple(getattr(error, "__notes__", ()))
