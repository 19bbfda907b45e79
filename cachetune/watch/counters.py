"""Read the counters of groups from mon_data/mon_RESOURCE_ID/EVENT.

Ids are decimal, with or without leading zeros (mon_L3_08 is cache 8). A missing value is reported with its reason. It
is never replaced by 0 and does not affect other values.
"""

import errno
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec.structs import replace

from cachetune.errors import GroupNotFoundError, ResctrlError
from cachetune.host.model import Group, Host, file_of
from cachetune.host.resctrl.port import Resctrl
from cachetune.plan.groups.names import guest_in, scope_of
from cachetune.watch.model import Column, Counter, Reading, State
from cachetune.watch.partial import uncounted, with_partial_sums

NO_GUESTS: Mapping[str, str] = {}
_OWNERS_OF_GUESTS = {"cachetune", "libvirt"}
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENOTDIR}
_DIRECTORY = re.compile(r"mon_(sub_)?([A-Z0-9_]+)_([0-9]+)", re.ASCII)
_WORDS: dict[str, State] = {"Unavailable": "Unavailable", "Unassigned": "Unassigned"}


def read_counters(
    fs: Resctrl, host: Host, paths: Iterable[str], guests: Mapping[str, str] = NO_GUESTS
) -> tuple[Reading, ...]:
    """Return the counters of the groups at ``paths``, in that order, with events in the order of mon_features.

    ``guests`` are the names of guests by the paths of their groups. A group that is removed while it is read has no
    counters. Raises GroupNotFoundError for a path without a group.
    """
    events, lacking = events_of(host), uncounted(host)
    return tuple(
        with_partial_sums(replace(label, counters=_counters(fs, label.path, events)), lacking)
        for label in labels(host, paths, guests)
    )


def events_of(host: Host) -> dict[str, tuple[str, ...]]:
    """The events of each resource ("L3"), in the order of mon_features."""
    return {m.name.removesuffix("_MON"): m.features for m in host.monitors}


def labels(host: Host, paths: Iterable[str], guests: Mapping[str, str] = NO_GUESTS) -> Iterator[Reading]:
    """What is known of the groups at ``paths`` without their counters. Raises GroupNotFoundError."""
    for path in paths:
        group, scope = _group(host, path), scope_of(path)
        named = guest_in(scope.machine) if group.owner in _OWNERS_OF_GUESTS else None
        yield Reading(
            path=path,
            name=path.rpartition("/")[2],
            kind=group.kind,
            owner=group.owner,
            vcpus=scope.vcpus,
            counters=(),
            threads=scope.threads,
            guest=guests.get(path, named),
        )


def _group(host: Host, path: str) -> Group:
    group = host.group(path)
    if group is None:
        raise GroupNotFoundError(path, host.source)
    return group


def counter_files(fs: Resctrl, mon_data: str, features: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Column, str]]:
    """The counters in a mon_data directory and their files: by resource and id, those of each cache before its nodes'.

    ``features`` are each resource's events, in their order; others follow. Raises ResctrlError without permission.
    """
    for resource, number, directory in _directories(_names(fs, mon_data)):
        where, known = f"{mon_data}/{directory}", features.get(resource, ())
        names = _names(fs, where)
        for event in _in_order(names, known):
            yield Column(resource, number, event), f"{where}/{event}"
        for _, node, inner in _directories(names):
            for event in _in_order(_names(fs, f"{where}/{inner}"), known):
                yield Column(resource, number, event, node), f"{where}/{inner}/{event}"


def _counters(fs: Resctrl, path: str, events: Mapping[str, tuple[str, ...]]) -> tuple[Counter, ...]:
    return tuple(
        Counter(column.resource, column.id, column.event, *_value(fs, file), column.node)
        for column, file in counter_files(fs, file_of(path, "mon_data"), events)
    )


def _value(fs: Resctrl, path: str) -> tuple[int | str | None, State]:
    try:
        text = fs.read(path).strip()
    except ResctrlError as error:
        if error.errno == errno.EACCES:
            raise
        return None, "Vanished" if error.errno in _GONE else "Error"
    value = value_in(text)
    return (None, state_in(text)) if value is None else (value, "ok")


def value_in(text: str) -> int | str | None:
    """The number in a counter's file, as text if it has a decimal point; None for anything else."""
    if re.fullmatch(r"[0-9]{1,20}", text, re.ASCII):
        return int(text)
    return text if re.fullmatch(r"[0-9]{1,20}\.[0-9]{1,20}", text, re.ASCII) else None


def state_in(text: str) -> State:
    """Why there is no number in a counter's file."""
    return _WORDS.get(text, "Error")


def _directories(names: Iterable[str]) -> list[tuple[str, int, str]]:
    """Return the monitored domains among ``names`` as (resource, id, name), with ids in numerical order."""
    matches = ((_DIRECTORY.fullmatch(name), name) for name in names)
    return sorted((match[2], int(match[3]), name) for match, name in matches if match)


def _in_order(names: Collection[str], features: tuple[str, ...]) -> list[str]:
    """Return the events among ``names``: first the host's ``features`` in their order, then all others."""
    others = [name for name in names if name not in features and not name.startswith("mon_")]
    return [name for name in features if name in names] + others


def _names(fs: Resctrl, path: str) -> list[str]:
    """The entries of a directory; none if it does not exist or cannot be read, so that other groups still can."""
    try:
        return fs.listdir(path)
    except ResctrlError as error:
        if error.errno in (errno.EACCES, errno.EMFILE):
            raise
        return []
