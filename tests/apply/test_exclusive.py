"""During a run, the groups of two guests never share ways that they must not share."""

from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.read import read_host
from cachetune.sim import Operation, SimulatedResctrl
from tests.effort import examples
from tests.samples import domains, host_with_guest, plan_for

pytestmark = pytest.mark.slow


def overlaps(sim: SimulatedResctrl, shared_before: set[int]) -> list[str]:
    """Pairs of groups with tasks in them that have ways in common, other than those of the default group."""
    host = read_host(sim)
    found = []
    for cache in host.caches:
        for cache_id in cache.size_bytes:
            default = host.default_group.masks[cache.name][cache_id]
            used = [
                (g.path, mask)
                for g in host.control_groups()
                if g.tids and g.path != DEFAULT_GROUP
                if (mask := g.masks[cache.name][cache_id]) != default and mask not in shared_before
            ]
            found += [f"{cache.name} {cache_id}: {a} and {b}" for (a, x), (b, y) in combinations(used, 2) if x & y]
    return found


def defaults(sim: SimulatedResctrl) -> set[int]:
    """The default group's masks; a group that follows it has them a moment longer."""
    return {m for of in read_host(sim).default_group.masks.values() for m in of.values()}


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_groups_never_share_dedicated_ways_while_a_domain_changes(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sim = host_with_guest(data.draw(st.sampled_from(["skylake-2s", "milan", "sapphire-rapids-cdp"])))
    connection = Connection(sim, tmp_path_factory.mktemp("run"))
    for _ in range(3):
        wanted = data.draw(domains(connection.look(load_ledger(connection.run))))
        plan = plan_for(wanted, connection)
        before = defaults(sim)
        seen: list[str] = []

        def look(_: Operation, before: set[int] = before, seen: list[str] = seen) -> None:
            seen.extend(overlaps(sim, before))
            before |= defaults(sim)  # it may give ways up first and get others back last

        sim.before_operation = look
        assert apply(plan, connection).outcome in ("done", "nothing to do")
        sim.before_operation = None
        assert not seen
        assert not overlaps(sim, set())
