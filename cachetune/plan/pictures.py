"""The ways of a plan as pictures: of each group before and after the plan, beside what the other groups have.

The letters are those that ``cachetune show`` has once the plan is carried out.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cachetune.cbm import Cbm, Masks
from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.resctrl.schemata import parse
from cachetune.picture import io_picture, letter_of, owners_picture
from cachetune.plan.model import Plan, Resource
from cachetune.plan.steps import RemoveGroup, WriteSchemata

_MOST_BESIDE = 20
"""More ways than this take two lines where a mask changes."""


class Cell(NamedTuple):
    """The text about one cache: lines of text, the marks of I/O below them, and the pictures among it."""

    lines: tuple[str, ...]
    marks: str = ""
    pictures: tuple[str, ...] = ()

    def then(self, text: str) -> "Cell":
        """The cell with more text at its end."""
        return self._replace(lines=(*self.lines[:-1], f"{self.lines[-1]}{text}"))


class Pictures:
    """The pictures of one plan."""

    def __init__(self, plan: Plan) -> None:
        before = {path: state.masks for path, state in plan.host_groups.items()}
        after = _masks_after(plan, before)
        self._before, self._after = _Owners(before.values()), _Owners(after.values())
        paths = sorted(path for path in after if "mon_groups/" not in path and path != DEFAULT_GROUP)
        self._letters = {path: letter_of(i) for i, path in enumerate((DEFAULT_GROUP, *paths))}

    def draw(self, path: str, resource: Resource, cache_id: int, mask: Cbm, old: Cbm | None) -> Cell:
        """A mask of the group; ``old`` is the one before the plan if the plan changes it."""
        ways, place, letter = resource.ways, (resource.name, cache_id), self._letters.get(path, "?")
        digits = -(-ways // 4)
        now = owners_picture([(letter, mask)], ways, self._after.others(place, mask))
        text = f"{now} {mask:0{digits}x}"
        io_ways = resource.io_ways.get(cache_id, Cbm(0))
        matters = io_ways & (mask | (old or 0)) and io_ways.bit_count() < ways
        marks = io_picture(io_ways, ways).rstrip() if matters else ""
        if old is None or old == mask:
            return Cell((text,), marks, (now, marks))
        then = owners_picture([(letter, old)], ways, self._before.others(place, old))
        first = f"{then} {old:0{digits}x} ->"
        if ways > _MOST_BESIDE:
            return Cell((first, text), marks, (then, now, marks))
        both = f"{marks:{len(first) + 1}}{marks}" if marks else ""
        return Cell((f"{first} {text}",), both, (then, now, marks))


def _masks_after(plan: Plan, before: Mapping[str, Masks]) -> dict[str, Masks]:
    """The masks of all groups after the plan."""
    after = dict(before)
    for group in plan.groups:
        after[group.path] = after.get(group.path, Masks()).updated(group.schemata.masks)
    for step in plan.steps:
        if isinstance(step, WriteSchemata):
            after[step.path] = after.get(step.path, Masks()).updated(parse(step.after).masks)
        elif isinstance(step, RemoveGroup):
            after.pop(step.path, None)
    return after


class _Owners:
    """Which ways of each cache some group has, and which several have."""

    def __init__(self, groups: Iterable[Masks]) -> None:
        self._once: dict[tuple[str, int], int] = {}
        self._twice: dict[tuple[str, int], int] = {}
        for masks in groups:
            for resource, cache_id, mask in masks.entries():
                place = resource, cache_id
                once = self._once.get(place, 0)
                self._twice[place] = self._twice.get(place, 0) | (once & mask)
                self._once[place] = once | mask

    def others(self, place: tuple[str, int], mask: int) -> int:
        """The ways that other groups have, given the mask of this one, which is one of the groups."""
        return (self._once.get(place, 0) & ~mask) | self._twice.get(place, 0)
