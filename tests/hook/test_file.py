"""A guest with a tuning file: prepare checks that it fits, started places it, release removes its groups."""

import pytest

from cachetune.service.change_log import Wanted, log_files, opened, read_changes
from cachetune.testing.guests import NamedThreads
from tests.hook.calling import Libvirt, cache, domain, tuning

GROUP = "cachetune-web-vcpus_0-1"


def tids(qemu: NamedThreads) -> set[int]:
    return {qemu.tids["CPU 0/KVM"], qemu.tids["CPU 1/KVM"]}


def members(libvirt: Libvirt, group: str) -> set[int]:
    return set(map(int, libvirt.fs.read(f"{group}/tasks").split()))


@pytest.mark.parametrize("xml", [tuning(cache()), domain("web", cache())], ids=["tuning file", "domain XML"])
def test_a_full_lifecycle_places_the_guest_and_restores_the_tree(
    libvirt: Libvirt, qemu: NamedThreads, xml: str
) -> None:
    libvirt.file("web", xml)
    libvirt.runs("web", qemu)
    before, options = libvirt.tree(), ("--strict", "--shrink-default")
    live = domain("web", number=3)
    assert libvirt.hook("prepare", "web", live, *options) == []
    assert libvirt.tree() == before, "prepare writes nothing"
    assert libvirt.hook("started", "web", live, *options) == [
        "cachetune-hook: started of web: write L3:0=7fc to the default group",
        f"cachetune-hook: started of web: create {GROUP}",
        f"cachetune-hook: started of web: write L3:0=003;1=7ff to {GROUP}",
        f"cachetune-hook: started of web: move 2 tasks from the default group to {GROUP}",
    ]
    assert members(libvirt, GROUP) == tids(qemu)
    placed = libvirt.tree()
    for operation in ("started", "reconnect"):
        assert libvirt.hook(operation, "web", live, *options) == [], "it is already placed"
    assert libvirt.tree() == placed
    removal = libvirt.hook("release", "web", domain("web"), *options)
    assert [line.rpartition(": ")[2] for line in removal] == [
        f"move 2 tasks from {GROUP} to the default group",
        f"remove {GROUP}",
        "write L3:0=7ff to the default group",
    ]
    assert libvirt.tree() == before
    assert libvirt.hook("release", "web", domain("web"), *options) == []
    log = read_changes(opened(log_files(libvirt.run / "changes.jsonl")), Wanted(guest="web"))
    assert [change.program for change in log.changes] == ["hook started", "hook release"]


def test_reconnect_places_what_started_could_not(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.file("web", tuning(cache()))
    libvirt.runs("web", qemu)
    assert libvirt.hook("reconnect", "web", domain("web", number=3), "--shrink-default")
    assert members(libvirt, GROUP) == tids(qemu)


def test_a_guest_that_does_not_fit_is_reported_and_stopped_only_with_strict(
    libvirt: Libvirt, qemu: NamedThreads
) -> None:
    libvirt.file("web", tuning(cache()))
    libvirt.runs("web", qemu)
    before, live = libvirt.tree(), domain("web", number=3)
    for operation, code in (("prepare", 1), ("started", 1), ("reconnect", 0)):
        for options, reservations in (((), 0), (("--strict",), code)):
            (line,) = libvirt.hook(operation, "web", live, *options, code=reservations)
            assert f"{operation} of web: error: {libvirt.guests_d}/web.xml:1:" in line
            assert "no room for 2 ways (4608 KiB) on L3 cache 0" in line
            hint = "use --shrink-default: the default group would keep 7fc of 7ff"
            assert line.endswith(f"{hint} (--shrink-default: HOOK_OPTIONS in /etc/default/cachetune)")
    assert libvirt.tree() == before


def test_tuning_in_both_the_domain_xml_and_a_file_is_refused(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.file("web", tuning(cache()))
    libvirt.runs("web", qemu)
    before, live = libvirt.tree(), domain("web", cache(), number=3)
    for operation, code in (("prepare", 1), ("started", 1), ("reconnect", 0)):
        (line,) = libvirt.hook(operation, "web", live, "--strict", "--shrink-default", code=code)
        assert line.endswith(
            f"both the guest's own XML and {libvirt.guests_d}/web.xml request tuning; libvirt's groups stay; keep "
            "one of them"
        )
    assert libvirt.tree() == before


def test_release_removes_the_groups_even_if_the_file_was_deleted(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.file("web", tuning(cache()))
    libvirt.runs("web", qemu)
    before = libvirt.tree()
    libvirt.hook("started", "web", domain("web", number=3), "--shrink-default")
    (libvirt.guests_d / "web.xml").unlink()
    assert libvirt.tree() != before
    libvirt.hook("release", "web", domain("web"))
    assert libvirt.tree() == before


def test_the_groups_of_a_guest_with_a_similar_name_are_left_alone(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.file("a_b", tuning(cache()))
    libvirt.file("ab", tuning(cache()))
    libvirt.runs("a_b", qemu)
    libvirt.runs("ab", qemu)
    libvirt.hook("started", "a_b", domain("a_b", number=1), "--shrink-default")
    placed = libvirt.tree()
    assert "cachetune-ab-vcpus_0-1" in placed
    (line,) = libvirt.hook("started", "ab", domain("ab", number=2), "--strict", code=1)
    assert "'cachetune-ab' is in use by the guest 'a_b' [CT505]" in line
    assert libvirt.hook("release", "ab", domain("ab")) == []
    assert libvirt.tree() == placed


def test_an_offline_vcpu_is_not_an_error(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.file("web", tuning(cache("0-3")))
    libvirt.runs("web", qemu)
    assert libvirt.hook("started", "web", domain("web", number=3), "--strict", "--shrink-default")
    assert members(libvirt, "cachetune-web-vcpus_0-3") == tids(qemu)


def test_tuning_of_the_whole_process_moves_every_thread(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.file("web", tuning(cache().replace("vcpus='0-1'", "")))
    libvirt.runs("web", qemu)
    libvirt.hook("started", "web", domain("web", number=3), "--strict", "--shrink-default")
    assert members(libvirt, "cachetune-web") == {qemu.pid, *qemu.tids.values()}
