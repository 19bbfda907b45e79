import errno
import json
from decimal import Decimal
from pathlib import Path

import pytest

from cachetune import documents
from cachetune.errors import GroupNotFoundError, ResctrlError
from cachetune.host import SysfsResctrl, read_host
from cachetune.watch import Counter, Reading, Readings, read_counters, unit_of
from tests.host.trees import SKYLAKE, Tree, below, make, monitoring

WEB = "cachetune-web-vcpus_0-1"
WEB_0 = f"{WEB}/mon_groups/cachetune-web-vcpus_0"


def l3(cache_id: str, occupancy: str, total: str = "0", local: str = "0") -> Tree:
    values = {"llc_occupancy": occupancy, "mbm_total_bytes": total, "mbm_local_bytes": local}
    return below(f"mon_data/mon_L3_{cache_id}", values)


def readings(root: Path, tree: Tree, *paths: str) -> tuple[Reading, ...]:
    fs = SysfsResctrl(make(root, {**SKYLAKE, **tree}))
    return read_counters(fs, read_host(fs), paths)


def test_values_are_sorted_by_cache_and_event(tmp_path: Path) -> None:
    tree = {**below(WEB, {**l3("00", "23068672", "7", "5"), **l3("01", "0")}), **below(WEB_0, l3("00", "65536"))}
    web, web_0 = readings(tmp_path, tree, WEB, WEB_0)
    assert (web.name, web.kind, web.owner, web.vcpus) == (WEB, "control", "cachetune", "0-1")
    assert (web_0.path, web_0.kind, web_0.vcpus) == (WEB_0, "monitor", "0")
    assert web.counters == (
        Counter("L3", 0, "llc_occupancy", 23068672, "ok"),
        Counter("L3", 0, "mbm_total_bytes", 7, "ok"),
        Counter("L3", 0, "mbm_local_bytes", 5, "ok"),
        Counter("L3", 1, "llc_occupancy", 0, "ok"),
        Counter("L3", 1, "mbm_total_bytes", 0, "ok"),
        Counter("L3", 1, "mbm_local_bytes", 0, "ok"),
    )


def test_ids_are_decimal_and_in_numerical_order(tmp_path: Path) -> None:
    ids = ("08", "09", "10", "100", "00", "2")
    (root,) = readings(tmp_path, {k: v for i in ids for k, v in l3(i, "1").items()}, ".")
    assert [c.id for c in root.counters if c.event == "llc_occupancy"] == [0, 2, 8, 9, 10, 100]


@pytest.mark.parametrize("number", [0, 2**32, 2**64 - 1])
def test_values_have_64_bits(number: int, tmp_path: Path) -> None:
    (root,) = readings(tmp_path, l3("00", f"{number}"), ".")
    assert root.counters[0].value == number


@pytest.mark.parametrize(
    ("text", "state"),
    [("Unavailable", "Unavailable"), ("Unassigned", "Unassigned"), ("Error", "Error"), ("", "Error"), ("-1", "Error")],
)
def test_a_missing_value_is_not_zero_and_does_not_affect_others(text: str, state: str, tmp_path: Path) -> None:
    (root,) = readings(tmp_path, {**l3("00", text, "7"), **l3("01", "9")}, ".")
    assert root.counters[0] == Counter("L3", 0, "llc_occupancy", None, state)  # type: ignore[arg-type]
    assert [c.value for c in root.counters if c.value is not None] == [7, 0, 9, 0, 0]


def test_a_removed_file_is_reported_as_vanished(tmp_path: Path) -> None:
    class Vanishing(SysfsResctrl):
        def read(self, path: str) -> str:
            if path.endswith("mbm_total_bytes"):
                (tmp_path / path).unlink()
            return super().read(path)

    fs = Vanishing(make(tmp_path, {**SKYLAKE, **l3("00", "1", "2", "3")}))
    (root,) = read_counters(fs, read_host(fs), ["."])
    assert [(c.value, c.state) for c in root.counters] == [(1, "ok"), (None, "Vanished"), (3, "ok")]


def test_a_removed_group_has_no_counters(tmp_path: Path) -> None:
    (web,) = readings(tmp_path, {}, WEB)
    assert web.counters == ()


def test_an_unknown_group_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GroupNotFoundError, match="has no group 'x'"):
        readings(tmp_path, {}, "x")


def test_a_file_without_permission_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_self: SysfsResctrl, path: str) -> str:
        raise ResctrlError(13, "read", path)

    fs = SysfsResctrl(make(tmp_path, {**SKYLAKE, **l3("00", "1")}))
    host = read_host(fs)
    monkeypatch.setattr(SysfsResctrl, "read", forbidden)
    with pytest.raises(ResctrlError, match="EACCES"):
        read_counters(fs, host, ["."])


