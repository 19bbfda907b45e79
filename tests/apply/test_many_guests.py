"""Several guests on one host: placed by one plan or one by one, changed and removed in any order."""

import errno
import tempfile
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.domain.model import Domain
from cachetune.guests.model import Guest, Thread
from cachetune.plan import Options, Plan, PlanRefusedError, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.request import GuestRequest
from cachetune.service.plans import plan_requests
from cachetune.sim import SimulatedResctrl, load_profile
from tests.apply.test_nothing_is_lost import Killed, kill_at
from tests.effort import examples
from tests.samples import FAST_PROFILES, cache_request, domain, domains, group, host_with_guest

pytestmark = pytest.mark.slow

NAMES = ("web", "db", "web-2")  # one name begins with another
OPTIONS = Options(shrink_default=True)
FRESH = {profile: Connection(host_with_guest(profile), Path("/nowhere")).look(Ledger()) for profile in FAST_PROFILES}


def guest(name: str) -> Guest:
    first = 100 * (1 + NAMES.index(name))
    return Guest(first, tuple(Thread(first + n, 0, f"CPU {n}/KVM", n) for n in range(4)))


def host_with_guests(profile: str) -> SimulatedResctrl:
    sim = SimulatedResctrl(load_profile(profile))
    for name in NAMES:
        for thread in guest(name).threads:
            sim.add_task(thread.tid)
    return sim


def planned(asked: dict[str, Domain], connection: Connection) -> Plan:
    ledger = load_ledger(connection.run)
    requests = [GuestRequest(msgspec.structs.replace(what, name=name), guest(name)) for name, what in asked.items()]
    return plan_requests(requests, connection.look(ledger), ledger, OPTIONS)


def removal(names: tuple[str, ...], connection: Connection) -> Plan:
    ledger = load_ledger(connection.run)
    machines = [f"cachetune-{name}" for name in names]
    owned = {path for machine in machines for path in ledger.groups_of(machine)}
    return plan_removal(connection.look(ledger), [PlanGuest("", machine) for machine in machines], owned, ledger.shrunk)


def hold_apart(asked: dict[str, Domain], connection: Connection) -> None:
    """Every guest has as many ways as it requested, and no other group has any of them."""
    host = connection.look(load_ledger(connection.run))
    for name, what in asked.items():
        for request in (r for g in what.groups for r in g.caches):
            control = next(c for c in host.caches if (c.level, c.type) == (request.level, request.type))
            path = next(f"cachetune-{name}-{g.id}" for g in what.groups if request in g.caches)
            mask = host.group(path).masks[control.name][request.cache_id]  # type: ignore[union-attr]
            assert mask.bit_count() * (control.way_bytes(request.cache_id) or 0) == request.size.number
            others = [g for g in host.control_groups() if g.path != path]
            assert not any(g.masks[control.name][request.cache_id] & mask for g in others), path


rounds = st.lists(st.sets(st.sampled_from(NAMES), min_size=1), min_size=1, max_size=4)


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), st.sampled_from(FAST_PROFILES), rounds)
def test_any_set_of_guests_gets_its_request_and_leaves_nothing(
    data: st.DataObject, profile: str, parties: list[set[str]]
) -> None:
    sim = host_with_guests(profile)
    before, has = sim.tree(), dict[str, Domain]()
    with tempfile.TemporaryDirectory() as run:
        connection = Connection(sim, Path(run))
        for party in parties:
            asked = {name: data.draw(domains(FRESH[profile]), label=name) for name in sorted(party)}
            try:
                plan = planned(asked, connection)
            except PlanRefusedError:
                continue
            assert apply(plan, connection).outcome in ("done", "nothing to do")
            has |= asked
            hold_apart(has, connection)
            assert planned(asked, connection).steps == ()
        assert planned(has, connection).steps == () if has else True
        for name in data.draw(st.permutations(NAMES)):
            apply(removal((name,), connection), connection)
        assert sim.tree() == before
        assert load_ledger(connection.run).guests == {}


def two() -> dict[str, Domain]:
    (l3,) = FRESH["skylake-2s"].caches
    return {
        "web": domain(group({0, 1}, (cache_request(l3, 0, 2),), (), [{0}])),
        "web-2": domain(
            group({0}, (cache_request(l3, 0, 3), cache_request(l3, 1, 1)), (), []), group({3}, (), (), [{3}])
        ),
    }


def scenes(run: Path) -> Iterator[tuple[SimulatedResctrl, Connection, Plan]]:
    """For each operation of an apply for two guests: the host before it, the connection and the plan."""
    total = 0
    number = 0
    while number <= total:
        sim = host_with_guests("skylake-2s")
        connection = Connection(sim, run / str(number))
        yield sim, connection, planned(two(), connection)
        total = total or len(sim.operations)
        number += 1


def test_a_failure_at_any_operation_leaves_no_guest_placed(tmp_path: Path) -> None:
    tried = 0
    for number, (sim, connection, plan) in enumerate(scenes(tmp_path)):
        if number == 0:
            assert apply(plan, connection).outcome == "done"
            continue
        before = sim.tree()
        sim.fail(errno.EIO, at=number)
        assert apply(plan, connection).outcome == "rolled back"
        assert sim.tree() == before
        tried += 1
    assert tried > 10


def test_a_run_for_two_guests_killed_anywhere_is_recovered_for_both(tmp_path: Path) -> None:
    for number, (sim, connection, plan) in enumerate(scenes(tmp_path)):
        before = sim.tree()
        if number == 0:
            apply(plan, connection)
            continue
        kill_at(sim, number)
        with pytest.raises(Killed):
            apply(plan, connection)
        sim.before_operation = None
        assert journal.exists(connection.run)
        assert recover(connection).machine_names == ("cachetune-web", "cachetune-web-2")
        assert sim.tree() == before
        assert recover(connection).outcome == "nothing to do"


def test_the_ledger_distinguishes_groups_of_guests_whose_names_share_a_prefix(tmp_path: Path) -> None:
    connection = Connection(host_with_guests("skylake-2s"), tmp_path)
    apply(planned(two(), connection), connection)
    ledger = load_ledger(tmp_path)
    for one, other in combinations(("cachetune-web", "cachetune-web-2"), 2):
        assert not ledger.groups_of(one) & ledger.groups_of(other)
    assert all(path.count("web-2") for path in ledger.groups_of("cachetune-web-2"))
    apply(removal(("web",), connection), connection)
    assert set(load_ledger(tmp_path).guests) == {"cachetune-web-2"}
    assert planned({"web-2": two()["web-2"]}, connection).steps == ()
