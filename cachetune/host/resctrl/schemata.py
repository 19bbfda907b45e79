"""The ``schemata`` text: parsed as the kernel writes it, formatted as libvirt writes it, compared as values.

Kernels pad differently (6.12 pads masks with zeros and bandwidths with blanks, 7.1 does not pad), so different texts
can mean the same.
"""

import re
from collections.abc import Mapping

import msgspec

from cachetune.cbm import Amounts, Bandwidth, Cbm, Masks

BANDWIDTH_RESOURCES = ("MB", "SMBA")
_CACHE = re.compile(r"L([0-9]+)(CODE|DATA|)", re.ASCII)
_TYPE_ORDER = {"": 0, "CODE": 1, "DATA": 2}


class Schemata(msgspec.Struct, frozen=True):
    """One group's schemata: resource name to cache id to value.

    ``other_lines`` are lines that do not parse or belong to unknown resources. ``uninitialized`` are resources without
    values because the group is in pseudo-locksetup.
    """

    masks: Masks = msgspec.field(default_factory=Masks)
    bandwidth: Bandwidth = msgspec.field(default_factory=Bandwidth)
    other_lines: tuple[str, ...] = ()
    uninitialized: tuple[str, ...] = ()


def parse(text: str) -> Schemata:
    """Parse a schemata text. Never fails: see ``other_lines``."""
    masks: dict[str, dict[int, Cbm]] = {}
    bandwidth: dict[str, dict[int, int]] = {}
    others: list[str] = []
    uninitialized: list[str] = []
    for line in text.split("\n"):
        name, colon, values = line.partition(":")
        name = name.strip()
        if not colon and not name:
            continue
        try:
            if values.strip() == "uninitialized":
                uninitialized.append(name)
            elif name in BANDWIDTH_RESOURCES:
                bandwidth[name] = {_number(i): _number(v) for i, v in _entries(values)}
            elif cache_resource(name):
                masks[name] = {_number(i): Cbm.parse(v) for i, v in _entries(values)}
            else:
                others.append(line.strip())
        except ValueError:
            others.append(line.strip())
    return Schemata(Masks(masks), Bandwidth(bandwidth), tuple(others), tuple(uninitialized))


def parse_sizes(text: str) -> Amounts:
    """Parse the caches in a group's ``size`` file: resource name to cache id to bytes. Other lines are ignored."""
    sizes: dict[str, dict[int, int]] = {}
    for line in text.split("\n"):
        name, _, values = line.partition(":")
        if cache_resource(name := name.strip()):
            try:
                sizes[name] = {_number(i): _number(v) for i, v in _entries(values)}
            except ValueError:
                continue
    return Amounts(sizes)


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


def merge(before: Schemata, written: Schemata) -> Schemata:
    """Return the schemata after ``written`` was written to ``before``: other entries keep their value."""
    masks, bandwidth = before.masks.updated(written.masks), before.bandwidth.updated(written.bandwidth)
    return msgspec.structs.replace(before, masks=masks, bandwidth=bandwidth)


def covers(found: Schemata, wanted: Schemata) -> bool:
    """Whether ``found`` has every value in ``wanted``; other values do not matter."""
    return found.masks.covers(wanted.masks) and found.bandwidth.covers(wanted.bandwidth)


def _entries(values: str) -> list[tuple[str, str]]:
    entries = []
    for entry in values.split(";"):
        cache_id, equals, value = entry.partition("=")
        if not equals:
            if entry.strip():
                raise ValueError(f"no value in {entry!r}")
            continue
        entries.append((cache_id, value))
    return entries


def _number(text: str) -> int:
    """Parse a decimal number with blanks around it. int() alone would accept signs, underscores and other digits."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError(f"not a number: {text!r}")
    return int(text)
