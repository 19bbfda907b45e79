"""The groups of a host, as several checks see them."""

from collections import Counter
from collections.abc import Iterable

from cachetune.doctor.examination import Examination
from cachetune.doctor.model import known
from cachetune.domain.model import Domain
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Group, Host
from cachetune.text import count, listed, printable

_OF_GUESTS = ("cachetune", "libvirt")
MOST_NAMED = 5


def guest_groups(host: Host) -> list[Group]:
    """The control groups that cachetune or libvirt made for guests."""
    return [group for group in host.control_groups() if group.owner in _OF_GUESTS]


def is_empty(group: Group) -> bool:
    """Whether nothing runs in a control group: no thread, device or CPU is in it."""
    return not (group.tids or group.other_tasks or group.cpus or group.mode.startswith("pseudo"))


def own_ways(host: Host, group: Group) -> list[tuple[CacheControl, int, int]]:
    """Cache, id and mask where a group has other ways than the default group, and not all of them.

    On a cache that a guest does not request, its group copies the default group's mask and shares it.
    """
    default = host.default_group.masks
    return [
        (cache, cache_id, mask)
        for cache in host.caches
        for cache_id, mask in group.masks.row(cache.name).items()
        if mask not in (default.at(cache.name, cache_id), cache.cbm_mask)
    ]


def named(paths: Iterable[str]) -> str:
    """Paths of groups in a sentence."""
    return listed([printable("the default group" if path == DEFAULT_GROUP else path) for path in paths], MOST_NAMED)


def holders(groups: Iterable[Group]) -> str:
    """How many groups each owner has: "3 of pqos, 2 of libvirt"."""
    counted = Counter(group.owner for group in groups if group.owner != "default")
    names = {"unknown": "unknown programs"}
    return ", ".join(f"{number} of {names.get(owner, owner)}" for owner, number in counted.most_common())


def requests_of(seen: Examination) -> dict[str, Domain]:
    """What is requested for guests, by name: for running guests, and in tuning files."""
    files = {name: file.domain for name, file in known(seen.tuning_files).items() if file.domain}
    running = {guest.running.name: guest.request for guest in known(seen.guests) if guest.request}
    return {name: domain for name, domain in {**files, **running}.items() if domain.groups}


def among(names: Iterable[str], noun: str) -> str:
    """Quoted names with their number if there are many: "guest 'web'", "7 guests: 'a', 'b' and 5 more"."""
    quoted = [repr(printable(name)) for name in names]
    start = noun if len(quoted) == 1 else f"{count(len(quoted), noun)}:"
    return f"{start} {listed(quoted, MOST_NAMED)}"
