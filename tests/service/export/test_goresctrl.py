"""goresctrl's configuration: read as goresctrl reads it, it has the masks and the bandwidth of the groups."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune.cbm import is_contiguous
from cachetune.host.model import Group, Host
from cachetune.service.applied import AppliedGuest, applied_guests
from cachetune.service.export import export_guests
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from tests.service.export.drawn import host_with_guests
from tests.service.test_applied import EMPTY, host_of


def configuration(host: Host, guests: tuple[AppliedGuest, ...], *, default: bool = True) -> dict[str, Any]:
    """The document of the export, from the part of YAML that it is written in."""
    (text,) = export_guests(guests, host, "goresctrl", default=default).texts
    root: dict[str, Any] = {}
    stack = [root]
    for line in text.text.splitlines():
        depth = (len(line) - len(line.lstrip(" "))) // 2
        key, end = json.JSONDecoder().raw_decode(line.strip()) if line.strip()[0] == '"' else _word(line.strip())
        value = line.strip()[end:].removeprefix(":").strip()
        del stack[depth + 1 :]
        stack[depth][key] = {} if value in ("", "{}") else json.loads(value)
        if value == "":
            stack.append(stack[depth][key])
    return root


def _word(text: str) -> tuple[str, int]:
    return text.partition(":")[0], text.index(":")


def allocation(tree: dict[str, Any], key: str, cache_id: int, kind: str) -> Any:
    """The value of one cache id, and of one type: unified stands for those not given."""
    value = tree.get(key)
    if isinstance(value, dict):
        value = value.get(str(cache_id), value["all"])
    return value.get(kind, value["unified"]) if isinstance(value, dict) else value


def resolved(document: dict[str, Any], host: Host) -> dict[str, dict[tuple[str, int], int]]:
    """The values that goresctrl would write, by class. Asserts what it checks."""
    found: dict[str, dict[tuple[str, int], int]] = {}
    taken: dict[tuple[str, int], int] = {}
    for partition in document["partitions"].values():
        for cache in host.caches:
            kind = {"both": "unified"}.get(cache.type, cache.type)
            for i in cache.size_bytes:
                base = int(allocation(partition, f"l{cache.level}Allocation", i, kind), 16)
                assert is_contiguous(base)
                assert not taken.get((cache.name, i), 0) & base, "partitions overlap"
                taken[cache.name, i] = taken.get((cache.name, i), 0) | base
                for name, tree in partition["classes"].items():
                    inside = allocation(tree, f"l{cache.level}Allocation", i, kind)
                    mask = base if inside is None else int(inside, 16) << ((base & -base).bit_length() - 1)
                    assert mask & ~base == 0
                    found.setdefault(name, {})[cache.name, i] = mask
        for name, tree in partition["classes"].items():
            for i in host.bandwidths[0].ids if "mbAllocation" in partition else ():
                value = allocation(tree, "mbAllocation", i, "") or partition["mbAllocation"]
                found.setdefault(name, {})["MB", i] = int(value[0].rstrip("%MBps"))
    return found


def expected(group: Group, host: Host) -> dict[tuple[str, int], int]:
    masks = {(name, i): int(mask) for name, i, mask in group.masks.entries()}
    if any(b.name == "MB" and b.unit == "1/8 GB/s" for b in host.bandwidths):
        return masks
    return masks | {("MB", i): value for i, value in group.bandwidth.row("MB").items()}


@settings(max_examples=30)
@given(st.sampled_from(profile_names()), st.integers(0, 10**6))
def test_goresctrl_would_write_the_values_of_the_groups(
    tmp_path_factory: pytest.TempPathFactory, profile: str, seed: int
) -> None:
    host, guests = host_with_guests(profile, seed, tmp_path_factory.mktemp("run"))
    found = resolved(configuration(host, guests), host)
    controls = [g for guest in guests for path in guest.groups if (g := host.group(path)) and g.kind == "control"]
    usable = [g for g in controls if all(m and is_contiguous(m) for _, _, m in g.masks.entries())]
    assert {path: values for path, values in found.items() if path != "system/default"} == {
        group.path: expected(group, host) for group in usable
    }
    assert found.get("system/default", expected(host.default_group, host)) == expected(host.default_group, host)


def test_groups_that_overlap_on_any_cache_share_a_partition_and_others_do_not(sim: SimulatedResctrl) -> None:
    for name, masks in (("a", "0=3;1=3"), ("b", "0=c;1=c"), ("c", "0=30;1=8")):
        sim.mkdir(f"cachetune-{name}")
        sim.write(f"cachetune-{name}/schemata", f"L3:{masks}\n")
    sim.write("schemata", "L3:0=7c0;1=7c0\n")
    host = host_of(sim)
    partitions = configuration(host, applied_guests(host, EMPTY))["partitions"]
    assert [set(each["classes"]) for each in partitions.values()] == [
        {"system/default"},
        {"cachetune-a"},
        {"cachetune-b", "cachetune-c"},
    ]


def test_a_mask_with_holes_is_left_out_with_a_note() -> None:
    sim = SimulatedResctrl(load_profile("granite-rapids-snc3"))
    sim.mkdir("cachetune-web")
    sim.write("cachetune-web/schemata", "L3:0=5\n")
    host = host_of(sim)
    exported = export_guests(applied_guests(host, EMPTY), host, "goresctrl", default=False)
    assert exported.notes == ("cachetune-web is left out: its mask on L3 cache 0 0x5 has holes",)
    assert exported.texts[0].text == "partitions: {}\n"


def test_amds_bandwidth_is_left_out_with_a_note() -> None:
    sim = SimulatedResctrl(load_profile("milan"))
    sim.mkdir("cachetune-web")
    sim.write("cachetune-web/schemata", "MB:0=64\n")
    host = host_of(sim)
    exported = export_guests(applied_guests(host, EMPTY), host, "goresctrl", default=False)
    assert exported.notes == ("goresctrl has no unit for the memory bandwidth of AMD: left out",)
    assert "mbAllocation" not in exported.texts[0].text


@pytest.mark.parametrize("name", ['no"\\: {', "yes", "1", "é\x85\u2028: x", "😀"])
def test_names_of_groups_are_quoted(sim: SimulatedResctrl, name: str) -> None:
    host = host_of(sim)
    hostile = msgspec.structs.replace(host.default_group, path=name, owner="cachetune")
    host = msgspec.structs.replace(host, groups=(host.default_group, hostile))
    (guest,) = applied_guests(host, EMPTY)
    (text,) = export_guests((guest,), host, "goresctrl", default=False).texts
    lines = text.text.split("\n")
    assert all(line.isprintable() for line in lines)
    quoted = re.fullmatch(r'  "(.*)":', lines[1])
    assert quoted
    assert re.sub(r"\\U([0-9a-f]{8})", lambda found: chr(int(found[1], 16)), quoted[1]) == name
