"""A guest with tuning in its domain XML: libvirt places it. The hook frees the ways, checks, and gives them back."""

import pytest

from cachetune.testing.guests import NamedThreads
from tests.hook.calling import Libvirt, cache, domain, tuning

pytestmark = pytest.mark.slow

LIVE = domain("web", cache(), number=4)
GROUP = "qemu-4-web-vcpus_0-1"


def place_as_libvirt_does(libvirt: Libvirt, group: str, schemata: str, *tids: int) -> None:
    libvirt.fs.mkdir(group)
    libvirt.fs.write(f"{group}/schemata", f"{schemata}\n")
    for tid in tids:
        libvirt.fs.write(f"{group}/tasks", str(tid))


def vcpus(qemu: NamedThreads) -> tuple[int, int]:
    return qemu.tids["CPU 0/KVM"], qemu.tids["CPU 1/KVM"]


def test_without_shrink_default_prepare_reports_the_missing_ways_and_writes_nothing(libvirt: Libvirt) -> None:
    before = libvirt.tree()
    (line,) = libvirt.hook("prepare", "web", LIVE)
    assert line.startswith(
        "cachetune-hook: prepare of web: error: /domain/cputune/cachetune[1]/cache[1]/@size: no room"
    )
    assert libvirt.hook("prepare", "web", LIVE, "--strict", code=1) == [line]
    assert libvirt.tree() == before
    assert not libvirt.run.exists()


def test_a_full_lifecycle_on_a_fresh_host_restores_the_tree(libvirt: Libvirt, qemu: NamedThreads) -> None:
    before, options = libvirt.tree(), ("--strict", "--shrink-default")
    made = libvirt.hook("prepare", "web", LIVE, *options)
    assert made == ["cachetune-hook: prepare of web: write L3:0=7fc to the default group"]
    assert libvirt.hook("prepare", "web", LIVE, *options) == [], "the ways are already free"
    assert libvirt.tree().keys() == before.keys()
    place_as_libvirt_does(libvirt, GROUP, "L3:0=003;1=7ff", *vcpus(qemu))
    libvirt.runs("web", qemu)
    placed = libvirt.tree()
    for operation in ("started", "reconnect"):
        assert libvirt.hook(operation, "web", LIVE, *options) == []
    assert libvirt.tree() == placed
    libvirt.fs.rmdir(GROUP)
    given_back = libvirt.hook("release", "web", domain("web", cache()), *options)
    assert given_back == ["cachetune-hook: release of web: write L3:0=7ff to the default group"]
    assert libvirt.tree() == before


def test_a_start_that_libvirt_cancels_gives_the_ways_back(libvirt: Libvirt) -> None:
    before = libvirt.tree()
    libvirt.hook("prepare", "web", LIVE, "--shrink-default")
    assert libvirt.tree() != before
    libvirt.hook("release", "web", domain("web", cache()), "--shrink-default")
    assert libvirt.tree() == before
    libvirt.hook("prepare", "db", domain("db", cache(ways=1), number=5), "--shrink-default")
    assert "L3:0=7fe" in libvirt.tree()["."], "nothing is kept for the guest that did not start"


def test_guests_that_start_together_get_ways_each(libvirt: Libvirt) -> None:
    libvirt.hook("prepare", "web", LIVE, "--strict", "--shrink-default")
    libvirt.hook("prepare", "db", domain("db", cache(ways=3), number=5), "--strict", "--shrink-default")
    assert "L3:0=7e0;" in libvirt.tree()["."], "two ways for one, three for the other"


def test_guests_that_start_together_on_different_caches_do_not_conflict(libvirt: Libvirt) -> None:
    libvirt.hook("prepare", "web", LIVE, "--strict", "--shrink-default")
    libvirt.hook("prepare", "db", domain("db", cache(cache_id=1), number=5), "--strict", "--shrink-default")
    assert "L3:0=7fc;1=7fc" in libvirt.tree()["."]


