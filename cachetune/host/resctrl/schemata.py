"""The ``schemata`` text: parsed as the kernel writes it, formatted as libvirt writes it, compared as values.

Kernels pad differently (6.12 pads masks with zeros and bandwidths with blanks, 7.1 does not pad), so different texts
can mean the same.
"""

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cachetune.cbm import Amounts, Bandwidth, Cbm, Masks
from cachetune.idset import format_ids
from cachetune.units import BANDWIDTH_RESOURCES

_CACHE = re.compile(r"L([0-9]{1,2})(CODE|DATA|)", re.ASCII)
# int() alone would accept signs, underscores, prefixes and other digits.
_MASKS = re.compile(r"(?: *[0-9]{1,10} *= *[0-9a-fA-F]{1,16} *(?:;|\Z))+[ ;]*", re.ASCII)
_NUMBERS = re.compile(r"(?: *[0-9]{1,10} *= *[0-9]{1,20} *(?:;|\Z))+[ ;]*", re.ASCII)
_TYPE_ORDER = {"": 0, "CODE": 1, "DATA": 2}


class Schemata(msgspec.Struct, frozen=True):
    """One group's schemata: resource name to cache id to value.

    ``other_lines`` are lines of unknown resources and lines that do not parse; the latter are also in ``malformed``.
    ``uninitialized`` are resources without values because the group is in pseudo-locksetup.
    """

    masks: Masks = msgspec.field(default_factory=Masks)
    bandwidth: Bandwidth = msgspec.field(default_factory=Bandwidth)
    other_lines: tuple[str, ...] = ()
    uninitialized: tuple[str, ...] = ()
    malformed: tuple[str, ...] = ()


# The same texts occur in many groups, and hosts are read again and again.
@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Schemata:
    """Parse a schemata text, into sorted tables. Never fails: see ``other_lines``."""
    masks: dict[str, dict[int, Cbm]] = {}
    bandwidth: dict[str, dict[int, int]] = {}
    others: list[str] = []
    malformed: list[str] = []
    uninitialized: list[str] = []
    for line in text.split("\n"):
        if not line or line.isspace():
            continue
        name, colon, values = line.partition(":")
        name = name.strip()
        try:
            if cache_resource(name):
                masks[name] = _masks(values)
            elif name in BANDWIDTH_RESOURCES:
                bandwidth[name] = _numbers(values)
            else:
                others.append(line.strip())
                malformed += [] if colon else others[-1:]
        except ValueError:
            if values.strip() == "uninitialized":
                uninitialized.append(name)
            else:
                others.append(line.strip())
                malformed.append(line.strip())
    tables = Masks(masks).sorted(), Bandwidth(bandwidth).sorted()
    return Schemata(*tables, tuple(others), tuple(uninitialized), tuple(malformed))


def parse_sizes(text: str) -> Amounts:
    """Parse the caches in a group's ``size`` file: resource name to cache id to bytes. Other lines are ignored."""
    sizes: dict[str, dict[int, int]] = {}
    for line in text.split("\n"):
        name, _, values = line.partition(":")
        if cache_resource(name := name.strip()):
            with contextlib.suppress(ValueError):
                sizes[name] = _numbers(values)
    return Amounts(sizes)


@functools.lru_cache(maxsize=256)
def cache_resource(name: str) -> tuple[int, str] | None:
    """Level and type ("", "CODE", "DATA") of a cache resource such as L2DATA; None for other names."""
    match = _CACHE.fullmatch(name)
    return (int(match[1]), match[2]) if match else None


def resource_order(name: str) -> tuple[int, int, str]:
    """Sort key of resources: caches by level, then unified, code, data; then all else by name."""
    cache = cache_resource(name)
    return (cache[0], _TYPE_ORDER[cache[1]], name) if cache else (1 << 30, 0, name)


def format_schemata(
    masks: Mapping[str, Mapping[int, int]],
    bandwidth: Mapping[str, Mapping[int, int]],
    widths: Mapping[str, int],
) -> str:
    """Return the text to write, exactly like libvirt 12.8: caches ascending, then bandwidth.

    ``widths`` is the number of bits in each cache resource's cbm_mask; masks are padded to ceil(bits / 4) digits.
    """
    lines = []
    for name in sorted((n for n in masks if masks[n]), key=resource_order):
        digits = -(-widths[name] // 4)
        lines.append(_line(name, {i: f"{mask:0{digits}x}" for i, mask in masks[name].items()}))
    lines += [_line(name, values) for name, values in sorted(bandwidth.items()) if values]
    return "".join(lines)


def _line(name: str, values: Mapping[int, object]) -> str:
    return f"{name}:" + ";".join(f"{cache_id}={values[cache_id]}" for cache_id in sorted(values)) + "\n"


def format_entry(name: str, cache_id: int, value: int) -> str:
    """One value as in a schemata text: ``L3:0=7ff``, ``MB:1=50``."""
    return f"{name}:{cache_id}={value:x}" if cache_resource(name) else f"{name}:{cache_id}={value}"


def folded(text: str) -> str:
    """A schemata text in one line, where ids with the same value are together: ``L2:0=3;1-255=ff MB:0=50``."""
    return " ".join(compact(name, dict(_entries(values))) for name, values in _named_lines(text))


def compact(name: str, values: Mapping[Any, object]) -> str:
    """The values of a resource by id, ids with the same value together: ``L2:0=3;1-255=ff``."""
    alike: dict[object, list[int]] = {}
    for number, value in values.items():
        alike.setdefault(value, []).append(int(number))
    return f"{name}:" + ";".join(f"{format_ids(each)}={value}" for value, each in alike.items())


def _named_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, values = line.strip().partition(":")
        yield name, values


def merge(before: Schemata, written: Schemata) -> Schemata:
    """Return the schemata after ``written`` was written to ``before``: other entries keep their value."""
    masks, bandwidth = before.masks.updated(written.masks), before.bandwidth.updated(written.bandwidth)
    return msgspec.structs.replace(before, masks=masks, bandwidth=bandwidth)


def _masks(values: str) -> dict[int, Cbm]:
    """The masks of one line, such as ``0=7ff;1=7ff``. Raises ValueError."""
    if not _MASKS.fullmatch(values):
        raise ValueError(f"not masks: {values!r}")
    return {int(i): Cbm(int(mask, 16)) for i, mask in _entries(values)}


def _numbers(values: str) -> dict[int, int]:
    """The numbers of one line, such as ``0=100;1= 50``. Raises ValueError."""
    if not _NUMBERS.fullmatch(values):
        raise ValueError(f"not numbers: {values!r}")
    return {int(i): int(value) for i, value in _entries(values)}


def _entries(values: str) -> list[list[str]]:
    """The ids and values of one line, each a pair."""
    return [entry.split("=") for entry in values.rstrip("; ").split(";")]
