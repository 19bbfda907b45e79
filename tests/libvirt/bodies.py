"""The requests to both libvirt and cachetune: the contents of ``<cputune>``, and the hosts for them.

A body is written for any host: ``Terms`` has that host's cache ids, the type that its mount knows, the size of a way.
``CASES`` are the pairs of host and body that are compared.
"""

from collections.abc import Callable

import msgspec

from cachetune.host.resctrl.port import Resctrl
from cachetune.sim import load_profile
from cachetune.sim.profile import Profile

VCPUS = 4
WAYS_WITHOUT_CONTROL = 16  # a size is needed even where the host has none

# Two sockets; code and data apart; 2 ways at least and one cache; AMD with and without gaps in the ids; no control.
# libvirt 9.0 refuses everything where AMD's bandwidth control is, so there is a host without it, too.
HOSTS: dict[str, Profile] = {
    **{
        name: load_profile(name)
        for name in ("skylake-2s", "sapphire-rapids-cdp", "haswell", "genoa", "milan", "monitor-only")
    },
    "genoa without MB": msgspec.structs.replace(load_profile("genoa"), bandwidths=()),
}
FIRST = "skylake-2s"


class Terms(msgspec.Struct, frozen=True):
    """A host as the bodies need it: L3 ids, and how a cache is requested there."""

    first: int
    last: int
    type: str
    ways: int
    way_bytes: int

    def cache(self, ways: int, at: int | None = None, type: str | None = None, **instead: object) -> str:  # noqa: A002
        """Ways of one cache, by default the first; ``instead`` changes single attributes."""
        what = {"id": self.first if at is None else at, "level": 3, "type": type or self.type}
        return _element("cache", **{**what, "size": ways * self.way_bytes, "unit": "B", **instead})


Body = Callable[[Terms], str]


class Case(msgspec.Struct, frozen=True):
    """One question: the body ``name`` on this host in this state."""

    host: str
    state: str
    name: str
    body: Body
    plugged: int | None = None

    @property
    def key(self) -> str:
        """How its answer is filed."""
        return f"{self.host} / {self.state} / {self.name}"


def _element(name: str, *inside: str, **attributes: object) -> str:
    told = "".join(f" {key}='{value}'" for key, value in attributes.items() if value is not None)
    return f"<{name}{told}>{''.join(inside)}</{name}>" if inside else f"<{name}{told}/>"


def tune(vcpus: str | None, *inside: str) -> str:
    """A ``<cachetune>``."""
    return _element("cachetune", *inside, vcpus=vcpus)


def memory(vcpus: str | None, *inside: str) -> str:
    """A ``<memorytune>``."""
    return _element("memorytune", *inside, vcpus=vcpus)


def node(at: int, bandwidth: object, unit: str | None = None) -> str:
    """The bandwidth of one node."""
    return _element("node", id=at, bandwidth=bandwidth, unit=unit)


def watch(vcpus: str | None, level: int | None = 3) -> str:
    """A ``<monitor>``; those of a memorytune have no level."""
    return _element("monitor", level=level, vcpus=vcpus)


