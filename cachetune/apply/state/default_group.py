"""What the ledger knows about the default group: what it gave up for guests, and what it had at first."""

from typing import NamedTuple

from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.host.model import DEFAULT_GROUP, BandwidthUnit
from cachetune.host.resctrl.schemata import parse
from cachetune.plan.allocation import Allocation
from cachetune.plan.model import DefaultGoal, DefaultShrink, Plan
from cachetune.plan.steps import WriteSchemata


class DefaultRecord(NamedTuple):
    """How the default group is shrunk for guests, and its ``initial`` values where ``cachetune default`` changed it.

    ``unit`` is that of MB in them; None if they have none.
    """

    shrunk: DefaultShrink | None
    initial: Allocation
    unit: BandwidthUnit | None

    def after(self, plan: Plan) -> "DefaultRecord":
        """The record after the plan has been carried out. Calling this twice changes nothing."""
        if plan.default_group:
            return _after_goal(self, plan, plan.default_group)
        shrunk = self.shrunk
        for step in plan.steps:
            if isinstance(step, WriteSchemata) and step.path == DEFAULT_GROUP:
                before = parse(step.before).masks
                shrunk = follow_shrink(shrunk, before, parse(step.after).masks, _shared(before, plan))
        return self._replace(shrunk=shrunk)


def follow_shrink(
    shrunk: DefaultShrink | None, before: Masks, after: Masks, shared: Masks | None = None
) -> DefaultShrink | None:
    """How far the default group is shrunk after one more write: the oldest masks, without those it has back."""
    first, last, common = _entries(shrunk)
    for name, cache_id, mask in after.entries():
        place = (name, cache_id)
        old = before.at(*place)
        was = mask if old is None else old
        if last.get(place) not in (was, mask):
            first[place] = was
            common[place] = (shared.at(*place) if shared else None) or Cbm(0)
        original = first.setdefault(place, was)
        if was & ~mask and mask & ~original:  # it moves: the ways that it enters replace those that it leaves
            original = first[place] = original & ~(was & ~mask) | mask
            common[place] = common.get(place, Cbm(0)) & original
        last[place] = mask
        if mask & original == original:
            for entries in (first, last, common):
                entries.pop(place, None)
    return DefaultShrink(_table(first), _table(last), _table(common)) if first else None


def _after_goal(record: DefaultRecord, plan: Plan, goal: DefaultGoal) -> DefaultRecord:
    """The record after a plan for the default group: what it loses or gains by it, it did not give up for guests."""
    now = plan.host_groups.get(DEFAULT_GROUP)
    before = now.masks if now else Masks()
    left = before.updated(_written(plan))
    first, last, common = _entries(record.shrunk)
    masks = {(name, i): mask for name, i, mask in record.initial.masks.entries()}
    limits = {
        (name, i): value
        for name, i, value in record.initial.bandwidth.entries()
        if name != "MB" or record.unit == plan.bandwidth_unit  # else it is from another mount, which has ended
    }
    for name, cache_id, mask in goal.values.masks.entries():
        place = (name, cache_id)
        had, given_up_for_guests = before.at(*place), last.pop(place, None)
        first_mask = first.pop(place, None) if given_up_for_guests == had else had
        first.pop(place, None)
        common.pop(place, None)
        if not goal.reset:
            masks.setdefault(place, first_mask or mask)
            continue
        masks.pop(place, None)
        if mask & ~(held := left.at(*place) or mask):
            first[place], last[place], common[place] = mask, held, Cbm(0)
    for name, node, value in goal.values.bandwidth.entries():
        if goal.reset:
            limits.pop((name, node), None)
        else:
            limits.setdefault((name, node), (now.bandwidth.at(name, node) if now else None) or value)
    initial = Allocation(_table(masks), Bandwidth.of((name, i, value) for (name, i), value in limits.items()))
    shrunk = DefaultShrink(_table(first), _table(last), _table(common)) if first else None
    return DefaultRecord(shrunk, initial, plan.bandwidth_unit if initial.bandwidth.row("MB") else None)


def _written(plan: Plan) -> Masks:
    """The masks that the plan writes to the default group."""
    masks = Masks()
    for step in plan.steps:
        if isinstance(step, WriteSchemata) and step.path == DEFAULT_GROUP:
            masks = masks.updated(parse(step.after).masks)
    return masks


_Entries = dict[tuple[str, int], Cbm]


def _entries(shrunk: DefaultShrink | None) -> tuple[_Entries, _Entries, _Entries]:
    tables = (shrunk.before, shrunk.after, shrunk.shared) if shrunk else (Masks(), Masks(), Masks())
    first, last, common = ({(name, i): mask for name, i, mask in table.entries()} for table in tables)
    return first, last, common


def _table(entries: _Entries) -> Masks:
    return Masks.of((name, i, mask) for (name, i), mask in entries.items())


def _shared(before: Masks, plan: Plan) -> Masks:
    """The default group's ways that other groups had as well. Groups with exactly its mask follow it: not counted."""
    others = [state.masks for path, state in plan.host_groups.items() if path != DEFAULT_GROUP]
    shared: list[tuple[str, int, Cbm]] = []
    for name, cache_id, mask in before.entries():
        theirs = 0
        for masks in others:
            held = masks.at(name, cache_id)
            theirs |= held if held is not None and held != mask else 0
        shared.append((name, cache_id, mask & theirs))
    return Masks.of(shared)
