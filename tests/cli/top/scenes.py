"""Looks at a host with guests in every state, with exact numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.host.usage import IdleWays, free_mask, usage_of
from cachetune.plan.groups.names import scope_of
from cachetune.plan.model import Summary, Usage
from cachetune.service.looks import Look
from cachetune.service.readings import HostReadings
from cachetune.service.status import GuestState, Tuning
from cachetune.testing import simulate
from cachetune.watch import Counter, Reading, Readings
from cachetune.watch.model import State

MIB = 1 << 20
WAY = int(2.25 * MIB)
NOON = 1_700_000_000.0
HOSTILE = "[bold]evil[/]\x1b[2J\x07\u202e" + "長" * 30
EVENTS = ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")

Value = float | State | None
"""Bytes, MiB/s, the kernel's word for a missing value, or None for a rate that is not known yet."""


def host(groups: Mapping[str, Sequence[int]] = {}, profile: str = "skylake-2s") -> Host:
    """A host with these groups, each with its L3 masks of caches 0, 1, ...; monitor groups have none."""
    sim = simulate(profile)
    for path, masks in groups.items():
        if path != ".":
            sim.mkdir(path)
        if masks:
            words = ";".join(f"{i}={mask:x}" for i, mask in enumerate(masks))
            sim.write("schemata" if path == "." else f"{path}/schemata", f"L3:{words}\n")
    return read_host(sim)


def counters(*caches: Sequence[Value], node: int | None = None, first: int = 0) -> tuple[Counter, ...]:
    """Occupancy in bytes, total and local MiB/s of caches 0, 1, ..."""
    return tuple(
        counter(cache_id, event, value, node)
        for cache_id, values in enumerate(caches, first)
        for event, value in zip(EVENTS, values, strict=False)
    )


def counter(cache_id: int, event: str, value: Value, node: int | None = None) -> Counter:
    if isinstance(value, str):
        return Counter("L3", cache_id, event, None, value, node)
    if event == "llc_occupancy":
        return Counter("L3", cache_id, event, int(value or 0), "ok", node)
    return Counter("L3", cache_id, event, 12345, "ok", node, per_second=None if value is None else value * MIB)


def reading(of: Host, path: str, *caches: Sequence[Value], guest: str | None = None) -> Reading:
    group, scope = of.group(path), scope_of(path)
    assert group
    return Reading(
        path=path,
        name=path.rpartition("/")[2],
        kind=group.kind,
        owner=group.owner,
        vcpus=scope.vcpus,
        threads=scope.threads,
        counters=counters(*caches),
        guest=guest,
    )


def look(
    of: Host,
    readings: Sequence[Reading],
    *,
    time: float = NOON,
    notes: tuple[str, ...] = (),
    guests: tuple[GuestState, ...] = (),
) -> Look:
    """A look at a live host."""
    usage = usage_of(of)
    free = [(cache.name, i, mask) for cache in of.caches for i in (0, 1) if (mask := free_mask(of, cache, i))]
    usage = replace(usage, idle=tuple(IdleWays(name, i, mask, mask, "") for name, i, mask in free))
    seen = HostReadings(Readings(source="/sys/fs/resctrl", time=time, monitors=tuple(readings)), of, notes)
    return Look(seen, usage, is_live=True, guests=guests)


WEB, DB, LONG = "cachetune-web-vcpus_0-1", "cachetune-db-vcpus_0", "cachetune-evil-vcpus_0"
MAIL, COS, MON = "qemu-3-mail-vcpus_0-3", "COS1", f"{WEB}/mon_groups/cachetune-web-vcpus_0"
LATE = "mon_groups/cachetune-db-vcpus_1"
CADVISOR = "mon_groups/cadvisor-a"
GROUPS = {
    ".": (0x600, 0x600),
    COS: (0x600, 0x400),
    DB: (0x018, 0x038),
    LONG: (0x020, 0x0C0),
    WEB: (0x007, 0x007),
    MAIL: (0x0C0, 0x100),
    MON: (),
    LATE: (),
    CADVISOR: (),
}


def every_state(factor: float = 1.0, time: float = NOON) -> Look:
    """A guest in each state, the default group with another program's monitor group, and a foreign control group.

    ``factor`` scales the bandwidths.
    """
    of = host(GROUPS)
    full, some = int(2.97 * WAY), WAY // 2
    return look(
        of,
        [
            reading(of, ".", (some, 120 * factor, 100 * factor), (int(1.5 * WAY), 3.5 * factor, 3 * factor)),
            reading(of, CADVISOR, (0, 0.0, 0.0), (some, 0.5, 0.25)),
            reading(of, LATE, (0, "Unassigned", "Unassigned"), (0, 2 * factor, 0.0), guest="db"),
            reading(of, COS, (0, 0.0, 0.0), (WAY // 16, 0.0, 0.0)),
            reading(of, DB, (3 * WAY, 812.4 * factor, 700 * factor), (WAY, 11.0, 11.0), guest="db"),
            reading(of, LONG, ("Unavailable", 5.0 * factor, 5.0), (WAY, 5.0, 5.0), guest=HOSTILE),
            reading(of, WEB, (full, 4321.0 * factor, 4000 * factor), (WAY, 250 * factor, 1.0), guest="web"),
            reading(of, MON, (WAY, 4000.0 * factor, 4000 * factor), (0, 0.0, 0.0), guest="web"),
            reading(of, MAIL, (some // 16, 0.0, 0.0), (0, 0.3, 0.1), guest="mail"),
        ],
        time=time,
    )


def guest(name: str, pid: int, tuning: Tuning, *groups: str) -> GuestState:
    """A running guest whose threads are in these groups, or in the default group."""
    return GuestState(
        name=name,
        uuid=None,
        pid=pid,
        user=0,
        source="threads",
        libvirt_id=None,
        vcpus={},
        tuning=tuning,
        groups=groups,
    )


def drifted(created: int = 0, moved: int = 0) -> Tuning:
    """A request for which groups would have to be created, and tasks moved."""
    summary = Summary(created, 0, 0, 0, moved, Usage(6, 8), Usage(9, 144))
    return Tuning("drifted", "file", "/etc/cachetune/guests.d/mail.xml", summary=summary)


REFUSED = Tuning("refused", "libvirt", why=("no room for 4 ways (9 MiB) on L3 cache 0: 2 free, largest hole 2",))


def with_requests() -> Look:
    """The same groups: two guests have what they request and two do not; four guests have no groups."""
    return replace(
        every_state(),
        guests=(
            guest("web", 10, Tuning("applied"), WEB),
            guest("db", 11, Tuning("applied"), DB),
            guest("mail", 12, drifted(moved=2), MAIL),
            guest(HOSTILE, 13, Tuning("invalid", why=("[red]line 3\x1b[2J",)), LONG),
            guest("batch", 14, Tuning("none")),
            guest("new", 15, drifted(created=1, moved=4)),
            guest("big", 16, REFUSED),
            guest("", 17, Tuning("unknown"), COS),
        ),
    )


def golden(name: str) -> Path:
    """The file with a screen."""
    return Path(__file__).parents[2] / "golden" / "top" / f"{name}.txt"
