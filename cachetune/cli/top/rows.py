"""The tree of rows: guests, the default group and foreign control groups; in them their groups, in those their caches.

A control group's values include those of its monitor groups, so a sum takes the outermost groups only. A running guest
that has no groups is a row, too: without counters, because those of the default group are not its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from cachetune.cbm import Cbm
from cachetune.cli.top.model import (
    LOCAL,
    OCCUPANCY,
    TOTAL,
    Amount,
    Key,
    Kind,
    Part,
    Row,
    most_notable,
    state_of,
    sum_of,
)
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host, parent_of
from cachetune.picture import letter_of
from cachetune.service.status import GuestState, Tuning
from cachetune.watch import Counter, Reading

_LEVEL = 3
_NOTABLE = ("invalid", "refused", "drifted")


class _Unit(msgspec.Struct, frozen=True):
    """A group with its parts: those of whole caches, and those of the NUMA nodes within them."""

    reading: Reading
    letter: str
    caches: tuple[Part, ...]
    nodes: tuple[Part, ...]

    def within(self, cache_id: int | None) -> "_Unit":
        """The group in one cache only."""
        if cache_id is None:
            return self
        caches, nodes = (tuple(p for p in parts if p.cache_id == cache_id) for parts in (self.caches, self.nodes))
        return _Unit(self.reading, self.letter, caches, nodes)


class _Root(msgspec.Struct, frozen=True):
    """What a root row has: its outermost groups."""

    key: str
    kind: Kind
    name: str
    units: list[_Unit] = []

    @property
    def paths(self) -> set[str]:
        """Those of its groups."""
        return {unit.reading.path for unit in self.units}


def rows_of(
    host: Host, readings: Iterable[Reading], guests: Sequence[GuestState] = (), *, per_cache: bool = False
) -> tuple[Row, ...]:
    """The root rows, in the order of the groups: each summed over all caches, or one for each cache.

    Rows of guests without groups are last.
    """
    letters = {group.path: letter_of(i) for i, group in enumerate(host.control_groups())}
    units = {reading.path: _unit(reading, host, letters) for reading in readings}
    inside: dict[str, list[_Unit]] = {}
    for path, unit in units.items():
        if unit.reading.kind == "monitor":
            inside.setdefault(parent_of(path), []).append(unit)
    roots = tuple(_roots(units))
    tunings: dict[str, Tuning] = {}
    ungrouped = []
    for guest in guests:
        if root := _root_with(guest, roots):
            tunings[root.key] = min(tunings.get(root.key, guest.tuning), guest.tuning, key=_notability)
        else:
            ungrouped.append(_ungrouped_row(guest))
    rows = (row for root in roots for row in _root_rows(root, inside, tunings.get(root.key), per_cache=per_cache))
    return (*rows, *ungrouped)


def _root_with(guest: GuestState, roots: Iterable[_Root]) -> _Root | None:
    """The row of a guest's groups: those of its name, or those in which its threads are."""
    own = [root for root in roots if root.kind == "guest"]
    named = (root for root in own if root.name == guest.name)
    return next(named, next((root for root in own if not root.paths.isdisjoint(guest.groups)), None))


def _notability(tuning: Tuning) -> int:
    """Several running guests can have one name."""
    return _NOTABLE.index(tuning.state) if tuning.state in _NOTABLE else len(_NOTABLE)


def _ungrouped_row(guest: GuestState) -> Row:
    return Row(
        key=(f"process {guest.pid}",),
        kind="ungrouped",
        name=guest.name or f"process {guest.pid}",
        owner="default",
        letters="",
        paths=guest.groups or (DEFAULT_GROUP,),
        occupancy=Amount(),
        own_bytes=None,
        total=Amount(),
        local=Amount(),
        state="",
        tuning=guest.tuning,
    )


def _roots(units: Mapping[str, _Unit]) -> Iterator[_Root]:
    found: dict[str, _Root] = {}
    for path, unit in units.items():
        root, around = _root_of(unit, units), units.get(parent_of(path))
        if around is None or around is unit or _root_of(around, units).key != root.key:
            found.setdefault(root.key, root).units.append(unit)
    yield from found.values()


def _root_of(unit: _Unit, units: Mapping[str, _Unit]) -> _Root:
    """The root row that a group belongs to. A foreign monitor group belongs to the control group around it."""
    reading = unit.reading
    if reading.guest is not None:
        return _Root(f"guest {reading.guest}", "guest", reading.guest, [])
    around = units.get(parent_of(reading.path))
    if around is not None and around is not unit:
        return _root_of(around, units)
    if reading.path == DEFAULT_GROUP:
        return _Root(DEFAULT_GROUP, "default", "default group", [])
    return _Root(f"group {reading.path}", "foreign", reading.path, [])


def _root_rows(
    root: _Root, inside: Mapping[str, Sequence[_Unit]], tuning: Tuning | None, *, per_cache: bool
) -> Iterator[Row]:
    ids = sorted({part.cache_id for unit in root.units for part in unit.caches})
    for cache_id in ids if per_cache and ids else (None,):
        key = (root.key,) if cache_id is None else (f"{root.key} L3 {cache_id}",)
        units = [unit.within(cache_id) for unit in root.units]
        if len(units) == 1 and root.kind != "guest":
            rows = _inner_rows(key, units[0], inside, cache_id)
        else:
            rows = tuple(_group_row(key, unit, inside, cache_id) for unit in units)
        yield replace(_row(key, root.kind, root.name, units, rows, cache_id), tuning=tuning)


