"""Guests, hosts and domains that many tests use."""

from itertools import pairwise

import msgspec
from hypothesis import assume
from hypothesis import strategies as st

from cachetune.apply.run import Connection
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain.model import BandwidthRequest, CacheRequest, Domain, GroupRequest, MonitorRequest
from cachetune.findings import Source
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import BandwidthControl, CacheControl, Host
from cachetune.host.read import read_host
from cachetune.idset import format_ids
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError, plan, plan_guests
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rate, Size

TIDS = (4711, 4712, 4713, 4714)
GUEST = Guest(TIDS[0], tuple(Thread(tid, 0, f"CPU {n}/KVM", n) for n, tid in enumerate(TIDS)))
FAST_PROFILES = ("skylake-2s", "sapphire-rapids-cdp", "sapphire-rapids-mbps", "milan", "haswell", "allocation-only")
HERE = Source(1, 1, "/domain/cputune/cachetune[1]")


def host_with_guest(profile: str, kernel: str = "6.12") -> SimulatedResctrl:
    """A fresh simulated host with a running guest of four vCPUs."""
    sim = SimulatedResctrl(load_profile(profile), kernel=kernel)
    for tid in TIDS:
        sim.add_task(tid)
    return sim


def web(profile: str) -> Domain:
    """A domain that fits the profile: an allocation with a monitor in it, and a separate monitor."""
    host = read_host(SimulatedResctrl(load_profile(profile)))
    caches = tuple(cache_request(c, next(iter(c.size_bytes)), 2) for c in host.caches)
    nodes = tuple(BandwidthRequest(b.ids[0], Rate(_bandwidth(b, 5)), HERE) for b in host.bandwidths if b.name == "MB")
    return domain(
        group({0, 1}, caches, nodes, [{0}] if host.monitors else []), group({3}, (), (), [{3}] if host.monitors else [])
    )


def domain(*groups: GroupRequest, name: str = "web") -> Domain:
    """A domain with these groups; empty ones are left out, as libvirt does."""
    return Domain(name, None, None, "kvm", 4, tuple(g for g in groups if g.caches or g.nodes or g.monitors))


def group(
    vcpus: set[int], caches: tuple[CacheRequest, ...], nodes: tuple[BandwidthRequest, ...], monitors: list[set[int]]
) -> GroupRequest:
    """A group of explicit vCPUs with cache monitors."""
    made = tuple(MonitorRequest("cache", frozenset(m), f"vcpus_{format_ids(m)}", HERE) for m in monitors)
    return GroupRequest(frozenset(vcpus), f"vcpus_{format_ids(vcpus)}", caches, nodes, made, HERE)


def cache_request(control: CacheControl, cache_id: int, ways: int) -> CacheRequest:
    """A request for this many ways."""
    return CacheRequest(control.level, cache_id, control.type, Size(ways * (control.way_bytes(cache_id) or 0)), HERE)


def _bandwidth(control: BandwidthControl, steps: int) -> int:
    step = 64 if control.unit == "1/8 GB/s" else 10
    return control.min_bandwidth + steps * step


@st.composite
def domains(draw: st.DrawFn, host: Host) -> Domain:
    """Any domain of the guest that fits the host. An exclusive group requests ways of every cache."""
    groups = []
    vcpus = draw(st.permutations(range(4)))
    cuts = draw(st.sampled_from([(0,), (0, 4), (0, 2, 4), (0, 1, 4), (0, 1, 2, 4)]))
    for first, last in pairwise(cuts):
        exclusive = draw(st.integers(0, 3)) == 3
        caches = tuple(
            cache_request(c, i, draw(st.integers(max(c.min_cbm_bits, 1), 2 if exclusive else 4)))
            for c in host.caches
            for i in list(c.size_bytes)[: None if exclusive else 2]
            if exclusive or draw(st.booleans())
        )
        nodes = tuple(
            BandwidthRequest(i, Rate(_bandwidth(b, draw(st.integers(0, 9)))), HERE, resource=b.name)
            for b in host.bandwidths
            for i in b.ids[:2]
            if draw(st.booleans())
        )
        inside = vcpus[first:last]
        monitors = [{v} for v in inside if draw(st.booleans())] if host.monitors else []
        made = group(set(inside), caches, nodes, monitors)
        groups.append(msgspec.structs.replace(made, exclusive=exclusive and bool(caches)))
    found = domain(*groups)
    try:
        plan(found, host, GUEST, Options(shrink_default=True))
    except PlanRefusedError:
        assume(False)
    return found


def plan_for(
    wanted: Domain,
    connection: Connection,
    guest: Guest = GUEST,
    options: Options = Options(shrink_default=True),  # noqa: B008
) -> Plan:
    """The plan for the guest on the host in its current state; it may shrink the default group."""
    ledger = load_ledger(connection.run)
    machine = f"cachetune-{wanted.name}"
    request = GuestRequest(wanted, guest, owned=ledger.groups_of(machine))
    return plan_guests([request], connection.look(ledger), options, ledger.shrunk)
