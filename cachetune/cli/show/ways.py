"""Pictures of a cache: one character for each way, the highest way on the left as in the kernel's bit_usage.

They are plain text; the caller adds colors.
"""

from collections.abc import Sequence

OWN, OWN_WITH_IO, FREE_WITH_IO, FREE = "█", "▓", "░", "·"
SEVERAL = "#"
IO_MARK = "^"
DEFAULT_LETTER = "d"
_LETTERS = "ABCEFGHIJKLMNOPQRSTUVWXYZabcefghijklmnopqrstuvwxyz"  # no D, which is too similar to d
OTHER_LETTER = "?"


def ways_picture(mask: int, ways: int, shareable: int = 0) -> str:
    """One mask: "··░███" has three ways; ▓ and ░ are ways that are shared with I/O, in the mask and not in it."""
    return "".join(
        (OWN_WITH_IO if shareable >> way & 1 else OWN)
        if mask >> way & 1
        else (FREE_WITH_IO if shareable >> way & 1 else FREE)
        for way in reversed(range(ways))
    )


def owners_picture(masks: Sequence[tuple[str, int]], ways: int) -> str:
    """Several masks, each with its letter: "##AAB··" has two shared ways and two free ways."""
    return "".join(_owner([letter for letter, mask in masks if mask >> way & 1]) for way in reversed(range(ways)))


def io_picture(shareable: int, ways: int) -> str:
    """A line below a picture: ^ marks the ways shared with I/O."""
    return "".join(IO_MARK if shareable >> way & 1 else " " for way in reversed(range(ways)))


def scale(ways: int) -> str:
    """A line above a picture: the numbers of the highest way and of way 0."""
    highest = str(ways - 1)
    return highest + "0".rjust(ways - len(highest)) if ways > len(highest) else highest


def letter_of(index: int) -> str:
    """The letter of the control group at ``index``; the default group is 0. Past the alphabet it is "?"."""
    if index == 0:
        return DEFAULT_LETTER
    return _LETTERS[index - 1] if index <= len(_LETTERS) else OTHER_LETTER


def _owner(letters: list[str]) -> str:
    if not letters:
        return FREE
    return letters[0] if len(letters) == 1 else SEVERAL
