"""What the rows of the live view say, and in which state they are."""

import pytest
from msgspec.structs import replace

from cachetune.cbm import Cbm
from cachetune.cli.top.model import Amount, Lack, Part, Row, state_of, sum_of
from cachetune.cli.top.rows import rows_of
from cachetune.host.read import read_host
from cachetune.service.status import GuestState, Tuning
from cachetune.testing import simulate
from tests.cli.top.scenes import (
    COS,
    DB,
    LATE,
    MIB,
    WAY,
    WEB,
    Value,
    counters,
    drifted,
    every_state,
    guest,
    host,
    reading,
    with_requests,
)

OWN = 100 * MIB


def part(occupancy: float | str | None, total: float | str | None = 100.0, ways: int = 10) -> Part:
    """A group that has ten ways of 10 MiB; its bandwidth in MiB/s. None is not known, a text the kernel's word."""

    def amount(value: float | str | None) -> Amount:
        return Amount(why=value) if isinstance(value, str) else Amount(value)

    rate = total * MIB if isinstance(total, float | int) else total
    return Part(0, None, Cbm((1 << ways) - 1), 10 * MIB, amount(occupancy), amount(rate), None)


@pytest.mark.parametrize(
    ("occupancy", "total", "state"),
    [
        (1.0501 * OWN, 100, "over"),
        (1.0501 * OWN, 0, "over"),
        (1.05 * OWN, 100, "full"),
        (0.95 * OWN, 100, "full"),
        (0.95 * OWN, 0, "full"),
        (0.9499 * OWN, 100, "in use"),
        (0.9499 * OWN, 0, "in use"),
        (0.1001 * OWN, 0, "in use"),
        (0.10 * OWN, 0.999, "idle"),
        (0.10 * OWN, 1, "in use"),
        (0, 0, "idle"),
        (0, None, ""),
        (OWN, None, "full"),
    ],
)
def test_the_state_follows_from_occupancy_and_traffic(occupancy: float, total: float | None, state: str) -> None:
    assert state_of(part(occupancy, total)) == (state, None)


@pytest.mark.parametrize(
    ("occupancy", "total", "lack"),
    [
        ("Unavailable", 100, Lack("Unavailable", "llc_occupancy")),
        ("Error", "Unassigned", Lack("Error", "llc_occupancy")),
        (0.5 * OWN, "Unassigned", Lack("Unassigned", "mbm_total_bytes")),
        (0, "Unavailable", Lack("Unavailable", "mbm_total_bytes")),
    ],
)
def test_a_missing_value_is_named_with_the_kernels_word(occupancy: Value, total: Value, lack: Lack) -> None:
    assert state_of(part(occupancy, total)) == ("no counter", lack)


def test_a_group_that_is_full_is_so_without_a_bandwidth_counter() -> None:
    assert state_of(part(OWN, "Unassigned")) == ("full", None)


def test_without_ways_to_compare_with_only_traffic_counts() -> None:
    unknown = Part(0, None, None, None, Amount(5.0 * MIB), Amount(0.0), None)
    assert state_of(unknown) == ("idle", None)
    assert unknown.own_bytes is None


def test_on_a_host_that_counts_only_local_bandwidth_that_is_the_traffic() -> None:
    local = Part(0, None, Cbm(1), MIB, Amount(0.0), None, Amount(2.0 * MIB))
    assert state_of(local) == ("in use", None)
    without = Part(0, None, Cbm(1), MIB, Amount(0.0), None, Amount(why="Unassigned"))
    assert state_of(without) == ("no counter", Lack("Unassigned", "mbm_local_bytes"))


@pytest.mark.parametrize(("share", "state"), [(0.0, "idle"), (0.1, "idle"), (0.2, "in use"), (0.95, "full")])
def test_on_a_host_that_counts_no_bandwidth_occupancy_alone_decides(share: float, state: str) -> None:
    assert state_of(Part(0, None, Cbm(1), MIB, Amount(share * MIB), None, None)) == (state, None)


