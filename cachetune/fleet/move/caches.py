"""The sizes of a group on another host: ways of another size, and code and data where both was, or the reverse."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from msgspec.structs import replace

from cachetune.domain.model import CacheRequest
from cachetune.findings import Finding, Source
from cachetune.fleet.move.model import By, Lost, Move, MovedValue, Part, name_of
from cachetune.fleet.move.places import PlaceRule, Places, placed
from cachetune.host.model import CacheControl, Host
from cachetune.plan.allocate.capacity import control_of, ways_of
from cachetune.plan.rounding import exact_ways, valid_ways, whole_ways
from cachetune.plan.rules import RULES
from cachetune.text import count
from cachetune.units import Rounding, Size, SizeUnit, about

_HERE = Source()
_BY: dict[SizeUnit, By] = {"B": "bytes", "ways": "ways", "%": "percent"}


class _Sized(NamedTuple):
    """A size on B in ways, as it is written, and the request that it is from."""

    ways: int
    size: Size
    source: CacheRequest


def move_caches(move: Move) -> Part[CacheRequest]:
    """Translate the sizes, sorted as those of a GroupRequest."""
    requests: list[CacheRequest] = []
    values: list[MovedValue] = []
    lost: list[Lost] = []
    for level in sorted({cache.level for cache in move.group.caches}):
        here = [cache for cache in move.group.caches if cache.level == level]
        controls = sorted((c for c in move.b.caches if c.level == level), key=lambda control: control.type)
        if not controls:
            lost += _lost(move, [(request, ways_of(request, move.b)) for request in here])
        for control in controls:
            part = _of_type(move, control, [cache for cache in here if _becomes(cache, control)])
            requests += part.requests
            values += part.values
            lost += part.lost
    return Part(tuple(requests), tuple(values), tuple(lost))


def _becomes(request: CacheRequest, control: CacheControl) -> bool:
    """Whether a request is for a resource of B: both is for code and for data, and each of them for both."""
    return control.type == request.type or "both" in (control.type, request.type)


def _of_type(move: Move, control: CacheControl, requests: Sequence[CacheRequest]) -> Part[CacheRequest]:
    """The requests that become those of one resource of B.

    Several that become one, of code and data or of several caches, are one size: the largest, the smallest with
    --round down.
    """
    by_id: defaultdict[int, list[CacheRequest]] = defaultdict(list)
    for request in requests:
        by_id[request.cache_id].append(request)
    places = placed(by_id, _places(move.a, control.level), _places(move.b, control.level), move.pins)
    lost = [*move.lost_places(places, by_id)]
    if places.rule != "cpus":
        asked = [replace(each, type=control.type) for i in places.missing for each in by_id[i]]
        lost += _lost(move, [(each, ways_of(each, move.b)) for each in asked])
    choose = min if move.options.rounding == "down" else max
    found: dict[int, _Sized] = {}
    for cache_id, sources in sorted(places.sources.items()):
        tried = [(each, _sized(move, each, control, cache_id)) for i in sources for each in by_id[i]]
        sizes = [size for _, size in tried if isinstance(size, _Sized)]
        lost += _lost(move, [(each, finding) for each, finding in tried])
        if sizes:
            found[cache_id] = choose(sizes, key=lambda size: size.ways)
    return Part(
        tuple(CacheRequest(control.level, i, control.type, sized.size, _HERE) for i, sized in found.items()),
        tuple(_value(move, control, i, sized, places.sources[i], places.rule) for i, sized in found.items()),
        tuple(lost),
    )


def _lost(move: Move, tried: Sequence[tuple[CacheRequest, object]]) -> Iterator[Lost]:
    return (move.lost(name_of(request), found) for request, found in tried if isinstance(found, Finding))


def _places(host: Host, level: int) -> Places:
    ids = next((control.size_bytes for control in host.caches if control.level == level), {})
    return Places.of(ids, host.topology.caches.get(level, {}))


def _sized(move: Move, request: CacheRequest, control: CacheControl, cache_id: int) -> _Sized | Finding:
    """A size on B, or why B cannot have it. What is less than B's minimum becomes the minimum, except with down."""
    options = move.options
    size = _in_common(move, request, control)
    keeps = size.unit != "B" and options.rounding is None and size == request.size
    rounding = None if keeps else options.direction
    asked = replace(request, cache_id=cache_id, type=control.type, size=size, rounding=rounding)
    found, valid = ways_of(asked, move.b), valid_ways(control)
    if isinstance(found, Finding):
        if found.rule != "CT206" or not valid or options.rounding == "down":
            return found
        found, keeps = valid[0], False
    way = control.way_bytes(cache_id)
    if valid and found > valid[-1]:  # the planner would say that there is no room for it, whatever is free
        most = f"a group can have at most {count(valid[-1], 'way')}"
        finding = RULES["CT204"].at(_HERE, size=request.size, resource=control.name, id=cache_id, hint=most)
        return replace(finding, message=f"{count(found, 'way')} are more than {control.name} cache {cache_id} can give")
    in_bytes = way if (options.by or _BY[request.size.unit]) != "ways" else None
    return _Sized(found, size if keeps else Size(found * in_bytes) if in_bytes else Size(found, "ways"), request)


