"""The steps that lead back from what reports have done, as a plan of cachetune lists them.

They are those of the reports, reversed, with one exception: of writes of masks that follow each other, each cache is
written for itself, and those that give up ways come first. A group that shares the default group's ways follows it in
both directions, so the default group is written before it.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Step = dict[str, Any]
_DEFAULT = "."
_BANDWIDTHS = ("MB", "SMBA")


def inverse(done: Sequence[Mapping[str, Any]], removals: Mapping[str, Step]) -> list[Step]:
    """The steps that undo the steps ``done``.

    ``removals`` are the steps that would remove each group now, by path. Raises KeyError for a group that is not among
    them, and ValueError for a kind of step that cannot be undone.
    """
    known = dict(removals)
    steps: list[Step] = []
    for step, is_new in reversed(list(_with_new_groups(done))):
        steps += _inverse(step, is_new, known)
        if step["kind"] == "remove_group":
            known[str(step["path"])] = dict(step)
    runs = groupby(steps, lambda step: step["kind"] == "write_schemata" and step["before"] != "")
    return [step for writes, run in runs for step in (_ordered(run) if writes else run)]


def _with_new_groups(done: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Each step, and whether it is on a group that was created before it, which is removed with its values."""
    new: set[str] = set()
    for step in done:
        path = str(step["path"])
        yield step, (path.rpartition("/")[0] if step["kind"] == "write_file" else path) in new
        if step["kind"] == "create_group":
            new.add(path)
        elif step["kind"] == "remove_group":
            new.discard(path)


def _inverse(step: Mapping[str, Any], is_new: bool, removals: Mapping[str, Step]) -> Iterator[Step]:
    path = str(step["path"])
    back = {**step, "before": step.get("after"), "after": step.get("before")}
    match step["kind"]:
        case "create_group":
            yield removals[path]
        case "write_schemata":
            if not is_new:
                yield from _by_cache(back)
        case "write_file":
            if not is_new:
                yield back
        case "move_tasks":
            yield from _moves(step, path, step["from"])
        case "remove_group":
            yield {"kind": "create_group", "path": path}
            if step.get("schemata"):
                yield {"kind": "write_schemata", "path": path, "before": "", "after": step["schemata"]}
            if step.get("mode", "shareable") != "shareable":
                yield {"kind": "write_file", "path": f"{path}/mode", "before": "shareable", "after": step["mode"]}
        case kind:
            raise ValueError(kind)


def _moves(step: Mapping[str, Any], source: str, target: str) -> Iterator[Step]:
    """Threads back from ``source`` to ``target``: a monitor group takes threads of its control group only."""
    control = _control_group(target)
    if target != control != _control_group(source):
        yield {**step, "path": control, "from": source}
        source = control
    yield {**step, "path": target, "from": source}


def _control_group(path: str) -> str:
    """The control group itself, or that of a monitor group; the default group is "."."""
    return (path.rpartition("mon_groups/")[0].rstrip("/") or _DEFAULT) if "mon_groups/" in path else path


def _by_cache(write: Step) -> Iterator[Step]:
    """One write for each cache or node, as their masks can change in different directions."""
    before = _entries(write["before"])
    for (resource, number), value in _entries(write["after"]).items():
        texts = {
            "before": f"{resource}:{number}={before[resource, number]}\n",
            "after": f"{resource}:{number}={value}\n",
        }
        yield {**write, **texts}


def _entries(schemata: str) -> dict[tuple[str, str], str]:
    found = {}
    for line in schemata.splitlines():
        resource, colon, values = line.strip().partition(":")
        for number, value in (each.split("=") for each in values.split(";") if colon):
            found[resource.strip(), number.strip()] = value.strip()
    return found


def _ordered(writes: Iterator[Step]) -> list[Step]:
    """First what gives up ways, then what moves, then what gets more; the default group first of equals."""
    steps = sorted(writes, key=lambda step: (_direction(step), step["path"] != _DEFAULT))
    for grown in [step for step in steps if step["path"] == _DEFAULT and _direction(step) == 2]:
        steps = list(_with_detours(steps, grown))
    return steps


def _with_detours(steps: list[Step], grown: Step) -> Iterator[Step]:
    """A group with ways that the default group gets back, and that shares its ways then, has to share its ways before.

    ``grown`` is the write of the default group. All other writes stay as they are.
    """
    key, now, then = _value(grown, "before")[0], _value(grown, "before")[1], _value(grown, "after")[1]
    later: list[Step] = []
    for step in steps:
        is_group = step["path"] != _DEFAULT and _value(step, "before")[0] == key
        if is_group and _value(step, "after")[1] == then and _value(step, "before")[1] & then & ~now:
            yield {**step, "after": grown["before"]}
            later.append({**step, "before": grown["before"]})
    handled = {(step["path"], step["after"]) for step in later}
    for step in steps:
        if (step["path"], step["after"]) not in handled:
            yield step
        if step is grown:
            yield from later


def _direction(write: Step) -> int:
    key, old = _value(write, "before")
    new = _value(write, "after")[1]
    if key[0] in _BANDWIDTHS:
        return 1
    return 0 if new & ~old == 0 else 2 if old & ~new == 0 else 1


def _value(write: Step, side: str) -> tuple[tuple[str, str], int]:
    """The resource and the cache or node of a write of one value, and the value, a mask or a bandwidth."""
    key, value = next(iter(_entries(write[side]).items()))
    return key, int(value, 10 if key[0] in _BANDWIDTHS else 16)