def test_a_sum_without_one_of_its_parts_is_marked() -> None:
    assert sum_of([Amount(1.0), Amount(2.0)]) == Amount(3.0)
    assert sum_of([Amount(1.0), Amount(why="Error")]) == Amount(1.0, partial=True)
    assert sum_of([Amount(1.0, partial=True), Amount(2.0)]) == Amount(3.0, partial=True)
    assert sum_of([Amount(why="Error"), Amount(why="Unassigned")]) == Amount(why="Error")
    assert sum_of([]) == Amount()


def roots(*, per_cache: bool = False) -> dict[str, Row]:
    seen = every_state().seen
    rows = rows_of(seen.host, seen.readings.monitors, per_cache=per_cache)
    return {f"{row.name} {row.cache_id}" if per_cache else row.name.split()[0][:7]: row for row in rows}


def outline(row: Row) -> list[object]:
    return [row.name, [outline(inner) for inner in row.rows]] if row.rows else [row.name]


def test_a_guest_unfolds_to_its_groups_and_they_to_their_caches() -> None:
    caches: list[object] = [["L3 0"], ["L3 1"]]
    assert outline(roots()["web"]) == ["web", [["vCPUs 0-1", [["mon vCPU 0", caches], *caches]]]]


def test_a_guests_monitor_group_in_the_default_group_is_in_the_guests_row() -> None:
    db = roots()["db"]
    assert [row.name for row in db.rows] == ["mon vCPU 1", "vCPU 0"]
    assert db.paths == (LATE, DB)
    assert db.letters == "Bd"
    assert LATE not in [path for row in roots()["default"].rows for path in row.paths]


def test_other_programs_monitor_groups_are_inside_the_control_group_around_them() -> None:
    assert outline(roots()["default"]) == ["default group", [["cadvisor-a", [["L3 0"], ["L3 1"]]], ["L3 0"], ["L3 1"]]]


def test_a_foreign_control_group_has_a_row_and_an_owner() -> None:
    row = roots()["COS1"]
    assert (row.kind, row.owner, row.paths) == ("foreign", "pqos", (COS,))


def test_a_control_groups_monitor_groups_do_not_count_twice() -> None:
    web = roots()["web"]
    assert web.occupancy == Amount(float(int(2.97 * WAY) + WAY))
    assert web.total.value == pytest.approx((4321 + 250) * MIB)
    assert web.own_bytes == 6 * WAY


def test_the_state_of_a_sum_is_the_most_notable_of_its_parts() -> None:
    states = {name: row.state for name, row in roots().items()}
    assert states == {
        "default": "in use",
        "db": "over",
        "COS1": "idle",
        "[bold]e": "no counter",
        "web": "full",
        "mail": "idle",
    }


def test_per_cache_each_guest_has_a_row_for_each_cache() -> None:
    rows = roots(per_cache=True)
    assert {name: row.state for name, row in rows.items() if name.startswith(("web", "db"))} == {
        "db 0": "over",
        "db 1": "in use",
        "web 0": "full",
        "web 1": "in use",
    }
    assert outline(rows["web 0"]) == ["web", [["vCPUs 0-1", [["mon vCPU 0"]]]]]
    assert rows["web 0"].mask == Cbm(0x007)


def test_rows_keep_their_keys_from_look_to_look() -> None:
    def keys(row: Row) -> list[object]:
        return [row.key, [keys(inner) for inner in row.rows]]

    first, second = ([keys(row) for row in rows_of(s.host, s.readings.monitors)] for s in (every_state().seen,) * 2)
    assert first == second
    everyone = str(first)
    assert everyone.count("'guest web', ") > 1


