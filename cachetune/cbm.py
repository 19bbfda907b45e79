"""Capacity bitmasks (CBM): one bit is one way of a cache."""

import re
from collections.abc import Iterator


class Cbm(int):
    """A capacity bitmask. An int in every respect; JSON shows it as a hexadecimal string."""

    @classmethod
    def parse(cls, text: str) -> "Cbm":
        """Read a mask as resctrl writes it: hexadecimal, any padding, blanks around. Raises ValueError."""
        text = text.strip()
        if not re.fullmatch(r"[0-9a-fA-F]{1,16}", text, re.ASCII):
            raise ValueError(f"not a hexadecimal mask: {text!r}")
        return cls(int(text, 16))


def runs(mask: int) -> Iterator[tuple[int, int]]:
    """The unbroken runs of set bits as (lowest bit, length), lowest first."""
    start = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        start, mask = start + skip, mask >> skip
        length = (~mask & (mask + 1)).bit_length() - 1
        yield start, length
        start, mask = start + length, mask >> length


def run(start: int, length: int) -> Cbm:
    """The mask with ``length`` bits set from bit ``start`` upward."""
    return Cbm(((1 << length) - 1) << start)


def is_contiguous(mask: int) -> bool:
    """Whether the set bits form at most one run."""
    return mask & (mask + (mask & -mask)) == 0


def largest_run(mask: int) -> int:
    """The length of the longest run of set bits; 0 for an empty mask."""
    return max((length for _, length in runs(mask)), default=0)
