"""A ``Moment`` as bytes, for the history: its layout, which seldom changes, and its numbers.

The layout is everything but the numbers: the caches, and for each usage its group, guest, cache and mask. Moments with
the same groups share one. The numbers are whole bytes and bytes per second, eight bytes each, with the first bytes of
all numbers before the second ones of all, and so on: so the high bytes, which are mostly zero, stand together and
compress well.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Literal

import msgspec

from cachetune.cbm import Cbm
from cachetune.watch.usage import Cache, Moment, Usage

_UNKNOWN = -1
_LARGEST = (1 << 63) - 1
_WIDTH, _COLUMNS = 8, 3
_LEVEL = 1  # a higher level saves less than 1 %
_LARGEST_LAYOUT = 1 << 26


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """The part of a usage that seldom changes. A name can have any bytes, so it is not text here."""

    path: bytes
    guest: bytes | None
    kind: Literal["control", "monitor"]
    cache_id: int
    mask: int | None


class Layout(msgspec.Struct, frozen=True, array_like=True):
    """What moments with the same groups have in common."""

    caches: tuple[tuple[int, int | None, int], ...]
    rows: tuple[_Row, ...]


_decoder = msgspec.msgpack.Decoder(Layout)


def pack_layout(moment: Moment) -> bytes:
    """The layout of a moment; equal for moments that can share it."""
    caches = ((cache.id, cache.size_bytes, cache.ways) for cache in moment.caches)
    layout = Layout(tuple(caches), tuple(map(_row, moment.usages)))
    return zlib.compress(msgspec.msgpack.encode(layout), _LEVEL)


def _row(usage: Usage) -> _Row:
    guest = None if usage.guest is None else _bytes(usage.guest)
    mask = None if usage.mask is None else int(usage.mask)
    return _Row(_bytes(usage.path), guest, usage.kind, usage.cache_id, mask)


def unpack_layout(data: bytes) -> Layout:
    """The layout in ``data``. Raises ValueError if it is anything else."""
    try:
        return _decoder.decode(_decompressed(data, _LARGEST_LAYOUT))
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None


def pack_numbers(moment: Moment) -> bytes:
    """The numbers of a moment, rounded to whole bytes and bytes per second."""
    usages = moment.usages
    numbers = [_number(u.occupancy_bytes) for u in usages]
    numbers += [_number(u.total_bytes_per_second) for u in usages]
    numbers += [_number(u.local_bytes_per_second) for u in usages]
    raw = struct.pack(f"<{len(numbers)}q", *numbers)
    return zlib.compress(b"".join(raw[i::_WIDTH] for i in range(_WIDTH)), _LEVEL)


def unpack(time: float, layout: Layout, data: bytes) -> Moment:
    """The moment with this layout and these numbers. Raises ValueError if they do not belong together."""
    count = len(layout.rows)
    size = _COLUMNS * count * _WIDTH
    mixed = _decompressed(data, size)
    if len(mixed) != size:
        raise ValueError(f"numbers of {len(mixed)} B instead of {size} B")
    raw = bytearray(size)
    for i in range(_WIDTH):
        raw[i::_WIDTH] = mixed[i * _COLUMNS * count : (i + 1) * _COLUMNS * count]
    numbers = struct.unpack(f"<{_COLUMNS * count}q", raw)
    return Moment(time, tuple(Cache(*cache) for cache in layout.caches), tuple(_usages(layout.rows, numbers)))


def _usages(rows: tuple[_Row, ...], numbers: tuple[int, ...]) -> Iterator[Usage]:
    count = len(rows)
    columns = zip(rows, numbers[:count], numbers[count : 2 * count], numbers[2 * count :], strict=True)
    for row, occupancy, total, local in columns:
        yield Usage(
            path=_text(row.path),
            guest=None if row.guest is None else _text(row.guest),
            kind=row.kind,
            cache_id=row.cache_id,
            mask=None if row.mask is None else Cbm(row.mask),
            occupancy_bytes=None if occupancy < 0 else occupancy,
            total_bytes_per_second=None if total < 0 else float(total),
            local_bytes_per_second=None if local < 0 else float(local),
        )


def _number(value: float | None) -> int:
    return _UNKNOWN if value is None else min(max(round(value), 0), _LARGEST)


def _decompressed(data: bytes, most: int) -> bytes:
    """The content of ``data``; at most one byte more than ``most`` is unpacked. Raises ValueError."""
    if not isinstance(data, bytes):
        raise ValueError("not a blob")  # noqa: TRY004 - it comes from a file
    try:
        content = zlib.decompressobj().decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(content) > most:
        raise ValueError(f"more than {most} bytes")
    return content


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogatepass")


def _text(name: bytes) -> str:
    return name.decode(errors="surrogatepass")
