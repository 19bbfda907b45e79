"""Who uses a cache, counted once."""

from cachetune.watch.tenants import Part, Tenant, tenants_of
from tests.watch.neighbors import MIB, crowd, moments, use

DEFAULT, WEB, BATCH = Tenant(".", "default"), Tenant("web", "guest"), Tenant("batch", "guest")


def parts(*usages: object) -> dict[Tenant, tuple[float | None, float | None]]:
    (moment,) = moments(usages)  # type: ignore[arg-type]
    found = tenants_of(moment, 0, 11)
    return {
        tenant: (
            None if part.occupancy_bytes is None else part.occupancy_bytes / MIB,
            None if part.bytes_per_second is None else part.bytes_per_second / MIB,
        )
        for tenant, part in found.items()
    }


def test_guests_with_monitors_in_the_default_group_are_not_counted_in_it() -> None:
    assert parts(*crowd()) == {DEFAULT: (1, 100), BATCH: (17, 4000), WEB: (3, 800)}


def test_a_guest_is_its_control_group_without_its_monitors_again() -> None:
    web, monitor = "cachetune-web-vcpus_0-3", "cachetune-web-vcpus_0-3/mon_groups/cachetune-web-vcpus_0"
    usages = (use(".", 4, 9), use(web, 6, 500, guest="web"), use(monitor, 2, 300, guest="web"))
    assert parts(*usages) == {DEFAULT: (4, 9), WEB: (6, 500)}


def test_a_guest_is_the_sum_of_its_control_groups() -> None:
    one = use("cachetune-web-vcpus_0", 2, 100, guest="web", mask=0x3)
    two = use("cachetune-web-vcpus_1", 3, 50, guest="web", mask=0xC)
    assert parts(one, two) == {WEB: (5, 150)}
    (moment,) = moments([one, two])
    paths = ("cachetune-web-vcpus_0", "cachetune-web-vcpus_1")
    assert tenants_of(moment, 0, 11)[WEB] == Part(frozenset(range(4)), 5 * MIB, 150 * MIB, paths)


def test_a_foreign_monitor_group_belongs_to_its_control_group_but_not_to_the_default_group() -> None:
    usages = (use(".", 5, 9), use("mon_groups/x", 2, 4), use("COS1", 7, 30), use("COS1/mon_groups/y", 3, 10))
    assert parts(*usages) == {
        DEFAULT: (3, 5),
        Tenant("mon_groups/x", "group"): (2, 4),
        Tenant("COS1", "group"): (7, 30),
    }


def test_a_monitor_without_a_value_takes_nothing_from_the_sum_which_lacks_it_too() -> None:
    usages = (use(".", 5, 9), use("mon_groups/cachetune-web-vcpus_0", None, None, guest="web"))
    assert parts(*usages) == {DEFAULT: (5, 9), WEB: (None, None)}


def test_a_sum_that_was_read_earlier_than_its_part_is_not_negative() -> None:
    usages = (use(".", 5, 9), use("mon_groups/cachetune-web-vcpus_0", 5.5, 10, guest="web"))
    assert parts(*usages)[DEFAULT] == (0, 0)


def test_without_masks_all_share_all_ways() -> None:
    (moment,) = moments([use(".", 5, 9, mask=None)], ways=0)
    assert tenants_of(moment, 0, 1)[DEFAULT].ways == frozenset({0})
