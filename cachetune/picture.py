"""Pictures of a cache: a character for each way, the highest way on the left as in the kernel's bit_usage.

The same in every verb, with and without color, and in ASCII:

    d, A, B  a way of the group with that letter; d is the default group
    #        a way of several groups
    -        a way of other groups only, in a picture of some groups
    .        a way that no group has
    ^        below one of these: the way is shared with I/O
"""

from collections.abc import Iterable, Sequence

SEVERAL, OTHER, FREE, IO_MARK = "#", "-", ".", "^"
FILLED, EMPTY = "█", "░"
LEVELS = "▁▂▃▄▅▆▇█"
"""Bars and columns are of amounts, not of ways."""
DEFAULT_LETTER = "d"
_LETTERS = "ABCEFGHIJKLMNOPQRSTUVWXYZabcefghijklmnopqrstuvwxyz"  # no D, which is too similar to d
_PAST_THE_ALPHABET = "?"
_MEANINGS = {SEVERAL: "several groups", OTHER: "other groups", FREE: "free", IO_MARK: "shared with I/O"}


def owners_picture(masks: Sequence[tuple[str, int]], ways: int, others: int = 0) -> str:
    """Some groups, each with its letter, and the ways that all ``others`` have: "--#AA.." has one shared way."""
    return "".join(
        _owner([letter for letter, mask in masks if mask >> way & 1], others >> way & 1)
        for way in reversed(range(ways))
    )


def io_picture(io_ways: int, ways: int) -> str:
    """The line below a picture: ^ marks the ways that are shared with I/O."""
    return "".join(IO_MARK if io_ways >> way & 1 else " " for way in reversed(range(ways)))


def scale(ways: int) -> str:
    """The line above a picture: the numbers of the highest way and of way 0."""
    highest = str(ways - 1)
    return highest + "0".rjust(ways - len(highest)) if ways > len(highest) else highest


def bar(fill: float, width: int) -> str:
    """A bar that is full at 1; anything at all fills one character, and only what is full fills the last."""
    filled = min(width, round(fill * width))
    if fill > 0:
        filled = min(width, max(1, min(filled, width - (fill < 0.95))))
    return FILLED * filled + EMPTY * (width - filled)


def legend(pictures: Iterable[str], letter: str) -> str:
    """What the characters of these pictures mean, those that occur; ``letter`` says what a letter is."""
    shown = {*"".join(pictures)}
    known = [f"{glyph} = {meaning}" for glyph, meaning in _MEANINGS.items() if glyph in shown]
    letters = [f"letter = {letter}"] if shown - {*_MEANINGS, " "} else []
    return f"Ways: {', '.join((*letters, *known))}"


def letter_of(index: int) -> str:
    """The letter of the control group at ``index``; the default group is 0. Past the alphabet it is "?"."""
    if index == 0:
        return DEFAULT_LETTER
    return _LETTERS[index - 1] if index <= len(_LETTERS) else _PAST_THE_ALPHABET


def _owner(letters: list[str], others: int) -> str:
    if len(letters) + others > 1:
        return SEVERAL
    return letters[0] if letters else OTHER if others else FREE