def _in_common(move: Move, request: CacheRequest, control: CacheControl) -> Size:
    """The size in the unit that is the same on both hosts: its own, or that of ``by``.

    A percentage of A that is not the user's is rounded to B's ways here, because no text has all of its digits.
    """
    by, size = move.options.by, request.size
    ours = _control_on_a(move, request)
    way = ours.way_bytes(request.cache_id) if ours else None
    if by in (None, _BY[size.unit]) or ours is None or (way is None and "bytes" in (by, _BY[size.unit])):
        return size
    ways, direction = exact_ways(size, ours, way or 0), move.options.direction
    if by == "bytes":
        return Size(_whole(ways * (way or 0), direction))
    if by == "ways":
        return Size(_whole(ways, direction), "ways")
    return Size(whole_ways(Size(0), ways * control.ways / ours.ways, control, direction) or 0, "ways")


def _control_on_a(move: Move, request: CacheRequest) -> CacheControl | None:
    """The resource of a request on A: all those of a level have the same ways."""
    return control_of(request, move.a) or next((c for c in move.a.caches if c.level == request.level), None)


def _whole(exact: Fraction, direction: Rounding) -> int:
    return ceil(exact) if direction == "up" else int(exact) if direction == "down" else round(exact)


def _value(
    move: Move, control: CacheControl, cache_id: int, sized: _Sized, sources: tuple[int, ...], rule: PlaceRule
) -> MovedValue:
    request, way = sized.source, control.way_bytes(cache_id)
    ours = _control_on_a(move, request)
    before = ours.way_bytes(request.cache_id) if ours else None
    ways = exact_ways(request.size, ours, before or 0) if ours and (before or request.size.unit != "B") else None
    return MovedValue(
        group=move.group.who,
        resource=control.name,
        a_ids=sources,
        b_id=cache_id,
        a=_in_words(request.size, ways, before),
        b=_in_words(sized.size, Fraction(sized.ways), way),
        a_amount=int(ways * before) if ways is not None and before else None,
        b_amount=sized.ways * way if way else None,
        rule=rule,
    )


def _in_words(size: Size, ways: Fraction | None, way: int | None) -> str:
    """A size as it is requested, its ways, and its bytes: "6.75 MiB (3 ways)", "30% (4 ways, 8 MiB)"."""
    shown = about(int(size.number)) if size.unit == "B" else str(size)
    more = []
    if ways is not None and ways.denominator == 1 and size.unit != "ways":
        more.append(count(int(ways), "way"))
    if ways is not None and way and size.unit != "B":
        more.append(about(int(ways * way)))
    return f"{shown} ({', '.join(more)})" if more else shown
