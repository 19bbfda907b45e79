"""Change a JSON document, but not its types: values move, repeat, disappear, or reach the ends of their range."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Json = Any
Place = tuple[Any, Any]  # a container and the key or the index in it

INTEGERS = (-1, 0, 1, 2, 63, 64, 65, 255, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 64, 10**30)
NUMBERS = (-1.0, 0.0, 1e-300, 1e15, 1e300)
TEXTS = (
    *(
        "",
        ".",
        "..",
        "/",
        "../../etc",
        "a/b",
        "info",
        "mon_groups",
        "mon_groups/x",
        "COS1",
        "COS1/mon_groups/x",
        "x\0y",
    ),
    *("0", "1", "7ff", "ffffffffffffffff", "-1", "99", "18446744073709551616", "0-3", "4711", "a" * 300, "é", "\n"),
    *("L3", "L2", "L3CODE", "L9", "MB", "SMBA", "L3:0=7ff\n", "L3:0=1;0=2\n", "MB:0=0\n", "shareable", "exclusive"),
    *("schemata", "cpus_list", "info/L3/io_alloc", "cachetune-web", "cachetune-db", "qemu-1-web", "1" * 40),
)


def mutated(document: Json, draw: random.Random) -> Json:
    """A copy with one to three changes."""
    changed = copy.deepcopy(document)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        draw.choice(CHANGES)(changed, draw)
    return changed


def single_changes(document: Json) -> Iterator[Json]:
    """Every extreme value in every kind of place, and every kind of place removed: one change each."""
    seen = set()
    for path in _paths(document):
        kind = tuple("[]" if isinstance(step, int) else step for step in path)
        if kind in seen:
            continue
        seen.add(kind)
        for value in (_REMOVED, *_extremes(_at(document, path))):
            changed = copy.deepcopy(document)
            place = _at(changed, path[:-1])
            if value is _REMOVED:
                del place[path[-1]]
            else:
                place[path[-1]] = value
            yield changed


_REMOVED = object()


def _paths(document: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, key))


def _at(document: Json, path: tuple[Any, ...]) -> Json:
    for step in path:
        document = document[step]
    return document


def _extremes(value: Any) -> tuple[Any, ...]:
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (*INTEGERS, value + 1, value - 1)
    if isinstance(value, float):
        return (*NUMBERS, -value, value + 61)
    return (*TEXTS, value[1:], value + "0", value.upper()) if isinstance(value, str) else ()


def encoded(document: Json) -> bytes:
    return json.dumps(document).encode()


def _places(document: Json) -> Iterator[Place]:
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in entries:
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _place(document: Json, draw: random.Random, *kinds: type) -> Place | None:
    """A place whose value has one of these types. Each key name has the same chance, wherever it occurs most."""
    places = [place for place in _places(document) if not kinds or type(place[0][place[1]]) in kinds]
    names = sorted({str(key) for of, key in places if isinstance(of, dict)} | {"[]"})
    name = draw.choice(names)
    chosen = [p for p in places if (str(p[1]) if isinstance(p[0], dict) else "[]") == name] or places
    return draw.choice(chosen) if chosen else None


def _remove(document: Json, draw: random.Random) -> None:
    if place := _place(document, draw):
        del place[0][place[1]]


def _repeat(document: Json, draw: random.Random) -> None:
    lists = [of[key] for of, key in _places(document) if isinstance(of[key], list) and of[key]]
    if lists:
        chosen = draw.choice(lists)
        chosen.insert(draw.randrange(len(chosen) + 1), copy.deepcopy(draw.choice(chosen)))


def _shuffle(document: Json, draw: random.Random) -> None:
    lists = [of[key] for of, key in _places(document) if isinstance(of[key], list) and len(of[key]) > 1]
    if lists:
        draw.shuffle(draw.choice(lists))


def _swap(document: Json, draw: random.Random) -> None:
    """Two values of one type change places, or one replaces the other."""
    if (one := _place(document, draw)) and (other := _place(document, draw, type(one[0][one[1]]))):
        first, second = copy.deepcopy(one[0][one[1]]), copy.deepcopy(other[0][other[1]])
        one[0][one[1]] = second
        if draw.random() < 0.5:
            other[0][other[1]] = first


def _extreme(document: Json, draw: random.Random) -> None:
    if place := _place(document, draw, int, float, str, bool):
        place[0][place[1]] = draw.choice(_extremes(place[0][place[1]]))


def _rename(document: Json, draw: random.Random) -> None:
    """A key of an object becomes another: a resource, a cache id, a path, the name of a field."""
    tables = [of[key] for of, key in _places(document) if isinstance(of[key], dict) and of[key]]
    if tables:
        table = draw.choice(tables)
        key = draw.choice(list(table))
        new = draw.choice([*TEXTS, *(str(key) for of, key in _places(document) if isinstance(of, dict))])
        table[new] = table.pop(key)


def _add(document: Json, draw: random.Random) -> None:
    """An object gets a key more, with a value like its others."""
    tables = [of[key] for of, key in _places(document) if isinstance(of[key], dict) and of[key]]
    if tables:
        table = draw.choice(tables)
        table[draw.choice(TEXTS)] = copy.deepcopy(draw.choice(list(table.values())))


CHANGES: tuple[Callable[[Json, random.Random], None], ...] = (
    *(_remove, _repeat, _shuffle, _swap, _swap),
    *(_extreme, _extreme, _extreme, _rename, _add),
)
