"""Sizes of caches and rates of bandwidth with units, as XML and the command line write them.

A size in bytes has libvirt's units, in upper or lower case: ``b``, ``byte``, ``bytes``; ``k m g t p e``, alone or
followed by ``ib``, are powers of 1024, followed by ``b`` powers of 1000. Without a unit it is in KiB (libvirt's
documentation says bytes for cachetune, but every version reads KiB). Two units are cachetune's own: ``ways`` and ``%``
of a cache. A rate is in the host's own unit, or in one of RATE_UNITS.

Bytes, ways and numbers without a unit are whole; percentages and rates may have decimals. What a host makes of them is
for ``cachetune.plan``.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

SizeUnit = Literal["B", "ways", "%"]
RateUnit = Literal["", "%", "MiB/s", "GB/s"]
BandwidthResource = Literal["MB", "SMBA"]
BANDWIDTH_RESOURCES: tuple[BandwidthResource, ...] = ("MB", "SMBA")
"""What resctrl limits: the bandwidth of all memory, and that of AMD's slow memory (CXL)."""
Rounding = Literal["up", "down", "nearest"]
ROUNDINGS: tuple[Rounding, ...] = ("up", "down", "nearest")

MAX_SIZE = (1 << 64) - 1
MAX_RATE = (1 << 32) - 1
HUNDRED = 100
_WAYS = "ways"
OWN_SIZE_UNITS = (_WAYS, "%")
"""The units of a cache's size that libvirt does not have."""
_RATES: dict[str, RateUnit] = {"%": "%", "mib/s": "MiB/s", "gb/s": "GB/s"}
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_FACTORS = {"b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", start=1):
    _FACTORS |= {_letter: 1024**_power, _letter + "ib": 1024**_power, _letter + "b": 1000**_power}
_MOST_DECIMALS = 9
_SIZE_FORMS = "a number with its unit, such as 6MiB, 3ways or 30%"
_RATE_FORMS = "a number, with a unit or in the host's own: 50%, 500MiB/s, 6.25GB/s or 50"


class DecimalsError(ValueError):
    """A number with decimals whose unit has none; ``instead`` says what to write, "2304 KiB" or "2 or 3 ways"."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(f"{what} has decimals: write {instead}")
        self.what, self.instead = what, instead


class Size(NamedTuple):
    """An amount of one cache: whole bytes, whole ways, or percent of its ways."""

    number: "int | Decimal"
    unit: SizeUnit = "B"

    def __str__(self) -> str:
        """The size as messages show it: "6 MiB", "3 ways", "30%"."""
        if self.unit == "B":
            return format_size(int(self.number))
        if self.unit == _WAYS:
            return "1 way" if self.number == 1 else f"{self.number} ways"
        return f"{plain(self.number)}%"

    @classmethod
    def of(cls, number: str, unit: str | None) -> "Size":
        """The size of a ``size`` and a ``unit`` attribute; a unit of None or "" is KiB.

        Raises DecimalsError for decimals of bytes or ways, another ValueError for what is no number or no unit, and
        OverflowError for more than 2^64-1 bytes, as many ways, or 100 percent.
        """
        if unit == "%":
            return cls(_number(number, HUNDRED, "%"), "%")
        if unit == _WAYS:
            ways = _number(number, MAX_SIZE, " ways")
            if not isinstance(ways, int):
                raise DecimalsError(f"{number} ways", _either(int(ways), " ways"))
            return cls(ways, "ways")
        if "." in number:
            size, rest = _bytes_of(number, unit)
            raise DecimalsError(f"{number} {unit or 'KiB'}", _either(size, " B") if rest else format_size(size))
        return cls(parse_size(number, unit))

    @classmethod
    def parse(cls, text: str) -> "Size":
        """The size in one word: "6MiB", "2.25 MiB", "3ways", "1way", "30%".

        Decimals are accepted for a whole number of bytes. Raises ValueError, which says what is wrong.
        """
        number, unit = _split(text, _SIZE_FORMS)
        if not unit:
            raise ValueError(f"{text!r} has no unit: expected {_SIZE_FORMS}")
        try:
            if unit.lower() in ("way", _WAYS):
                return cls.of(number, _WAYS)
            if unit == "%" or "." not in number:
                return cls.of(number, unit)
            size, rest = _bytes_of(number, unit)
        except OverflowError as error:
            raise ValueError(str(error)) from None
        if rest:
            raise DecimalsError(f"{number} {unit}", _either(size, " B"))
        return cls(size)


class Rate(NamedTuple):
    """A memory bandwidth: percent, a rate, or with the unit "" a whole number in the host's own unit."""

    number: "int | Decimal"
    unit: RateUnit = ""

    def __str__(self) -> str:
        """The rate as messages show it: "50%", "500 MiB/s", "6.25 GB/s", "50"."""
        return plain(self.number) + ("%" if self.unit == "%" else f" {self.unit}" if self.unit else "")

    @property
    def is_share(self) -> bool:
        """Whether it is a percentage."""
        return self.unit == "%"

    @classmethod
    def of(cls, number: str, unit: str | None) -> "Rate":
        """The rate of a ``bandwidth`` and a ``unit`` attribute.

        Raises DecimalsError for decimals without a unit, another ValueError for what is no number or no unit, and
        OverflowError for more than 2^32-1 of a unit, or 100 percent.
        """
        if unit not in (None, "", *_RATES.values()):
            raise ValueError(f"unknown unit {unit[:20]!r}" if unit else "unknown unit")
        rate = cls(_number(number, HUNDRED if unit == "%" else MAX_RATE, unit or ""), unit or "")
        if not unit and "." in number:
            raise DecimalsError(number, _either(int(rate.number)))
        return rate

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """The rate in one word: "50%", "500MiB/s", "6.25 GB/s", or "50" in the host's unit.

        Raises ValueError, which says what is wrong.
        """
        number, unit = _split(text, _RATE_FORMS)
        known = _RATES.get(unit.lower(), unit)
        if known not in ("", *_RATES.values()):
            raise ValueError(f"{text!r}: expected {_RATE_FORMS}")
        try:
            return cls.of(number, known)
        except OverflowError as error:
            raise ValueError(str(error)) from None


