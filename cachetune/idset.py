"""Lists of numbers as text: libvirt's vCPU lists (``0-3,^2``) and the kernel's CPU lists (``0-3,8``).

A set is a ``frozenset[int]``, except inside the domain checks, where it is a bit mask so that a hostile document with a
thousand lists such as ``0-16383`` stays cheap.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

MAX_VCPUS = 16384
"""Numbers in a vCPU list must be below this (libvirt's limit for a CPU mask)."""

_BLANKS = " \t\n\r\f\v"
_MAX_DIGITS = 10


def parse_vcpus(text: str) -> frozenset[int]:
    """Parse libvirt's vCPU list: ``N``, ``N-M`` and ``^N``, applied from left to right.

    Blanks around numbers and one trailing comma are accepted. Raises ValueError for anything else, for a descending
    range and for numbers of MAX_VCPUS or more. Source: libvirt's virBitmapParse as observed on 9.0 to 12.8.
    """
    return ids_of(parse_vcpu_mask(text))


@lru_cache(maxsize=1024)
def parse_vcpu_mask(text: str) -> int:
    """Parse a vCPU list into a bit mask: bit N is vCPU N. See parse_vcpus."""
    mask = 0
    for item in _items(text):
        first, dash, last = item.partition("-")
        exclude = first.startswith("^")
        if exclude and dash:
            raise ValueError(f"'^' excludes a single vCPU, not a range such as {item[:20]!r}")
        low = _number(first[1:] if exclude else first.rstrip(_BLANKS))
        high = _number(last.lstrip(_BLANKS)) if dash else low
        if high < low:
            raise ValueError(f"range {low}-{high} is descending")
        bits = ((1 << (high - low + 1)) - 1) << low
        mask = mask & ~bits if exclude else mask | bits
    return mask


def parse_cpu_list(text: str) -> frozenset[int]:
    """Parse a list as the kernel prints it (``0-3,8``); an empty text is an empty set. Raises ValueError."""
    ids: set[int] = set()
    for item in text.strip().split(",") if text.strip() else ():
        first, dash, last = item.partition("-")
        low = int(first)
        high = int(last) if dash else low
        if not 0 <= low <= high < 1 << 20:
            raise ValueError(f"not a range of CPU numbers: {item!r}")
        ids.update(range(low, high + 1))
    return frozenset(ids)


def ids_of(mask: int) -> frozenset[int]:
    """Return the numbers of the bits that are set."""
    return frozenset(number for low, high in _runs(mask) for number in range(low, high + 1))


def mask_of(ids: Iterable[int]) -> int:
    """Return the bit mask of a set of numbers."""
    mask = 0
    for number in ids:
        mask |= 1 << number
    return mask


def format_ids(ids: Iterable[int]) -> str:
    """Return the canonical list: ascending, with ranges (``0-2,4``). An empty set is an empty text."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def format_mask(mask: int) -> str:
    """Return the canonical list of a bit mask. See format_ids."""
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in _runs(mask))


def numbered(noun: str, ids: Iterable[int]) -> str:
    """Return the noun and a list of its numbers: "vCPU 3", "vCPUs 0-1,4"."""
    numbers = frozenset(ids)
    return f"{noun}{'s' * (len(numbers) != 1)} {format_ids(numbers)}"


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last number of each run of set bits, ascending."""
    base = 0
    while mask:
        skipped = (mask & -mask).bit_length() - 1
        mask >>= skipped
        length = (~mask & mask + 1).bit_length() - 1
        yield base + skipped, base + skipped + length - 1
        mask >>= length
        base += skipped + length


def _items(text: str) -> Iterator[str]:
    """Yield the parts between commas, stripped; an empty part after a trailing comma is left out."""
    start = 0
    while (comma := text.find(",", start)) >= 0:  # split() would hold millions of parts in memory
        yield text[start:comma].strip(_BLANKS)
        start = comma + 1
    rest = text[start:].strip(_BLANKS)
    if rest or not start:
        yield rest


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{digits[:20]!r} is not a number" if digits else "a number is missing")
    # int() refuses thousands of digits; libvirt accepts any number of leading zeros
    significant = digits.lstrip("0") or "0"
    if len(significant) > _MAX_DIGITS or (number := int(significant)) >= MAX_VCPUS:
        raise ValueError(f"vCPU {significant[:20]} is beyond the maximum of {MAX_VCPUS - 1}")
    return number
