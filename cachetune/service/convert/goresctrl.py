"""goresctrl's configuration: classes in partitions, with shares of the caches and of the memory bandwidth.

A partition's share is resolved to ways first, the smallest share first, and a class's share or mask is taken of its
partition's ways. Bandwidth is a percentage of the partition's percentage, or the lower of both limits in MBps.
Source: goresctrl 0.3.0 as observed, its config.go, and doc/rdt.md.

The YAML is composed, not constructed: each value keeps its line and column, and no object is made from it. Aliases are
refused, because with them a small file can describe a huge one. PyYAML is an extra, imported here alone.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cachetune.cbm import Bandwidth, Cbm, Masks, is_contiguous
from cachetune.errors import MissingExtraError
from cachetune.host.model import BandwidthControl, CacheControl, Host
from cachetune.service.convert.model import Foreign, ForeignClass, invalid, numbers
from cachetune.text import printable

_DEEPEST = 12
_PERCENT = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?%", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]{1,16}", re.ASCII)
_LIMIT = re.compile(r"([0-9]{1,10})(%|MBps)", re.ASCII)
_KEYS = {"l2Allocation", "l3Allocation", "mbAllocation", "classes"}
_ROOT = ("", "DEFAULT", "system/default")  # its name depends on the version
_CLASS_KEYS = {"l2Allocation", "l3Allocation", "mbAllocation"}


class Node(msgspec.Struct, frozen=True):
    """A value of the document with its place; ``value`` is a text, a list, or a mapping. An empty one is ""."""

    value: Any
    where: str

    def items(self) -> Iterator[tuple[str, "Node"]]:
        """The entries of a mapping; none of an empty value. Raises InputError for anything else."""
        if self.value == "":
            return
        if not isinstance(self.value, dict):
            raise invalid(self.where, "expected a mapping")
        yield from self.value.items()

    def get(self, key: str) -> "Node | None":
        """The value of a key, None without it."""
        return dict(self.items()).get(key)

    def text(self) -> str:
        """The text of a scalar. Raises InputError for anything else."""
        if not isinstance(self.value, str):
            raise invalid(self.where, "expected a text")
        return self.value


class Share(msgspec.Struct, frozen=True):
    """A percentage of ways, from ``low`` to ``high``, or a mask."""

    where: str
    low: int = 0
    high: int = 0
    mask: int | None = None


class _Partition(msgspec.Struct, frozen=True):
    name: str
    node: Node
    classes: tuple[tuple[str, Node], ...]


def read(data: bytes, name: str, host: Host) -> Foreign:
    """The classes of a configuration on the host. Raises InputError for what goresctrl would refuse, with the place."""
    root = _composed(data, name)
    notes: list[str] = []
    partitions = [*_partitions(root, notes)]
    masks: dict[str, dict[str, dict[int, Cbm]]] = {}
    for control in host.caches:
        for cache_id in control.size_bytes:
            for of, mask in _masks(partitions, control, cache_id):
                masks.setdefault(of, {}).setdefault(control.name, {})[cache_id] = mask
    notes += _missing_levels(partitions, host)
    limits = _limits(partitions, host, notes)
    classes = (
        ForeignClass(
            name=of or "DEFAULT",
            masks=Masks(masks.get(of, {})),
            bandwidth=Bandwidth({"MB": limits[of]} if of in limits else {}),
            is_default=of in _ROOT,
        )
        for partition in partitions
        for of, _ in partition.classes
    )
    return Foreign(tuple(classes), tuple(notes))


# the document


def _composed(data: bytes, name: str) -> Node:
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("convert", "PyYAML", "reading goresctrl's configuration") from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc] # without stubs it is Any
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark
                raise invalid(f"{name}:{mark.line + 1}:{mark.column + 1}", "aliases are not supported")
            return super().compose_node(parent, index)

    try:
        node = yaml.compose(data, Loader=Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise invalid(where, f"not YAML: {getattr(error, 'problem', None) or 'it cannot be read'}") from None
    except (RecursionError, ValueError):
        raise invalid(name, "not YAML that can be read") from None
    return _node(node, name, 0) if node else Node("", name)


def _node(node: Any, name: str, depth: int) -> Node:
    where = f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    if depth > _DEEPEST:
        raise invalid(where, "nested too deeply")
    if node.id == "mapping":
        found: dict[str, Node] = {}
        for key, value in node.value:
            word = _node(key, name, depth + 1).text()
            if word in found:
                raise invalid(where, f"{word!r} occurs twice")
            found[word] = _node(value, name, depth + 1)
        return Node(found, where)
    if node.id == "sequence":
        return Node([_node(each, name, depth + 1) for each in node.value], where)
    return Node("" if node.tag.endswith(":null") else str(node.value), where)


def _partitions(root: Node, notes: list[str]) -> Iterator[_Partition]:
    found = root.get("partitions")
    if found is None:
        raise invalid(root.where, "no partitions", "this is not a configuration of goresctrl")
    seen: set[str] = set()
    for name, node in found.items():
        _note_unknown(node, _KEYS, notes)
        classes = tuple((node.get("classes") or Node("", node.where)).items())
        for of, each in classes:
            if of in seen:
                raise invalid(each.where, f"class {of!r} is defined twice")
            seen.add(of)
            _note_unknown(each, _CLASS_KEYS, notes)
        yield _Partition(name, node, classes)


def _note_unknown(node: Node, known: set[str], notes: list[str]) -> None:
    notes += [f"{each.where}: {printable(key)} is left out" for key, each in node.items() if key not in known]


# caches


def _masks(partitions: list[_Partition], control: CacheControl, cache_id: int) -> Iterator[tuple[str, Cbm]]:
    """The mask of each class on one cache, if caches of this level are allocated at all."""
    key = f"l{control.level}Allocation"
    shares = {p.name: _share(node, cache_id, control.type) for p in partitions if (node := p.node.get(key))}
    if not shares:
        for partition in partitions:
            for of, node in partition.classes:
                if value := node.get(key):
                    raise invalid(value.where, f"class {of!r} has {key}, but its partition has none")
        return
    if lacking := next((p for p in partitions if p.name not in shares), None):
        raise invalid(lacking.node.where, f"partition {lacking.name!r} has no {key}, but others have")
    bases = dict(_bases(shares, control))
    for partition in partitions:
        for of, node in partition.classes:
            value = node.get(key)
            share = _share(value, cache_id, control.type) if value else Share(node.where, high=100)
            yield of, _overlaid(share, bases[partition.name], control)


def _share(node: Node, cache_id: int, kind: str) -> Share:
    """The share of one cache, of one type: unified stands for those not given."""
    value = _of_id(node, cache_id) or Node("100%", node.where)
    if isinstance(value.value, dict):
        chosen = value.get(kind if kind != "both" else "unified") or value.get("unified")
        if chosen is None:
            raise invalid(value.where, "no unified allocation")
        value = chosen
    return _parsed_share(value)


def _of_id(node: Node, cache_id: int) -> Node | None:
    """The value for one id: its own, or that of all. Without ids, the value is for all."""
    if not isinstance(node.value, dict) or node.value.keys() & {"unified", "code", "data"}:
        return node
    found = node.get("all")
    for key, value in node.items():
        if key != "all" and cache_id in numbers(key, value.where):
            found = value
    return found


def _parsed_share(node: Node) -> Share:
    text = node.text().strip()
    if match := _PERCENT.fullmatch(text):
        low, high = (int(match[1]), int(match[2])) if match[2] else (0, int(match[1]))
        if low > high or high > 100:
            raise invalid(node.where, f"{text!r} is not a percentage")
        return Share(node.where, low, high)
    mask = int(text, 16) if _HEX.fullmatch(text) else sum(1 << bit for bit in numbers(text, node.where) if bit < 64)
    if not mask or not is_contiguous(Cbm(mask)):
        raise invalid(node.where, f"{text[:40]!r} is not a percentage or a mask without holes")
    return Share(node.where, mask=mask)


def _bases(shares: Mapping[str, Share], control: CacheControl) -> Iterator[tuple[str, Cbm]]:
    """The ways of each partition, by masks or by percentages."""
    if all(share.mask is not None for share in shares.values()):
        taken = Cbm(0)
        for name, share in shares.items():
            mask = Cbm(share.mask or 0)
            if mask & taken or mask & ~control.cbm_mask:
                why = "overlaps another partition" if mask & taken else f"the host has the ways {control.cbm_mask:#x}"
                raise invalid(share.where, f"{mask:#x} on {control.name}: {why}")
            taken |= mask
            yield name, mask
        return
    if odd := next((s for s in shares.values() if s.mask is not None or s.low), None):
        raise invalid(odd.where, "partitions must all have masks, or all have percentages")
    if sum(share.high for share in shares.values()) > 100:
        raise invalid(next(iter(shares.values())).where, f"the partitions have more than 100% of {control.name}")
    yield from _relative_bases(shares, control)


def _relative_bases(shares: Mapping[str, Share], control: CacheControl) -> Iterator[tuple[str, Cbm]]:
    """The ways of all percentages together are divided, rounded down; the masks follow each other sorted by name."""
    least, percent = max(control.min_cbm_bits, 1), sum(share.high for share in shares.values())
    total = left = percent * control.ways // 100
    ways: dict[str, int] = {}
    smallest_first = sorted(sorted(shares.items()), key=lambda item: item[1].high)
    for number, (name, share) in enumerate(smallest_first, 1):
        if left < least:
            raise invalid(share.where, f"no ways are left for partition {name!r} on {control.name}")
        wanted = max(share.high * left // (left * percent // total), least)
        ways[name] = left if number == len(shares) else min(wanted, left)
        left -= ways[name]
    first = 0
    for name in sorted(shares):
        yield name, Cbm(((1 << ways[name]) - 1) << first)
        first += ways[name]


def _overlaid(share: Share, base: Cbm, control: CacheControl) -> Cbm:
    """The class's part of its partition's ways: a mask counts from the lowest of them."""
    lowest, ways = (int(base) & -int(base)).bit_length() - 1, base.bit_count()
    if share.mask is not None:
        mask = Cbm(share.mask << lowest)
        if mask & ~base:
            raise invalid(share.where, f"{share.mask:#x} does not fit into the partition's {base:#x} on {control.name}")
        return mask
    low, high = (max(share.low, 1) - 1) * ways // 100, (max(share.high, 1) - 1) * ways // 100
    lacking = max(control.min_cbm_bits - (high - low + 1), 0)
    low, high = max(low - lacking, 0), high + max(lacking - low, 0)
    return Cbm(((1 << (high - low + 1)) - 1) << (low + lowest)) & base


def _missing_levels(partitions: list[_Partition], host: Host) -> Iterator[str]:
    """Notes on allocations of caches that the host does not have."""
    levels = {control.level for control in host.caches}
    for partition in partitions:
        for node in (partition.node, *(each for _, each in partition.classes)):
            for level in {2, 3} - levels:
                if value := node.get(f"l{level}Allocation"):
                    yield f"{value.where}: left out, because the host has no L{level}"


# memory bandwidth


def _limits(partitions: list[_Partition], host: Host, notes: list[str]) -> dict[str, dict[int, int]]:
    """The bandwidth of each class by node, in the host's unit."""
    control = host.bandwidth("MB")
    found: dict[str, dict[int, int]] = {}
    for partition in partitions:
        whole = partition.node.get("mbAllocation")
        for of, node in partition.classes:
            value = node.get("mbAllocation")
            if value and not whole:
                raise invalid(value.where, f"class {of!r} has mbAllocation, but its partition has none")
        if whole and (control is None or control.unit == "1/8 GB/s"):
            why = "the host's unit is 1/8 GB/s" if control else "the host does not limit memory bandwidth"
            notes.append(f"{whole.where}: left out, because {why}")
        elif whole and control:
            for of, node in partition.classes:
                found[of] = {i: _limit(whole, node.get("mbAllocation"), i, control) for i in control.ids}
    return found


def _limit(whole: Node, part: Node | None, node_id: int, control: BandwidthControl) -> int:
    in_percent = control.unit == "percent"
    most = 100 if in_percent else (1 << 32) - 1
    base = _parsed_limit(whole, node_id, most, in_percent=in_percent)
    own = most if part is None else _parsed_limit(part, node_id, most, in_percent=in_percent)
    if not in_percent:
        return min(own, base)
    return max(own * max(base, control.min_bandwidth) // 100, control.min_bandwidth)


def _parsed_limit(node: Node, node_id: int, most: int, *, in_percent: bool) -> int:
    """The value in the host's unit from a list such as [50%, 2000MBps]."""
    values = _of_id(node, node_id)
    if values is None:
        return most
    for each in values.value if isinstance(values.value, list) else [values]:
        match = _LIMIT.fullmatch(each.text().strip())
        if not match:
            raise invalid(each.where, f"{each.text()[:40]!r} is not a bandwidth such as 50% or 2000MBps")
        if (match[2] == "%") == in_percent:
            if int(match[1]) > most:
                raise invalid(each.where, f"{match[0]} is more than {most}{match[2]}")
            return int(match[1])
    raise invalid(values.where, f"no value in {'percent' if in_percent else 'MBps'}, which this host needs")
