"""What another tool's configuration says, and how it is read: classes, and notes on what is left out."""

import re
from collections.abc import Iterator

import msgspec

from cachetune.cbm import Bandwidth, Masks
from cachetune.errors import InputError

_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", re.ASCII)
_MOST_NUMBERS = 1 << 16


class ForeignClass(msgspec.Struct, frozen=True, kw_only=True):
    """A class of another tool: the values that it sets, in the words of the host's schemata.

    ``name`` is what the tool calls it, and ``is_default`` marks the one that is resctrl's default group. ``cpus`` and
    ``tids`` are what is in it.
    """

    name: str
    masks: Masks = msgspec.field(default_factory=Masks)
    bandwidth: Bandwidth = msgspec.field(default_factory=Bandwidth)
    cpus: frozenset[int] = frozenset()
    tids: frozenset[int] = frozenset()
    is_default: bool = False


class Foreign(msgspec.Struct, frozen=True):
    """The classes of a configuration, and notes with the place of each thing that tuning XML cannot express."""

    classes: tuple[ForeignClass, ...]
    notes: tuple[str, ...] = ()


def invalid(where: str, what: str, hint: str = "") -> InputError:
    """The error for a configuration that the tool itself would refuse."""
    return InputError(f"{where}: {what}", hint=hint)


def numbers(text: str, where: str) -> frozenset[int]:
    """The numbers in a list such as ``0,2,4-6``. Raises InputError."""
    found: set[int] = set()
    for low, high in _ranges(text, where):
        if high - low >= _MOST_NUMBERS or len(found) > _MOST_NUMBERS:
            raise invalid(where, f"too many numbers in {text[:40]!r}")
        found.update(range(low, high + 1))
    return frozenset(found)


def _ranges(text: str, where: str) -> Iterator[tuple[int, int]]:
    for item in text.split(","):
        match = _RANGE.fullmatch(item.strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high:
            raise invalid(where, f"{item[:40]!r} is not a number or a range of numbers")
        yield low, high
