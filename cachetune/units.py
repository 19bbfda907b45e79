"""Sizes with units, parsed and formatted as libvirt does.

The units are those of libvirt's scaled integers, in upper or lower case: ``b``, ``byte``, ``bytes``; ``k m g t p e``,
alone or followed by ``ib``, are powers of 1024, followed by ``b`` powers of 1000. Without a unit a size is in KiB
(libvirt's documentation says bytes for cachetune, but every version reads KiB).
"""

from functools import lru_cache

MAX_SIZE = (1 << 64) - 1
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_FACTORS = {"b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", start=1):
    _FACTORS |= {_letter: 1024**_power, _letter + "ib": 1024**_power, _letter + "b": 1000**_power}


@lru_cache(maxsize=256)
def parse_size(number: str, unit: str | None) -> int:
    """Return ``number`` (decimal text) times ``unit`` in bytes. A unit of None or "" is KiB.

    Raises ValueError for an invalid number or unit, OverflowError above 2^64-1 bytes.
    """
    digits = number.lstrip(" \t\n\r\f\v").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"not a size: {number[:40]!r}")
    factor = factor_of(unit or "KiB")
    significant = digits.lstrip("0") or "0"
    # int() refuses thousands of digits, and they are too large anyway
    if len(significant) > 20 or (size := int(significant) * factor) > MAX_SIZE:
        raise OverflowError(f"{number[:40]} {unit or 'KiB'} is more than 2^64-1 bytes")
    return size


def factor_of(unit: str) -> int:
    """Return the bytes in one ``unit``. Raises ValueError for an unknown one."""
    factor = _FACTORS.get(unit.lower()) if unit.isascii() else None
    if factor is None:
        raise ValueError(f"unknown unit {unit[:20]!r}")
    return factor


def format_size(size_bytes: int) -> str:
    """Format a size exactly, in the largest binary unit that divides it: 3145728 is ``3 MiB``, 3000 is ``3000 B``."""
    return "{} {}".format(*reduce_size(size_bytes))


def reduce_size(size_bytes: int) -> tuple[int, str]:
    """Return the number and the unit that format_size prints."""
    number, power = size_bytes, 0
    while number and number % 1024 == 0 and power < len(_BINARY) - 1:
        number, power = number // 1024, power + 1
    return number, _BINARY[power]


def about(size_bytes: int) -> str:
    """Format a size for reading, with at most two decimals: 2359296 is "2.25 MiB", 1536 is "1.5 KiB"."""
    value, power = float(size_bytes), 0
    while value >= 1024 and power < len(_BINARY) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.2f}".rstrip("0").rstrip(".") + f" {_BINARY[power]}"