def test_a_libvirt_guest_that_shares_the_default_groups_ways_is_named(libvirt: Libvirt) -> None:
    libvirt.hook("prepare", "web", LIVE, "--shrink-default")
    place_as_libvirt_does(libvirt, GROUP, "L3:0=003;1=7ff")
    before = libvirt.tree()
    other = domain("db", cache(cache_id=1), number=5)
    (line,) = libvirt.hook("prepare", "db", other, "--strict", "--shrink-default", code=1)
    assert "no room for 2 ways (4608 KiB) on L3 cache 1" in line
    assert f"the default group has 7ff, {GROUP} (libvirt) has 7ff" in line
    assert libvirt.tree() == before


def test_release_keeps_the_ways_of_a_guest_that_is_starting(libvirt: Libvirt) -> None:
    libvirt.hook("prepare", "web", LIVE, "--shrink-default")
    libvirt.hook("prepare", "db", domain("db", cache(ways=3), number=5), "--shrink-default")
    libvirt.hook("release", "db", domain("db", cache(ways=3)), "--shrink-default")
    assert "L3:0=7fc;" in libvirt.tree()["."], "the two ways of web stay free"


def test_release_gives_back_only_ways_that_no_guest_has(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.hook("prepare", "web", LIVE, "--shrink-default")
    place_as_libvirt_does(libvirt, GROUP, "L3:0=003;1=7ff", *vcpus(qemu))
    libvirt.runs("web", qemu)
    libvirt.hook("started", "web", LIVE, "--strict")
    libvirt.hook("prepare", "db", domain("db", cache(ways=3), number=5), "--shrink-default")
    libvirt.hook("release", "db", domain("db", cache(ways=3)), "--shrink-default")
    assert "L3:0=7fc;" in libvirt.tree()["."]


def test_without_shrink_default_release_leaves_the_default_group_alone(libvirt: Libvirt) -> None:
    libvirt.hook("prepare", "web", LIVE, "--shrink-default")
    shrunk = libvirt.tree()
    assert libvirt.hook("release", "web", domain("web", cache())) == []
    assert libvirt.tree() == shrunk


def test_a_guest_that_shrinking_cannot_fit_is_refused(libvirt: Libvirt) -> None:
    before = libvirt.tree()
    (line,) = libvirt.hook(
        "prepare", "web", domain("web", cache(ways=10), number=4), "--strict", "--shrink-default", code=1
    )
    assert "no room for 10 ways" in line
    assert libvirt.tree() == before


DRIFT = {
    "the group is missing": (None, (), "still to do: create qemu-4-web-vcpus_0-1"),
    "its mask differs": ("L3:0=007", (0, 1), "still to do: write L3:0=003 to"),
    "a thread is elsewhere": ("L3:0=003", (0,), "still to do: move 1 task from the default group to"),
}


@pytest.mark.parametrize("case", DRIFT)
def test_what_libvirt_left_undone_is_reported_and_not_repaired(libvirt: Libvirt, qemu: NamedThreads, case: str) -> None:
    schemata, inside, message = DRIFT[case]
    libvirt.fs.write("schemata", "L3:0=7f8\n")
    libvirt.runs("web", qemu)
    if schemata:
        place_as_libvirt_does(libvirt, GROUP, schemata, *(vcpus(qemu)[n] for n in inside))
    before = libvirt.tree()
    for operation, code in (("started", 1), ("reconnect", 0)):
        lines = libvirt.hook(operation, "web", LIVE, "--strict", "--shrink-default", code=code)
        assert message in lines[0]
        assert libvirt.hook(operation, "web", LIVE) == lines
    assert libvirt.tree() == before


def test_a_guest_whose_name_makes_no_group_name_touches_no_group(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.file("default", tuning(cache()))
    libvirt.runs("default", qemu)
    libvirt.hook("started", "default", domain("default", number=1), "--shrink-default")
    placed = libvirt.tree()
    assert "cachetune-default-vcpus_0-1" in placed
    assert libvirt.hook("release", "!!!", domain("!!!", cache()), "--shrink-default") == []
    assert libvirt.tree() == placed
