"""Text for people: control characters made visible, numbers with their nouns, lists in a sentence."""

from collections.abc import Sequence


def printable(text: str) -> str:
    """The text with every character that could control a terminal replaced by an escape.

    Names of groups, guests, threads and files are chosen by others.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def count(number: int, noun: str) -> str:
    """The number and its noun: "1 way", "3 ways", "0 ways"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def counts(*numbers: tuple[int, str, str]) -> str:
    """``(number, noun, what)`` as a list without zeros: "2 groups to create, 1 task to move"."""
    return ", ".join(f"{count(number, noun)} {what}".rstrip() for number, noun, what in numbers if number)


def listed(words: Sequence[str], most: int | None = None, joint: str = "and") -> str:
    """The words as a list in a sentence: "a, b and c"; past ``most`` of them "a, b and 3 more", but never "1 more"."""
    if most is not None and len(words) > most + 1:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return f" {joint} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
