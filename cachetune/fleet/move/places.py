"""Which caches, or bandwidth nodes, of another host a request is for there.

The ids of two hosts have nothing in common but their names, so the vCPUs decide where they are pinned: a request
follows them to the caches of the CPUs that they are pinned to, by the number of the CPU, which libvirt keeps when a
guest moves. Without pins nothing is known but the ids: a request keeps its id, and one for every cache of the first
host is for every cache of the other.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from cachetune.domain.model import Domain, GroupRequest
from cachetune.idset import MAX_VCPUS, parse_vcpu_mask

PlaceRule = Literal["cpus", "all", "id"]


class Places(NamedTuple):
    """The caches of one level, or the nodes of one resource: their ids, and their CPUs as bit masks where known."""

    ids: tuple[int, ...]
    cpus: dict[int, int]

    @classmethod
    def of(cls, ids: Iterable[int], cpus: Mapping[int, str]) -> "Places":
        """The places with these ids, and with the CPU lists of those that have one."""
        found = tuple(ids)
        masks = {place: mask for place in found if (mask := cpu_mask(cpus.get(place, "")))}
        return cls(found, masks)


class Pin(NamedTuple):
    """The CPUs that some vCPUs are pinned to on either host, as bit masks; ``a`` is 0 if that is not known."""

    a: int
    b: int


class Placed(NamedTuple):
    """The places on B with those on A whose requests they get, by ``rule``; ``missing`` are those that B lacks.

    No vCPU of the group runs on those that are ``unused``.
    """

    sources: dict[int, tuple[int, ...]]
    missing: tuple[int, ...]
    unused: tuple[int, ...]
    rule: PlaceRule


def pins_of(group: GroupRequest, domain: Domain, cpus: str) -> frozenset[Pin]:
    """Where the vCPUs of a group run: their pins, on B the ``cpus`` if given; empty unless all of them are pinned."""
    if group.threads:
        return frozenset({Pin(0, cpu_mask(cpus))} if cpus else ())
    vcpus = range(min(domain.vcpus, MAX_VCPUS)) if group.vcpus is None else group.vcpus
    lists = {domain.cpus_of(vcpu) for vcpu in vcpus}
    pins = frozenset(Pin(mask := cpu_mask(each), cpu_mask(cpus) or mask) for each in lists)
    return pins if all(pin.b for pin in pins) else frozenset()


def placed(requested: Collection[int], a: Places, b: Places, pins: Collection[Pin]) -> Placed:
    """Where on B the requests for these places of A go."""
    if pins and b.cpus:
        return _by_cpus(requested, a, b, pins)
    if a.ids and set(requested) >= set(a.ids) != set(b.ids):
        return Placed(dict.fromkeys(b.ids, tuple(sorted(requested))), (), (), "all")
    there = [i for i in requested if i in b.ids]
    missing = tuple(i for i in requested if i not in there)
    return Placed({i: (i,) for i in there}, missing, (), "id")


def _by_cpus(requested: Collection[int], a: Places, b: Places, pins: Collection[Pin]) -> Placed:
    sources: dict[int, tuple[int, ...]] = {}
    for place in b.ids:
        here = [pin for pin in pins if pin.b & b.cpus.get(place, 0)]
        if here:
            sources[place] = tuple(i for i in requested if any(_runs_on(pin, a, i) for pin in here))
    if not sources:
        return Placed({}, tuple(requested), (), "cpus")
    if not any(sources.values()):  # what is requested on A is for caches on which no vCPU runs even there
        sources = dict.fromkeys(sources, tuple(requested))
    used = {i for each in sources.values() for i in each}
    unused = tuple(i for i in requested if i not in used)
    return Placed({place: each for place, each in sources.items() if each}, (), unused, "cpus")


def _runs_on(pin: Pin, a: Places, place: int) -> bool:
    """Whether a vCPU with this pin can run on a place of A; also if that is not known."""
    return not pin.a or place not in a.cpus or bool(pin.a & a.cpus[place])


def cpu_mask(cpus: str) -> int:
    """A list of CPUs as a bit mask; 0 for none, and for more than Linux supports."""
    try:
        return parse_vcpu_mask(cpus) if cpus else 0
    except ValueError:
        return 0
