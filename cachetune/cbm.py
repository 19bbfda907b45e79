"""Capacity bitmasks (CBM), where one bit is one way of a cache, and tables of values by resource and cache id.

A table is what a group's ``schemata`` holds: ``Masks`` for caches, ``Bandwidth`` for memory. They are read-only:
``updated`` returns a new table.
"""

import re
from collections.abc import ItemsView, Iterable, Iterator, Mapping
from typing import Any, Generic, Self, TypeVar

V = TypeVar("V", bound=int)

_MASK = re.compile(r"[0-9a-fA-F]{1,16}", re.ASCII)
_CACHE_ID = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class Cbm(int):
    """A capacity bitmask: an int whose ``&``, ``|`` and ``^`` give masks. Its repr and its JSON are hexadecimal.

    ``mask & ~other`` are the ways of ``mask`` that ``other`` does not have.
    """

    @classmethod
    def parse(cls, text: str) -> "Cbm":
        """Read a mask as resctrl prints it: hexadecimal, with any padding and surrounding blanks. Raises ValueError."""
        text = text.strip()
        if not _MASK.fullmatch(text):
            raise ValueError(f"not a hexadecimal mask: {text!r}")
        return cls(int(text, 16))

    def __and__(self, other: int) -> "Cbm":
        return Cbm(int(self) & int(other))

    def __or__(self, other: int) -> "Cbm":
        return Cbm(int(self) | int(other))

    def __xor__(self, other: int) -> "Cbm":
        return Cbm(int(self) ^ int(other))

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __repr__(self) -> str:
        return f"{self:#x}"

    def to_json(self) -> str:
        """The mask in hexadecimal, without padding."""
        return f"{self:x}"

    @classmethod
    def from_json(cls, value: object) -> "Cbm":
        """The mask of ``to_json``. Raises ValueError."""
        if not isinstance(value, str):
            raise ValueError(f"expected a hexadecimal mask, got {value!r}")  # noqa: TRY004 - what decoders expect
        return cls.parse(value)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of ``to_json``."""
        return {"type": "string", "pattern": "^[0-9a-f]{1,16}$"}


class _Table(Mapping[str, Mapping[int, V]], Generic[V]):
    """Values by resource name and cache id, such as ``{"L3": {0: …, 1: …}}``; equal to a dict with the same content."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[str, Mapping[int, V]] | None = None) -> None:
        self._rows: dict[str, dict[int, V]] = {name: dict(row) for name, row in (rows or {}).items()}

    @classmethod
    def of(cls, entries: Iterable[tuple[str, int, V]]) -> Self:
        """The table with these (resource, cache id, value)."""
        table = cls()
        for resource, cache_id, value in entries:
            table._rows.setdefault(resource, {})[cache_id] = value
        return table

    def at(self, resource: str, cache_id: int) -> V | None:
        """The value of one cache; None where the table has none, which is not the same as 0."""
        row = self._rows.get(resource)
        return None if row is None else row.get(cache_id)

    def row(self, resource: str) -> Mapping[int, V]:
        """The values of one resource by cache id; empty where it has none."""
        return self._rows.get(resource, {})

    def entries(self) -> Iterator[tuple[str, int, V]]:
        """Every (resource, cache id, value)."""
        return ((resource, i, value) for resource, row in self._rows.items() for i, value in row.items())

    def places(self) -> set[tuple[str, int]]:
        """Every (resource, cache id) that has a value."""
        return {(resource, i) for resource, row in self._rows.items() for i in row}

    def covers(self, other: "_Table[V]") -> bool:
        """Whether every value of ``other`` is in this table, too."""
        return all(self.at(resource, i) == value for resource, i, value in other.entries())

    def updated(self, other: Mapping[str, Mapping[int, V]]) -> Self:
        """This table with the values of ``other`` replacing those in the same places."""
        return type(self)({**self._rows, **{name: {**self._rows.get(name, {}), **row} for name, row in other.items()}})

    def sorted(self) -> Self:
        """This table with its entries in order, as tables that are read from files and documents are."""
        return self.of(sorted(self.entries()))

    def to_json(self) -> Mapping[str, Mapping[int, V]]:
        """The table as an object of objects."""
        return self._rows

    def items(self) -> ItemsView[str, Mapping[int, V]]:
        """The rows by resource; the view of a dict, several times as fast as that of a Mapping."""
        return self._rows.items()

    def __getitem__(self, resource: str) -> Mapping[int, V]:
        return self._rows[resource]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._rows!r})"


class Masks(_Table[Cbm]):
    """The mask of each cache: resource name to cache id to Cbm."""

    __slots__ = ()

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The masks of ``to_json``. Raises ValueError."""
        return cls.of(sorted((resource, i, Cbm.from_json(mask)) for resource, i, mask in json_entries(value)))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of ``to_json``."""
        return json_table_schema(Cbm.json_schema())


class Amounts(_Table[int]):
    """A number for each cache: resource name to cache id to, for example, a size in bytes."""

    __slots__ = ()

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The numbers of ``to_json``. Raises ValueError."""
        return cls.of(sorted((resource, i, json_int(number)) for resource, i, number in json_entries(value)))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of ``to_json``."""
        return json_table_schema({"type": "integer"})


class Bandwidth(Amounts):
    """The bandwidth of each cache id, in the host's unit: resource name (MB, SMBA) to cache id to number."""

    __slots__ = ()


def json_entries(value: object) -> Iterator[tuple[str, int, object]]:
    """The entries of a table in decoded JSON, values unchecked. Raises ValueError."""
    for resource, row in _object(value).items():
        for key, entry in _object(row).items():
            if not _CACHE_ID.fullmatch(key):
                raise ValueError(f"expected a cache id, got {key!r}")
            yield resource, int(key), entry


def json_int(value: object) -> int:
    """An integer in decoded JSON. Raises ValueError."""
    if type(value) is not int:
        raise ValueError(f"expected an integer, got {value!r}")
    return value


def json_table_schema(entry: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a table with such entries; documents may leave an empty one out."""
    return {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": entry}, "default": {}}


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {value!r}")  # noqa: TRY004 - what decoders expect
    return value


def runs(mask: int) -> Iterator[tuple[int, int]]:
    """The runs of contiguous set bits as (lowest bit, length), lowest first."""
    start, mask = 0, int(mask)
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
    mask = int(mask)
    return mask & (mask + (mask & -mask)) == 0


def largest_run(mask: int) -> int:
    """The length of the longest run of set bits; 0 for an empty mask."""
    return max((length for _, length in runs(mask)), default=0)
