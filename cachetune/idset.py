"""Lists of numbers as text: libvirt's vCPU lists (``0-3,^2``) and the kernel's CPU lists (``0-3,8``).

A set travels as a ``frozenset[int]``; inside the domain checks it is a bit mask, because a hostile list such as
``0-16383`` a thousand times over costs nothing that way.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

MAX_VCPUS = 16384
"""Numbers in a vCPU list must be below this (libvirt's limit for a CPU mask)."""

_BLANKS = " \t\n\r\f\v"
_MAX_DIGITS = 10


def parse_vcpus(text: str) -> frozenset[int]:
    """The vCPUs in libvirt's list: ``N``, ``N-M``, ``^N``, applied from left to right.

    Blanks around numbers and one trailing comma are accepted. Raises ValueError for anything else, for a range that
    runs backwards and for numbers from MAX_VCPUS. Source: LIBVIRT virBitmapParse as observed on 9.0 to 12.8.
    """
    return ids_of(parse_vcpu_mask(text))


@lru_cache(maxsize=1024)
def parse_vcpu_mask(text: str) -> int:
    """parse_vcpus as a bit mask: bit N is vCPU N."""
    mask = 0
    for item in _items(text):
        first, dash, last = item.partition("-")
        exclude = first.startswith("^")
        if exclude and dash:
            raise ValueError(f"'^' takes a single vCPU, not a range such as {item[:20]!r}")
        low = _number(first[1:] if exclude else first.rstrip(_BLANKS))
        high = _number(last.lstrip(_BLANKS)) if dash else low
        if high < low:
            raise ValueError(f"the range {low}-{high} runs backwards")
        bits = ((1 << (high - low + 1)) - 1) << low
        mask = mask & ~bits if exclude else mask | bits
    return mask


def parse_cpu_list(text: str) -> frozenset[int]:
    """The numbers in a list as the kernel prints it (``0-3,8``); an empty text is an empty set. Raises ValueError."""
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
    """The numbers of the bits that are set."""
    return frozenset(number for low, high in _runs(mask) for number in range(low, high + 1))


def mask_of(ids: Iterable[int]) -> int:
    """The bit mask of a set of numbers."""
    mask = 0
    for number in ids:
        mask |= 1 << number
    return mask


def format_ids(ids: Iterable[int]) -> str:
    """The canonical list: ascending, runs joined (``0-2,4``). An empty set is an empty text."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def format_mask(mask: int) -> str:
    """format_ids of a bit mask."""
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in _runs(mask))


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """The first and last number of each run of set bits, ascending."""
    base = 0
    while mask:
        skipped = (mask & -mask).bit_length() - 1
        mask >>= skipped
        length = (~mask & mask + 1).bit_length() - 1
        yield base + skipped, base + skipped + length - 1
        mask >>= length
        base += skipped + length


def _items(text: str) -> Iterator[str]:
    """The parts between the commas without blanks around; after the last comma there may be nothing."""
    start = 0
    while (comma := text.find(",", start)) >= 0:  # split() would hold millions of parts at once
        yield text[start:comma].strip(_BLANKS)
        start = comma + 1
    rest = text[start:].strip(_BLANKS)
    if rest or not start:
        yield rest


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{digits[:20]!r} is not a number" if digits else "a number is missing")
    # Python refuses to convert thousands of digits; libvirt reads any number of leading zeros
    significant = digits.lstrip("0") or "0"
    if len(significant) > _MAX_DIGITS or (number := int(significant)) >= MAX_VCPUS:
        raise ValueError(f"vCPU numbers end at {MAX_VCPUS - 1}, {significant[:20]} is beyond")
    return number
