"""What hosts that people reported can do, in words that are true there."""

from pathlib import Path

from tests.field.hosts import (
    KUNPENG,
    KUNPENG_WITH_DEVICE,
    MB_OF_ONE_L3,
    NO_L3_CONTROL,
    guest,
    host,
    l3,
    node,
    planned,
    refused,
    rules,
    text,
)


def test_a_host_that_only_monitors_its_l3_says_how_to_get_control(tmp_path: Path) -> None:
    found = refused(guest(l3(4608)), host(NO_L3_CONTROL, tmp_path))
    assert (found.rule, found.message) == ("CT201", "this host has no allocation control for level 3 caches")
    assert "info/ has L3_MON but no L3" in found.hint
    assert "boot with rdt=l3cat" in found.hint


def test_a_cache_without_bandwidth_control_is_named(tmp_path: Path) -> None:
    found = refused(guest(node(1)), host(MB_OF_ONE_L3, tmp_path))
    assert (found.rule, found.message) == ("CT209", "there is no memory bandwidth node 1")
    assert found.hint == "only L3 cache 0 of L3 caches 0-1 has bandwidth control"


def test_numa_nodes_are_not_called_caches(tmp_path: Path) -> None:
    found = refused(guest(node(122)), host(KUNPENG, tmp_path))
    assert found.message == "there is no memory bandwidth node 122"
    assert found.hint == (
        "the host has memory bandwidth nodes 0-1; on this host they are NUMA nodes, not L3 caches 1,122"
    )


def test_a_device_in_another_group_is_no_obstacle(tmp_path: Path) -> None:
    made = planned(guest(l3(4 * 2048, 1)), host(KUNPENG_WITH_DEVICE, tmp_path))
    assert made.groups[0].schemata.masks["L3"][1] == 0x00F
    assert rules(made) == []
    assert "nic" not in text(made)
    assert not any("nic" in path for step in made.steps for path in (step.path,))