# What depends on the host: asked on each of them.
ON_EVERY_HOST: dict[str, Body] = {
    "1 way": lambda h: tune("0", h.cache(1)),
    "2 ways": lambda h: tune("0-1", h.cache(2)),
    "3 ways for all vCPUs": lambda h: tune("0-3", h.cache(3)),
    "2 ways for vCPUs 0 and 2": lambda h: tune("0,2", h.cache(2)),
    "2 ways of the last cache": lambda h: tune("1", h.cache(2, h.last)),
    "2 groups": lambda h: tune("0-1", h.cache(2)) + tune("2-3", h.cache(3)),
    "3 groups": lambda h: tune("0", h.cache(2)) + tune("1", h.cache(2)) + tune("2-3", h.cache(2)),
    "one group in each of two caches": lambda h: tune("0", h.cache(2)) + tune("1", h.cache(3, h.last)),
    "more ways than are free": lambda h: tune("0", h.cache(h.ways - 1)),
    "2 groups that do not fit together": lambda h: tune("0", h.cache(h.ways // 2)) + tune("1", h.cache(h.ways // 2)),
    "the whole cache": lambda h: tune("0", h.cache(h.ways)),
    "more than the whole cache": lambda h: tune("0", h.cache(h.ways + 1)),
    "no multiple of a way": lambda h: tune("0", h.cache(2, size=2 * h.way_bytes + 1024)),
    "size 0": lambda h: tune("0", h.cache(0)),
    "a cache that is not there": lambda h: tune("0", h.cache(2, 99)),
    "the id after the first": lambda h: tune("0", h.cache(2, h.first + 1)),
    "level 1": lambda h: tune("0", h.cache(2, level=1)),
    "type both": lambda h: tune("0", h.cache(2, type="both")),
    "code alone": lambda h: tune("0", h.cache(2, type="code")),
    "code and data": lambda h: tune("0-1", h.cache(2, type="code"), h.cache(3, type="data")),
    "bandwidth": lambda h: memory("0-1", node(h.first, 50)),
    "bandwidth of two groups": lambda h: memory("0", node(h.first, 50)) + memory("1-3", node(h.last, 20)),
    "bandwidth and cache of one group": lambda h: tune("0-1", h.cache(2)) + memory("0-1", node(h.first, 50)),
    "bandwidth and cache of two groups": lambda h: tune("0-1", h.cache(2)) + memory("2-3", node(h.last, 50)),
    "bandwidth 10": lambda h: memory("0", node(h.first, 10)),
    "bandwidth 100": lambda h: memory("0", node(h.first, 100)),
    "bandwidth 5": lambda h: memory("0", node(h.first, 5)),
    "bandwidth 15": lambda h: memory("0", node(h.first, 15)),
    "bandwidth 110": lambda h: memory("0", node(h.first, 110)),
    "bandwidth 0": lambda h: memory("0", node(h.first, 0)),
    "bandwidth of a node that is not there": lambda h: memory("0", node(h.last + 1, 50)),
    "a monitor of the whole group": lambda h: tune("0-1", h.cache(2), watch("0-1")),
    "a monitor of one vCPU": lambda h: tune("0-1", h.cache(2), watch("1")),
    "monitors of each vCPU and of the group": lambda h: tune("0-1", h.cache(2), watch("0"), watch("1"), watch("0-1")),
    "a monitor without an allocation": lambda h: tune("0-1", watch("0-1")),
    "2 monitors without an allocation": lambda h: tune("0-3", watch("0-1"), watch("3")),
    "a memory monitor": lambda h: memory("0-1", node(h.first, 50), watch("0", None)),
    "a memory monitor alone": lambda h: memory("2", watch("2", None)),
    "cache and memory monitor of one vCPU": lambda h: (
        tune("0-1", h.cache(2), watch("1")) + memory("0-1", node(h.first, 50), watch("1", None))
    ),
    "monitors in 2 groups": lambda h: tune("0-1", h.cache(2), watch("0")) + tune("2-3", h.cache(2), watch("2-3")),
}
# Decided without a host, so only compared on the first.
ON_ONE_HOST: dict[str, Body] = {
    "nothing": lambda h: "",
    "both caches": lambda h: tune("0-1", h.cache(2), h.cache(3, h.last)),
    "both caches, the last one first": lambda h: tune("0-1", h.cache(2, h.last), h.cache(3)),
    "4 groups": lambda h: "".join(tune(str(vcpu), h.cache(1)) for vcpu in range(4)),
    "one cache named twice": lambda h: tune("0", h.cache(2), h.cache(3)),
    "type both and code of one cache": lambda h: tune("0", h.cache(2), h.cache(3, type="code")),
    "size without unit": lambda h: tune("0", h.cache(2, size=2 * h.way_bytes // 1024, unit=None)),
    "size in KB": lambda h: tune("0", h.cache(2, size=2 * h.way_bytes // 1000, unit="KB")),
    "size in no unit that exists": lambda h: tune("0", h.cache(2, unit="pages")),
    "size in ways": lambda h: tune("0", h.cache(2, size=2, unit="ways")),
    "size in percent": lambda h: tune("0", h.cache(2, size=20, unit="%")),
    "size with decimals": lambda h: tune("0", h.cache(2, size="4.5", unit="MiB")),
    "bandwidth in percent": lambda h: memory("0", node(h.first, 50, "%")),
    "bandwidth in percent with decimals": lambda h: memory("0", node(h.first, "12.5", "%")),
    "a size that is too large": lambda h: tune("0", h.cache(2, size=1 << 62, unit="KiB")),
    "a negative size": lambda h: tune("0", h.cache(-2)),
    "a list out of order": lambda h: tune("3,1", h.cache(2)),
    "a list with an exception": lambda h: tune("0-3,^1", h.cache(2)),
    "a list that leaves one": lambda h: tune("0-1,^1", h.cache(2)),
    "an exception that comes first": lambda h: tune("^1,0-3", h.cache(2)),
    "a list with blanks": lambda h: tune("0, 1", h.cache(2)),
    "a list with a comma at its end": lambda h: tune("0,1,", h.cache(2)),
    "a list that runs backwards": lambda h: tune("3-0", h.cache(2)),
    "more vCPUs than there are": lambda h: tune("2-9", h.cache(2)),
    "only vCPUs that are not there": lambda h: tune("8-9", h.cache(2)),
    "2 groups of the same vCPUs": lambda h: tune("0-1", h.cache(2)) + tune("0-1", h.cache(2, h.last)),
    "2 groups that overlap": lambda h: tune("0-1", h.cache(2)) + tune("1-2", h.cache(2)),
    "bandwidth that overlaps a group": lambda h: tune("0-1", h.cache(2)) + memory("1-2", node(h.first, 50)),
    "bandwidth written first": lambda h: memory("0-1", node(h.first, 50)) + tune("0-1", h.cache(2)),
    "bandwidth of one group in two parts": lambda h: memory("0", node(h.first, 50)) + memory("0", node(h.last, 20)),
    "bandwidth of one node twice": lambda h: memory("0", node(h.first, 50), node(h.first, 20)),
    "bandwidth that is no number": lambda h: memory("0", node(h.first, "half")),
    "a group without anything": lambda h: tune("0-1") + tune("2", h.cache(2)),
    "a group without vCPUs": lambda h: tune(None, h.cache(2)),
    "a monitor without vCPUs": lambda h: tune("0-1", h.cache(2), watch(None)),
    "a monitor without a level": lambda h: tune("0-1", h.cache(2), watch("0", None)),
    "a monitor of level 2": lambda h: tune("0-1", h.cache(2), watch("0", 2)),
    "a monitor outside of its group": lambda h: tune("0-1", h.cache(2), watch("2")),
    "a monitor of vCPUs that are not there": lambda h: tune("0-1", h.cache(2), watch("7")),
    "monitors that overlap": lambda h: tune("0-3", h.cache(2), watch("0-1"), watch("1-2")),
    "the same monitor twice": lambda h: tune("0-1", h.cache(2), watch("0"), watch("0")),
    "monitors that overlap, without an allocation": lambda h: tune("0-1", watch("0-1"), watch("0")),
    "a misspelt attribute": lambda h: tune("0", h.cache(2, levl=3)),
    "an element that nobody knows": lambda h: tune("0", h.cache(2), "<way/>"),
    "energy": lambda h: _element("energytune", watch("0", None), vcpus="0"),
}
# What depends on which ways are free: asked where these are in pieces.
IN_PIECES: dict[str, Body] = {
    "1 way": lambda h: tune("0", h.cache(1)),
    "2 ways": lambda h: tune("0", h.cache(2)),
    "3 ways": lambda h: tune("0", h.cache(3)),
    "4 ways": lambda h: tune("0", h.cache(4)),
    "5 ways": lambda h: tune("0", h.cache(5)),
    "2 groups of 2 ways": lambda h: tune("0", h.cache(2)) + tune("1", h.cache(2)),
    "3 ways, then 2": lambda h: tune("0", h.cache(3)) + tune("1", h.cache(2)),
    "2 ways, then 3": lambda h: tune("0", h.cache(2)) + tune("1", h.cache(3)),
    "4 ways, then 3": lambda h: tune("0", h.cache(4)) + tune("1", h.cache(3)),
    "3 ways of the last cache": lambda h: tune("0", h.cache(3, h.last)),
}
# On a fresh host; and on one where the default group must not be shared, or is throttled.
ON_A_FRESH_HOST: dict[str, Body] = {
    "2 ways": lambda h: tune("0", h.cache(2)),
    "bandwidth": lambda h: memory("0", node(h.first, 50)),
    "a monitor without an allocation": lambda h: tune("0-1", watch("0")),
}
WHERE_THE_DEFAULT_GROUP_IS_EXCLUSIVE: dict[str, Body] = {
    "2 ways": lambda h: tune("0", h.cache(2)),
    "a monitor without an allocation": lambda h: tune("0-1", watch("0")),
}
WHERE_THE_DEFAULT_GROUP_IS_THROTTLED: dict[str, Body] = {
    "2 ways": lambda h: tune("0", h.cache(2)),
    "bandwidth": lambda h: memory("0", node(h.first, 50)),
}


def terms_of(profile: Profile) -> Terms:
    """What the bodies say on hosts of this profile."""
    cache = profile.cache(3)
    assert cache is not None, profile.name
    ways = cache.ways if cache.closids else WAYS_WITHOUT_CONTROL
    kind = "code" if "cdp" in profile.mount_options else "both"
    return Terms(cache.ids[0], cache.ids[-1], kind, ways, cache.size_bytes // ways)


def prepare(fs: Resctrl, profile: Profile, state: str) -> None:
    """Bring a resctrl that was just mounted, or cleared, into a state: "fresh" is what it is."""
    cache = profile.cache(3)
    if state == "fresh" or cache is None or not cache.closids:
        return
    names = ("L3CODE", "L3DATA") if "cdp" in profile.mount_options else ("L3",)
    low = (1 << (2 if state == "in pieces" else cache.ways // 3)) - 1
    _write(fs, "", {name: dict.fromkeys(cache.ids, low) for name in names})
    if state == "in pieces":
        _break_up(fs, names, cache.ids, low, cache.ways)
    if state == "exclusive default group":
        fs.write("mode", "exclusive\n")
    if state == "throttled default group" and profile.bandwidths:
        fs.write("schemata", "MB:" + ";".join(f"{i}=50" for i in cache.ids) + "\n")


def _break_up(fs: Resctrl, names: tuple[str, ...], ids: tuple[int, ...], low: int, ways: int) -> None:
    """Foreign groups: two ways in the middle of each cache but the last of several, data below code."""
    for group, at in (("one", 5), ("two", 9)):
        if at + 2 < ways:
            fs.mkdir(group)
            free = ids[-1] if len(ids) > 1 else None
            _write(
                fs,
                f"{group}/",
                {name: {i: low if i == free else 3 << (at - 2 * k) for i in ids} for k, name in enumerate(names)},
            )


def _write(fs: Resctrl, group: str, masks: dict[str, dict[int, int]]) -> None:
    lines = [f"{name}:" + ";".join(f"{i}={mask:x}" for i, mask in of.items()) + "\n" for name, of in masks.items()]
    fs.write(f"{group}schemata", "".join(lines))


def _cases() -> tuple[Case, ...]:
    found = [Case(h, "room", n, b) for h in HOSTS for n, b in ON_EVERY_HOST.items()]
    found += [Case(FIRST, "room", n, b) for n, b in ON_ONE_HOST.items()]
    found += [Case(FIRST, "room", "2 of 4 vCPUs plugged in", ON_EVERY_HOST["3 ways for all vCPUs"], plugged=2)]
    controlled = [host for host in HOSTS if host != "monitor-only"]
    states = {
        "in pieces": IN_PIECES,
        "fresh": ON_A_FRESH_HOST,
        "exclusive default group": WHERE_THE_DEFAULT_GROUP_IS_EXCLUSIVE,
    }
    found += [Case(h, s, n, b) for h in controlled for s, of in states.items() for n, b in of.items()]
    throttled = WHERE_THE_DEFAULT_GROUP_IS_THROTTLED
    found += [Case(FIRST, "throttled default group", n, b) for n, b in throttled.items()]
    return tuple(found)


CASES = _cases()