def test_no_two_rows_have_the_same_key() -> None:
    def keys(row: Row) -> list[tuple[str, ...]]:
        return [row.key, *(key for inner in row.rows for key in keys(inner))]

    look = with_requests()
    twins = [guest("batch", pid, Tuning("none")) for pid in (20, 21)]
    for per_cache in (False, True):
        rows = rows_of(look.seen.host, look.seen.readings.monitors, [*look.guests, *twins], per_cache=per_cache)
        found = [key for row in rows for key in keys(row)]
        assert len(found) == len(set(found))


def test_a_group_without_any_counter_says_so() -> None:
    of = host({"COS1": (1, 1)})
    (row,) = rows_of(of, [reading(of, "COS1")])
    assert (row.state, f"{row.lack}", row.fill) == ("no counter", "no counters", None)


def test_ways_that_two_groups_of_a_guest_share_count_once() -> None:
    of = host({"cachetune-a-vcpus_0": (0x3, 0x3), "cachetune-a-vcpus_1": (0x6, 0x6)})
    (row,) = rows_of(of, [reading(of, f"cachetune-a-vcpus_{n}", (WAY, 1, 1), (0, 0, 0), guest="a") for n in (0, 1)])
    assert row.own_bytes == 6 * WAY


def test_with_cdp_the_own_ways_are_those_for_code_or_data() -> None:
    sim = simulate("skylake-2s", options=["cdp"])
    sim.mkdir("COS1")
    sim.write("COS1/schemata", "L3CODE:0=3;1=3\n")
    sim.write("COS1/schemata", "L3DATA:0=6;1=3\n")
    of = read_host(sim)
    (row,) = rows_of(of, [reading(of, "COS1", (0, 0, 0), (0, 0, 0))])
    assert row.rows[0].mask == Cbm(0x7)


def test_numa_nodes_are_inside_their_cache_and_are_not_counted_twice() -> None:
    of = host({"COS1": (1, 1)})
    one = reading(of, "COS1", (4 * MIB, 8, 8))
    nodes = (*counters((3 * MIB, 5, 5), node=0), *counters((MIB, 3, 3), node=1))
    (row,) = rows_of(of, [replace(one, counters=(*one.counters, *nodes))])
    assert outline(row) == ["COS1", [["L3 0", [["node 0"], ["node 1"]]]]]
    assert row.occupancy == Amount(4.0 * MIB)


def requested(*guests: GuestState, per_cache: bool = False) -> dict[str, list[str]]:
    """The requests of the rows of guests, by name."""
    seen, found = every_state().seen, dict[str, list[str]]()
    for row in rows_of(seen.host, seen.readings.monitors, guests, per_cache=per_cache):
        if row.kind in ("guest", "ungrouped") and row.tuning:
            found.setdefault(row.name, []).append(row.request)
    return found


def test_a_guest_is_found_by_its_name_or_by_the_groups_of_its_threads() -> None:
    assert requested(guest("web", 1, drifted())) == {"web": ["drifted"]}
    assert requested(guest("renamed", 1, drifted(), WEB)) == {"web": ["drifted"]}
    assert requested(guest("renamed", 1, drifted(), LATE)) == {"db": ["drifted"]}
    assert requested(guest("web", 1, drifted()), per_cache=True) == {"web": ["drifted", "drifted"]}


def test_a_guest_in_no_group_of_a_guest_has_one_row_also_per_cache() -> None:
    for groups in ((), (COS,)):
        for per_cache in (False, True):
            assert requested(guest("new", 1, drifted(), *groups), per_cache=per_cache) == {"new": ["drifted"]}


def test_a_process_that_claims_the_name_of_a_guest_does_not_hide_what_that_lacks() -> None:
    claims, real = guest("web", 1, Tuning("unknown")), guest("web", 2, drifted(), WEB)
    assert requested(claims, real) == requested(real, claims) == {"web": ["drifted"]}


def test_of_a_guest_with_groups_only_what_is_wrong_with_its_request_is_said() -> None:
    for state in ("none", "unknown", "applied"):
        assert requested(guest("web", 1, Tuning(state), WEB)) == {"web": [""]}  # type: ignore[arg-type]
