"""How many series a host has: the formulas of docs/how-to/prometheus-fleet.md, and the tables that follow from them.

The tables' hosts are simulated ones with 30 guests. The tests compare the formulas with what exporters and a Prometheus
have.
"""

import gzip

import msgspec

from cachetune.agent.model import AgentStatus, GuestStatus
from cachetune.exporter.collector import text_of
from cachetune.exporter.model import Seen
from cachetune.exporter.samples import samples_of
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.host.usage import usage_of
from cachetune.service.status import Tuning
from cachetune.testing import Clock, simulate
from cachetune.watch import read_counters

HOSTS, GUESTS = 1000, 30
DAY = 86400
"""How long the groups have counted, in seconds: larger counters are longer texts."""
OF_PROMETHEUS = 5
"""Series that Prometheus adds to each target, such as ``up``."""
PROFILES = {
    "skylake-2s": "Xeon, 2 sockets",
    "kunpeng-920-mpam": "Arm MPAM",
    "milan": "EPYC, 8 caches",
    "genoa": "EPYC, 12 caches",
    "sapphire-rapids": "Xeon with L2 CAT",
}


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What the number of series of a host depends on; the page has the letters."""

    groups: int  # G
    monitors: int  # M
    events: int  # E
    bandwidth_events: int
    counted: int  # C, times the NUMA nodes in a cache
    caches: int  # C
    masks: int  # A
    resources: int  # R
    limits: int  # B
    has_rmids: bool
    guests: int  # N
    placed: int  # W, guests that have control groups
    managed: int
    refused: int = 0  # guests without any group

    @property
    def exported(self) -> int:
        """The series of a scrape."""
        counters = self.events * self.counted * (self.groups + self.monitors)
        allocation = self.groups * (3 * self.masks + self.caches + self.limits + 2)
        guests = 2 * self.guests + self.managed  # of one that is refused, its state and one rule
        return counters + allocation + 5 * self.masks + self.events + guests + 21 + self.has_rmids

    @property
    def recorded_by_group(self) -> int:
        """The series that cachetune.rules.yml makes."""
        traffic = bool(self.bandwidth_events)
        of_group = self.caches * self.groups * (2 + 2 * traffic)
        return of_group + self.caches * traffic + self.masks

    @property
    def recorded_by_host(self) -> int:
        """The series that cachetune-fleet.rules.yml makes."""
        traffic = bool(self.bandwidth_events)
        of_host = 4 * self.resources + 3 + self.has_rmids + traffic + bool(self.refused)
        return of_host + (1 + traffic) * (self.guests - self.refused + self.placed)

    @property
    def federated(self) -> int:
        """The series that the dashboard of the fleet needs, and a central Prometheus keeps; alerts not counted."""
        return self.recorded_by_host + self.guests + 5 + self.refused


def shape_of(host: Host, guests: int, placed: int, managed: int, *, refused: int = 0) -> Shape:
    """The shape of a host."""
    features = [feature for monitor in host.monitors for feature in monitor.features]
    l3 = next(cache for cache in host.caches if cache.level == 3)
    caches = len(l3.size_bytes)
    return Shape(
        groups=len(host.control_groups()),
        monitors=len(host.groups) - len(host.control_groups()),
        events=len(features),
        bandwidth_events=sum(feature.startswith("mbm_") for feature in features),
        counted=caches * host.snc_nodes,
        caches=caches,
        masks=sum(len(cache.size_bytes) for cache in host.caches),
        resources=len(host.caches),
        limits=sum(len(host.groups[0].bandwidth.row(c.name)) for c in host.bandwidths if c.unit == "percent"),
        has_rmids=usage_of(host).rmids.total is not None,
        guests=guests,
        placed=placed,
        managed=managed,
        refused=refused,
    )


def full(profile: str) -> tuple[Shape, Seen]:
    """A host with 30 guests: each has a control group while there are CLOSIDs, the others are only watched."""
    clock = Clock()
    sim = simulate(profile, clock=clock)
    free = usage_of(read_host(sim)).closids.left or 0
    names = [f"guest-{i:02}" for i in range(GUESTS)]
    for i, name in enumerate(names):
        sim.mkdir(f"{'' if i < free else 'mon_groups/'}cachetune-{name}-vcpus_0-3")
    clock.advance(DAY)
    host = read_host(sim)
    states = tuple(
        GuestStatus(name=name, machine_name=f"cachetune-{name}", requested_by="file", state="placed", since=1.0)
        for name in names
    )
    seen = Seen(
        host=host,
        groups=read_counters(sim, host, [group.path for group in host.groups], {}),
        idle_ways={},
        guests=dict.fromkeys(names, Tuning("applied")),
        agent=AgentStatus(pid=7, start_time=1, started=1.0, looked=9.0, period_seconds=5.0, guests=states),
    )
    return shape_of(host, GUESTS, min(free, GUESTS), GUESTS), seen


def table() -> str:
    """The table of hosts as Markdown."""
    rows = [_row(profile) for profile in PROFILES]
    head = (
        "| host | groups | series of a scrape | KiB, compressed | recorded by group | recorded by host and guest |",
        "| --- | --- | --- | --- | --- | --- |",
    )
    return "\n".join((*head, *rows, ""))


def _row(profile: str) -> str:
    shape, seen = full(profile)
    text = text_of(samples_of(seen))
    groups = f"{shape.groups} + {shape.monitors}"
    size = f"{len(text) / 1024:.0f}, {len(gzip.compress(text, mtime=0)) / 1024:.0f}"
    names = f"{PROFILES[profile]} (`{profile}`)"
    return (
        f"| {names} | {groups} | {shape.exported:,} | {size} | {shape.recorded_by_group} | {shape.recorded_by_host} |"
    )


def fleet_table() -> str:
    """The table of 1,000 hosts as Markdown."""
    head = (
        "| 1,000 hosts | series | samples/s at 15 s | at 30 s | at 60 s | disk for 15 days at 30 s | memory |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    )
    return "\n".join((*head, *(row for profile in PROFILES for row in _fleet_rows(profile)), ""))


def _fleet_rows(profile: str) -> list[str]:
    shape, _ = full(profile)
    everything = shape.exported + OF_PROMETHEUS + shape.recorded_by_group + shape.recorded_by_host
    return [_fleet_row(f"`{profile}`", everything), _fleet_row(f"`{profile}`, by host and guest", shape.federated)]


def _fleet_row(name: str, series_of_host: int) -> str:
    series = HOSTS * series_of_host
    rates = " | ".join(f"{series / seconds:,.0f}" for seconds in (15, 30, 60))
    low, high = (series / 30 * 15 * 86400 * size / 1e9 for size in (1, 2))
    return f"| {name} | {series:,} | {rates} | {low:.0f} to {high:.0f} GB | {series * KIB_OF_SERIES / 2**20:.1f} GiB |"


KIB_OF_SERIES = 6
"""What a Prometheus took when it was measured, as the page says."""
