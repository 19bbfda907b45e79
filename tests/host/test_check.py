"""A snapshot is input: every impossible value is refused with a message that names it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachetune import documents
from cachetune.errors import DocumentError
from cachetune.host import SysfsResctrl, check_host, read_host
from cachetune.host.model import Host
from cachetune.host.usage import usage_of
from tests.effort import examples
from tests.host.trees import LIBVIRT, SKYLAKE, make

Json = dict[str, Any]


@pytest.fixture
def snapshot(tmp_path: Path) -> Json:
    host = read_host(SysfsResctrl(make(tmp_path, SKYLAKE)))
    found: Json = json.loads(documents.encode(host))
    return found


def decode(document: Json) -> Host:
    return check_host(documents.decode(json.dumps(document).encode(), Host, "node7.json"), "node7.json")


@pytest.mark.parametrize("name", LIBVIRT)
def test_a_saved_host_reads_back_the_same(name: str, tmp_path: Path) -> None:
    host = read_host(SysfsResctrl(make(tmp_path, LIBVIRT[name])))
    again = check_host(documents.decode(documents.encode(host), Host, "x"), "x")
    assert again == host
    assert again.fingerprint == host.fingerprint


def change(*path: str | int, to: object) -> Callable[[Json], None]:
    def apply(document: Json) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return apply


def repeat(what: str) -> Callable[[Json], None]:
    return lambda document: document[what].append(document[what][-1])


IMPOSSIBLE = {
    "no default group": (change("groups", 0, "path", to="x"), "no default group"),
    "no groups": (change("groups", to=[]), "no default group"),
    "a group twice": (repeat("groups"), "occurs 2 times"),
    "a cache twice": (repeat("caches"), "occurs 2 times"),
    "an empty cbm_mask": (change("caches", 0, "cbm_mask", to="0"), "cbm_mask is 0"),
    "too many ways": (change("caches", 0, "cbm_mask", to="1" * 17), "not a hexadecimal mask"),
    "a mask with a sign": (change("caches", 0, "cbm_mask", to="-1"), "not a hexadecimal mask"),
    "another level than the name": (change("caches", 0, "level", to=2), "not the name"),
    "an unknown name": (change("caches", 0, "name", to="L3; rm"), "not the name"),
    "a negative least": (change("caches", 0, "min_cbm_bits", to=-1), "min_cbm_bits"),
    "a least beyond the ways": (change("caches", 0, "min_cbm_bits", to=12), "min_cbm_bits"),
    "shareable bits outside": (change("caches", 0, "shareable_bits", to="fff"), "shareable_bits"),
    "a cache of nothing": (change("caches", 0, "size_bytes", "0", to=0), "cannot have a size of 0 bytes"),
    "a cache of petabytes": (change("caches", 0, "size_bytes", "0", to=1 << 50), "cannot have"),
    "an unknown cache id": (change("caches", 0, "size_bytes", "7", to=1 << 20), "different cache ids"),
    "no control groups": (change("caches", 0, "num_closids", to=0), "num_closids"),
    "a negative bandwidth": (change("bandwidths", 0, "min_bandwidth", to=-1), "not a range"),
    "a range backwards": (change("bandwidths", 0, "max_bandwidth", to=5), "not a range"),
    "no step": (change("bandwidths", 0, "bandwidth_gran", to=0), "bandwidth_gran"),
    "a node twice": (change("bandwidths", 0, "ids", to=[0, 0]), "repeated"),
    "another bandwidth": (change("bandwidths", 0, "name", to="XB"), "not a bandwidth"),
    "an unknown unit": (change("bandwidths", 0, "unit", to="MB"), "unit"),
    "no RMIDs": (change("monitors", 0, "num_rmids", to=0), "num_rmids"),
    "an event that is a path": (change("monitors", 0, "features", to=["../x"]), "not an event name"),
    "a negative threshold": (change("monitors", 0, "max_threshold_occupancy", to=-5), "max_threshold"),
    "a path outside": (change("groups", 2, "path", to="../x"), "not the path"),
    "an absolute path": (change("groups", 2, "path", to="/etc"), "not the path"),
    "a path with NUL": (change("groups", 2, "path", to="a\0b"), "not the path"),
    "a deep path": (change("groups", 2, "path", to="a/b/c/d"), "not the path"),
    "a group named info": (change("groups", 4, "path", to="info"), "not the path"),
    "a kind at the wrong place": (change("groups", 4, "kind", to="monitor"), "not of a monitor group"),
    "a monitor without parent": (change("groups", 3, "path", to="nobody/mon_groups/m"), "no control group"),
    "another default owner": (change("groups", 0, "owner", to="libvirt"), "cannot have the owner"),
    "default as owner": (change("groups", 4, "owner", to="default"), "cannot have the owner"),
    "an unknown mode": (change("groups", 4, "mode", to="\x1b[31m"), "not a mode"),
    "a mask outside": (change("groups", 4, "masks", "L3", "0", to="800"), "not within cbm_mask"),
    "a mask of no cache": (change("groups", 4, "masks", to={"MB": {"0": "1"}}), "not a cache"),
    "a huge bandwidth": (change("groups", 4, "bandwidth", "MB", "0", to=1 << 40), "not a bandwidth"),
    "a bandwidth of a cache": (change("groups", 4, "bandwidth", to={"L3": {"0": 1}}), "not a bandwidth resource"),
    "a negative tid": (change("groups", 4, "tids", to=[-1]), "thread ids"),
    "an invalid CPU list": (change("groups", 4, "cpus", to="all"), "list of CPUs"),
    "another version": (change("schema_version", to=2), "schema_version"),
}


def test_the_unchanged_snapshot_is_valid(snapshot: Json) -> None:
    assert decode(snapshot).closids_used == 3


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_an_impossible_value_is_refused(what: str, snapshot: Json) -> None:
    spoil, words = IMPOSSIBLE[what]
    spoil(snapshot)
    with pytest.raises(DocumentError, match=words) as caught:
        decode(snapshot)
    assert str(caught.value).startswith("node7.json")


@pytest.mark.parametrize("path", ["mon_groups/info", "g/mon_groups/info", "a b", "gr\u00fcn"])
def test_names_that_the_kernel_accepts_are_accepted(path: str, snapshot: Json) -> None:
    kind = "monitor" if "mon_groups" in path else "control"
    plain = {"path": path, "kind": kind, "owner": "unknown"}
    snapshot["groups"] += [{"path": "g", "kind": "control", "owner": "unknown"}, plain]
    assert decode(snapshot).group(path) is not None


NASTY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["../x", ".", "mon_groups/x", "\x1b[2J", "ffff", "0" * 16, "é"]),
    st.just([]),
    st.just({}),
    st.just({"0": "1", "-1": "2"}),
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, v in inner for p in places(v, (*path, key)))]


@given(st.data())
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_any_change_to_a_snapshot_is_refused_or_can_be_counted(snapshot: Json, data: st.DataObject) -> None:
    document = copy.deepcopy(snapshot)
    path = data.draw(st.sampled_from(places(document)[1:]))
    change(*path, to=data.draw(NASTY))(document)
    try:
        host = decode(document)
    except DocumentError:
        return
    usage = usage_of(host)
    assert all(0 <= cache.largest_hole_ways <= cache.free_ways <= cache.ways for cache in usage.caches)