def test_a_directory_that_cannot_be_listed_does_not_hide_other_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = SysfsResctrl(make(tmp_path, {**SKYLAKE, **l3("00", "1"), **below(WEB, l3("00", "2"))}))
    host, listdir = read_host(fs), SysfsResctrl.listdir

    def broken(self: SysfsResctrl, path: str) -> list[str]:
        if path == f"{WEB}/mon_data":
            raise ResctrlError(errno.EIO, "listdir", path)
        return listdir(self, path)

    monkeypatch.setattr(SysfsResctrl, "listdir", broken)
    web, default = read_counters(fs, host, [WEB, "."])
    assert (web.counters, default.counters[0].value) == ((), 1)


def test_nodes_of_a_cache_are_read_in_addition_to_its_sum(tmp_path: Path) -> None:
    inner = below("mon_data/mon_L3_00", {"mon_sub_L3_01/llc_occupancy": "2", "mon_sub_L3_00/llc_occupancy": "1"})
    (root,) = readings(tmp_path, {**below("mon_data/mon_L3_00", {"llc_occupancy": "3"}), **inner}, ".")
    assert [(c.node, c.value) for c in root.counters] == [(None, 3), (0, 1), (1, 2)]


@pytest.mark.parametrize("text", ["1234.567890", "0.000099", "36028797018963968.000000", "0.0000000001", "7.0"])
def test_a_value_with_a_decimal_point_keeps_every_digit(text: str, tmp_path: Path) -> None:
    tree = {**below("info/PERF_PKG_MON", monitoring("activity")), "mon_data/mon_PERF_PKG_01/activity": text}
    (root,) = readings(tmp_path, tree, ".")
    document = documents.encode(root)
    (counter,) = documents.decode(document, Reading, "reading").counters
    assert json.loads(document)["counters"][0]["value"] == counter.value == text
    assert counter.number == Decimal(text)


def test_the_largest_count_is_a_whole_number(tmp_path: Path) -> None:
    tree = {**below("info/PERF_PKG_MON", monitoring("c6_res")), "mon_data/mon_PERF_PKG_00/c6_res": f"{2**64 - 1}"}
    (root,) = readings(tmp_path, tree, ".")
    (counter,) = documents.decode(documents.encode(root), Reading, "reading").counters
    assert (counter.value, counter.number) == (2**64 - 1, 2**64 - 1)


@pytest.mark.parametrize(
    ("event", "unit"),
    [("llc_occupancy", "bytes"), ("mbm_local_bytes", "bytes"), ("core_energy", "joules"), ("activity", "farads"),
     ("unhalted_ref_cycles", "cycles"), ("uops_retired", ""), ("new_event", "")],
)  # fmt: skip
def test_a_known_event_has_a_unit(event: str, unit: str) -> None:
    assert unit_of(event) == unit


def test_a_missing_value_has_no_number() -> None:
    assert Counter("L3", 0, "llc_occupancy", None, "Unavailable").number is None


def test_package_telemetry_is_read_as_fractions(tmp_path: Path) -> None:
    tree = {
        **below("info/PERF_PKG_MON", monitoring("core_energy", "activity")),
        **below("mon_data/mon_PERF_PKG_01", {"core_energy": "1234.567890", "activity": "Unavailable"}),
    }
    (root,) = readings(tmp_path, tree, ".")
    assert root.counters == (
        Counter("PERF_PKG", 1, "core_energy", "1234.567890", "ok"),
        Counter("PERF_PKG", 1, "activity", None, "Unavailable"),
    )


def test_events_missing_from_mon_features_are_read_too(tmp_path: Path) -> None:
    (root,) = readings(tmp_path, below("mon_data/mon_L3_00", {"new_event": "1", "mbm_local_bytes": "2"}), ".")
    assert [c.event for c in root.counters] == ["mbm_local_bytes", "new_event"]


def test_the_document_decodes_to_the_same_value(tmp_path: Path) -> None:
    document = Readings(source="x", time=1.5, monitors=readings(tmp_path, l3("00", "Error", str(2**64 - 1)), "."))
    data = documents.encode(document)
    assert documents.decode(data, Readings, "x") == document
    assert json.loads(data)["monitors"][0]["counters"][0] == {
        "resource": "L3",
        "id": 0,
        "event": "llc_occupancy",
        "value": None,
        "state": "Error",
        "node": None,
        "partial": False,
        "per_second": None,
    }


def test_a_group_of_other_threads_says_which(tmp_path: Path) -> None:
    path = "cachetune-web-threads_iothreads_1-2"
    (reading,) = readings(tmp_path, below(path, l3("00", "65536")), path)
    assert (reading.vcpus, reading.threads) == (None, "iothreads:1-2")