@lru_cache(maxsize=256)
def parse_size(number: str, unit: str | None) -> int:
    """Return ``number`` (decimal text) times ``unit`` in bytes, as libvirt does. A unit of None or "" is KiB.

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


def plain(number: "int | Decimal") -> str:
    """The number in digits, without an exponent."""
    return format(number, "f") if not isinstance(number, int) else str(number)


def _split(text: str, forms: str) -> tuple[str, str]:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(%|[A-Za-z/]*)", text, re.ASCII)
    if found is None or len(text) > 40:
        raise ValueError(f"{text[:40]!r} is not {forms}")
    return found[1], found[2]


def _number(text: str, most: int, unit: str) -> "int | Decimal":
    """The number in digits, with up to _MOST_DECIMALS behind a point; an int if it is whole.

    Raises ValueError for any other text, OverflowError above ``most``.
    """
    whole, point, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text, re.ASCII) or len(decimals) > _MOST_DECIMALS:
        raise ValueError(f"not a number: {text[:40]!r}")
    whole = whole.lstrip("0") or "0"
    if len(whole) > 20 or int(whole) > most or (int(whole) == most and decimals):
        raise OverflowError(f"{text[:40]}{unit} is more than {most}{unit}")
    if not (point and decimals):
        return int(whole)
    from decimal import Decimal  # rare, and the import would be a part of every start

    return Decimal(f"{whole}.{decimals}")


def _bytes_of(number: str, unit: str | None) -> tuple[int, int]:
    """The whole bytes in a number with decimals, and the rest in parts of one. Raises what parse_size does."""
    whole, _, decimals = number.partition(".")
    if not re.fullmatch(r"[0-9]+\.[0-9]+", number, re.ASCII) or len(decimals) > _MOST_DECIMALS:
        raise ValueError(f"not a size: {number[:40]!r}")
    parse_size(whole, unit)  # raises for what is too large
    divisor = int("1" + "0" * len(decimals))
    return divmod(int(whole.lstrip("0") + decimals) * factor_of(unit or "KiB"), divisor)


def _either(number: int, unit: str = "") -> str:
    return f"{number} or {number + 1}{unit}"