def _group_row(above: Key, unit: _Unit, inside: Mapping[str, Sequence[_Unit]], cache_id: int | None) -> Row:
    key = (*above, unit.reading.path)
    return _row(key, "group", _label(unit.reading), [unit], _inner_rows(key, unit, inside, cache_id), cache_id)


def _inner_rows(key: Key, unit: _Unit, inside: Mapping[str, Sequence[_Unit]], cache_id: int | None) -> tuple[Row, ...]:
    """The monitor groups in a control group that are the same guest's or no guest's, then its caches."""
    of_control = unit.reading.kind == "control"
    monitors = [
        _group_row(key, each.within(cache_id), {}, cache_id)
        for each in (inside.get(unit.reading.path, ()) if of_control else ())
        if each.reading.guest in (None, unit.reading.guest)
    ]
    caches = [] if cache_id is not None else [_cache_row(key, unit, part) for part in unit.caches]
    nodes = [] if cache_id is None else [_cache_row(key, unit, part) for part in unit.nodes]
    return (*monitors, *caches, *nodes)


def _cache_row(above: Key, unit: _Unit, part: Part) -> Row:
    name = f"L3 {part.cache_id}" if part.node is None else f"node {part.node}"
    key = (*above, name)
    of_cache = [each for each in unit.nodes if each.cache_id == part.cache_id] if part.node is None else []
    alone = _Unit(unit.reading, unit.letter, (part,), ())
    return _row(key, "cache", name, [alone], tuple(_cache_row(key, unit, n) for n in of_cache), part.cache_id)


def _row(key: Key, kind: Kind, name: str, units: Sequence[_Unit], rows: tuple[Row, ...], cache_id: int | None) -> Row:
    parts = [part for unit in units for part in unit.caches]
    states = [state_of(part) for part in parts]
    state, lack = most_notable(states)
    ids = {part.cache_id for part in parts}
    where = {part.cache_id for part, (each, _) in zip(parts, states, strict=True) if each == state}
    return Row(
        key=key,
        kind=kind,
        name=name,
        owner=units[0].reading.owner,
        letters="".join(sorted(dict.fromkeys(unit.letter for unit in units))),
        paths=tuple(unit.reading.path for unit in units),
        occupancy=sum_of(part.occupancy for part in parts),
        own_bytes=_own_bytes(parts),
        total=sum_of(part.total for part in parts),
        local=sum_of(part.local for part in parts),
        state=state,
        lack=lack,
        where=tuple(sorted(where)) if where != ids else (),
        cache_id=cache_id,
        mask=_union(part.mask for part in parts) if len(ids) == 1 else None,
        rows=rows,
    )


def _own_bytes(parts: Iterable[Part]) -> int | None:
    """What the ways of several groups hold: ways that they share count once."""
    ways: dict[tuple[int, int | None], tuple[Cbm, int]] = {}
    for part in parts:
        if part.mask is None or part.way_bytes is None:
            return None
        known, _ = ways.get((part.cache_id, part.node), (Cbm(0), 0))
        ways[part.cache_id, part.node] = known | part.mask, part.way_bytes
    return sum(mask.bit_count() * way_bytes for mask, way_bytes in ways.values()) if ways else None


def _union(masks: Iterable[Cbm | None]) -> Cbm | None:
    union = None
    for mask in masks:
        if mask is not None:
            union = mask if union is None else union | mask
    return union


def _label(reading: Reading) -> str:
    """What a group is for; its name if that does not say it. A guest's row is above it."""
    if reading.guest is None:
        return reading.name
    if reading.vcpus is not None:
        text = f"vCPU{'s' if set(reading.vcpus) & set('-,') else ''} {reading.vcpus}"
    else:
        text = reading.threads or "all threads"
    return f"mon {text}" if reading.kind == "monitor" else text


def _unit(reading: Reading, host: Host, letters: Mapping[str, str]) -> _Unit:
    found: dict[tuple[int, int | None], dict[str, Counter]] = {}
    for counter in reading.counters:
        if counter.resource == "L3":
            found.setdefault((counter.id, counter.node), {})[counter.event] = counter
    parts = [_part(reading.path, *place, counters, host) for place, counters in found.items()]
    whole, nodes = (tuple(p for p in parts if (p.node is None) is is_whole) for is_whole in (True, False))
    return _Unit(reading, letters.get(parent_of(reading.path), ""), whole, nodes)


def _part(path: str, cache_id: int, node: int | None, counters: Mapping[str, Counter], host: Host) -> Part:
    controls = [control for control in host.caches if control.level == _LEVEL]
    way_bytes = controls[0].way_bytes(cache_id) if controls else None
    return Part(
        cache_id=cache_id,
        node=node,
        mask=_mask(path, cache_id, controls, host),
        way_bytes=way_bytes // host.snc_nodes if way_bytes and node is not None else way_bytes,
        occupancy=_current(counters.get(OCCUPANCY)),
        total=_rate(counters.get(TOTAL)),
        local=_rate(counters.get(LOCAL)),
    )


def _mask(path: str, cache_id: int, controls: Sequence[CacheControl], host: Host) -> Cbm | None:
    """The ways of a group; with CDP, those for code or data."""
    group = host.group(parent_of(path))
    return _union(group.masks.at(control.name, cache_id) for control in controls) if group else None


def _current(counter: Counter | None) -> Amount | None:
    if counter is None:
        return None
    value = counter.number
    return Amount(why=counter.state) if value is None else Amount(float(value), partial=counter.partial)


def _rate(counter: Counter | None) -> Amount | None:
    if counter is None:
        return None
    return Amount(why=counter.state) if counter.value is None else Amount(counter.per_second, partial=counter.partial)
