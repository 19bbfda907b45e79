import pytest

from cachetune.host import owner_of

UID = "0b6e1cf5-8c1e-4d3a-9f2a-1f6d5c8e7a90"


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        (".", "default"),
        ("cachetune-web-vcpus_0-1", "cachetune"),
        ("mon_groups/cachetune-web", "cachetune"),
        ("qemu-1-guest-vcpus_0-1", "libvirt"),
        ("qemu-1", "libvirt"),
        ("qemu-12-a.b-c", "libvirt"),
        ("mon_groups/qemu-1-guest-vcpus_0", "libvirt"),
        ("qemu-alice-3-guest", "libvirt"),
        ("qemu-embed-0123abcd-3-guest", "libvirt"),
        ("lxc-4-box", "libvirt"),
        ("ch-4-box-vcpus_0", "libvirt"),
        ("qemu-guest", "unknown"),
        ("COS1", "pqos"),
        ("COS1/mon_groups/pqos-4711-0", "pqos"),
        ("mon_groups/pqos-4711-0", "pqos"),
        ("COSTLY", "unknown"),
        ("BestEffort", "containers"),
        ("Guaranteed", "containers"),
        ("Burstable", "containers"),
        ("goresctrl.Gold", "containers"),
        (f"mon_groups/{UID}", "containers"),
        (f"pod{UID}", "containers"),
        (UID.replace("-", ""), "containers"),
        (f"pod{UID}".replace("-", ""), "containers"),
        ("f" * 64, "containers"),
        ("f" * 33, "unknown"),
        ("mon_groups/cadvisor-8d2f", "cadvisor"),
        ("dra-cache0-part0", "dra"),
        ("something", "unknown"),
        ("cachetune", "unknown"),
        ("qemu-1-guest\nx", "libvirt"),
    ],
)
def test_the_owner_follows_from_the_name(path: str, owner: str) -> None:
    assert owner_of(path) == owner


def test_the_ledger_takes_precedence_over_the_name() -> None:
    assert owner_of("qemu-1-guest", {"qemu-1-guest"}) == "cachetune"
    assert owner_of(".", {"."}) == "default"


def test_a_monitor_group_belongs_to_the_program_that_made_it() -> None:
    assert owner_of("qemu-1-guest-vcpus_0/mon_groups/cadvisor-1") == "cadvisor"
