"""Sizes with units, read and written as libvirt does.

Units are those of libvirt's scaled integers, in any case: ``b``, ``byte``, ``bytes``; ``k m g t p e`` alone or with
``ib`` are powers of 1024, with ``b`` alone powers of 1000. No unit at all means KiB (libvirt's documentation says
bytes for cachetune; all versions read KiB).
"""

import re
from functools import lru_cache

MAX_SIZE = (1 << 64) - 1
_NUMBER = re.compile(r"\s*\+?([0-9]+)")
_UNIT = re.compile(r"b(?:ytes?)?|([kmgtpe])(ib|b)?", re.IGNORECASE)
_POWER = {letter: power for power, letter in enumerate("kmgtpe", start=1)}
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@lru_cache(maxsize=256)
def parse_size(number: str, unit: str | None) -> int:
    """``number`` (decimal text) times ``unit`` in bytes; a unit of None or "" is KiB.

    Raises ValueError for what is no number or no unit, OverflowError beyond 2^64-1 bytes.
    """
    digits = _NUMBER.fullmatch(number)
    if digits is None:
        raise ValueError(f"not a size: {number!r}")
    factor = factor_of(unit or "KiB")
    significant = digits[1].lstrip("0") or "0"
    # thousands of digits are more than int() takes, and too large anyway
    if len(significant) > 20 or (size := int(significant) * factor) > MAX_SIZE:
        raise OverflowError(f"{number[:40]} {unit or 'KiB'} is more than 2^64-1 bytes")
    return size


def factor_of(unit: str) -> int:
    """Bytes in one ``unit``. Raises ValueError."""
    known = _UNIT.fullmatch(unit)
    if known is None:
        raise ValueError(f"unknown unit {unit!r}")
    letter, suffix = known.groups()
    if letter is None:
        return 1
    base = 1000 if suffix and suffix.lower() == "b" else 1024
    return int(base ** _POWER[letter.lower()])


def format_size(size_bytes: int) -> str:
    """``3 MiB``: the largest binary unit up to PiB that divides the size; 3000 is ``3000 B``, 0 is ``0 B``."""
    return "{} {}".format(*reduce_size(size_bytes))


def reduce_size(size_bytes: int) -> tuple[int, str]:
    """The number and the unit that format_size prints."""
    number, power = size_bytes, 0
    while number and number % 1024 == 0 and power < len(_BINARY) - 1:
        number, power = number // 1024, power + 1
    return number, _BINARY[power]
