"""The numbers: what guests need and what hosts have."""

import pytest

from cachetune.cbm import Cbm
from cachetune.fleet.assign.problem import Layout, Limits, Need, most_ways, need_of, packs, room_of
from cachetune.host.model import Host
from cachetune.plan.request import Options
from cachetune.units import Rate
from tests.fleet.assign.instances import SHRINK, problem, request, simulated, ways
from tests.fleet.domains import caches

L3 = ("L3", 0)
NO_LIMITS = Limits()
HALF = "<memorytune vcpus='0-3'><node id='0' bandwidth='50'/></memorytune>"


def layouts(host: Host, options: Options) -> tuple[Layout, ...]:
    return room_of(host, options, NO_LIMITS).layouts[L3]


@pytest.mark.parametrize(("size", "number"), [("3ways", 3), ("50%", 5), ("4608KiB", 2)])
def test_sizes_become_ways_as_in_a_plan(size: str, number: int) -> None:
    host = simulated()  # 11 ways of 2304 KiB
    need = need_of(request("web", caches(f"0={size}")), host, Options())
    assert need == Need(ways=((L3, (number,)),), closids=1, rmids=1)


def test_a_host_that_cannot_do_what_is_requested_has_no_need() -> None:
    assert need_of(request("web", caches("7=2ways")), simulated(), Options()) is None
    assert need_of(request("web", caches("0=1MiB")), simulated(), Options()) is None
    assert need_of(request("web", caches("0=1MiB")), simulated(), Options(rounding="up")) is not None


def test_a_guest_without_a_request_takes_nothing() -> None:
    assert need_of(request("web", HALF), simulated(), Options()) == Need(
        closids=1, rmids=1, bandwidth=((("MB", 0), 50),)
    )


def test_the_ways_of_the_default_group_are_no_room() -> None:
    assert layouts(simulated(default="7f0"), Options()) == (Layout(Cbm(0xF)),)


def test_a_default_group_that_may_shrink_keeps_the_least_and_what_devices_use() -> None:
    assert layouts(simulated(), SHRINK) == (Layout(Cbm(0x1FF)),)
    assert simulated().caches[0].shareable_bits == 0x600


def test_a_default_group_between_two_holes_can_keep_any_of_its_ways() -> None:
    host = simulated("sapphire-rapids-mbps", default="f0")
    found = {layout.free for layout in layouts(host, SHRINK)}
    assert {0x7FFF & ~(1 << kept) for kept in (4, 5, 6, 7)} == found
    assert {layout.holes for layout in layouts(host, SHRINK)} == {(4, 10), (5, 9), (6, 8), (7, 7)}


def test_groups_that_may_move_are_packed_again() -> None:
    host = simulated(default="600", cachetune_a="18", cachetune_b="c0")
    options = Options(compact=True)
    assert layouts(host, Options()) == (Layout(Cbm(0x127)),)
    assert layouts(host, options) == (Layout(Cbm(0x127)), Layout(Cbm(0x1FF), (2, 2)))
    assert packs([5], layouts(host, options), sparse=False)
    assert not packs([5], layouts(host, Options()), sparse=False)


def test_scattered_ways_are_one_hole_where_masks_may_have_holes() -> None:
    scattered = (Layout(Cbm(0b10101)),)
    assert packs([3], scattered, sparse=True)
    assert not packs([3], scattered, sparse=False)


def test_limits_of_percent_add_up_to_the_whole_node() -> None:
    room = room_of(simulated(), Options(), NO_LIMITS)
    assert room.bandwidth == {("MB", 0): 100, ("MB", 1): 100}
    assert room_of(simulated(), Options(), Limits(overcommit=True)).bandwidth == {}


def test_rates_add_up_to_what_a_node_delivers_if_that_is_known() -> None:
    host = simulated("sapphire-rapids-mbps")
    assert room_of(host, Options(), NO_LIMITS).bandwidth == {}
    known = room_of(host, Options(), Limits(node=Rate.parse("100 GB/s"))).bandwidth
    assert known == dict.fromkeys([("MB", i) for i in host.bandwidths[0].ids], 95367)


def test_guests_that_differ_only_in_their_names_are_of_one_kind() -> None:
    found = problem([*ways(2, 2, 3), *ways(2, cache=1, prefix="other")], [simulated()])
    assert [kind.guests for kind in found.kinds] == [(0, 1), (2,), (3,)]


def test_a_guest_with_groups_on_a_host_stays_there_and_needs_only_what_it_lacks() -> None:
    there = simulated(default="600", cachetune_g0="3")
    found = problem(ways(2), [simulated(), there])
    assert found.homes == {0: (1,)}
    (kind,) = found.kinds
    assert kind.needs[0] is None
    assert kind.needs[1] is not None


def test_room_is_what_is_left_by_other_groups() -> None:
    host = simulated(default="600", cachetune_a="f", cachetune_b="10")
    room = room_of(host, Options(), NO_LIMITS)
    assert most_ways(room, L3) == 4
    assert room.closids == (host.closids_total or 0) - 3
    assert room.units_taken == 5 + 5 + 2  # ways of two caches, CLOSIDs
