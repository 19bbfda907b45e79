"""goresctrl's configuration becomes requests; what goresctrl would refuse is refused with its line and column."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune.errors import InputError
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.service.convert import convert, goresctrl
from cachetune.service.convert.model import Foreign
from cachetune.service.export import export_guests
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from tests.service.export.drawn import host_with_guests


def host_of(profile: str) -> Host:
    return read_host(SimulatedResctrl(load_profile(profile)))


ICELAKE = host_of("icelake")  # 12 ways, one cache
SKYLAKE = host_of("skylake-2s")  # 11 ways, two caches, percent
CDP = host_of("sapphire-rapids-cdp")
MBPS = host_of("sapphire-rapids-mbps")

GOLDEN = Path(__file__).parents[2] / "golden" / "goresctrl"
"""What goresctrl 0.3.0 wrote for random configurations on a mounted simulation, or why it refused."""

SHARES = """
options: {l3: {optional: true}}
partitions:
  exclusive:
    l3Allocation: "60%"
    mbAllocation: ["100%"]
    classes:
      guaranteed:
  shared:
    l3Allocation: "40%"
    mbAllocation: ["50%"]
    classes:
      burstable:
        l3Allocation: "100%"
      besteffort:
        l3Allocation: "50%"
        mbAllocation: ["50%"]
      DEFAULT:
        l3Allocation: "30%"
"""


def read(text: str, host: Host = SKYLAKE) -> Foreign:
    return goresctrl.read(text.encode(), "rdt.yaml", host)


def one(allocation: str, *, base: str = '"100%"', host: Host = SKYLAKE) -> dict[str, dict[int, int]]:
    """The masks of a class with this allocation, in a partition with that one."""
    text = f"partitions: {{p: {{l3Allocation: {base}, classes: {{web: {{l3Allocation: {allocation}}}}}}}}}"
    (found,) = read(text, host).classes
    return {name: dict(row) for name, row in found.masks.items()}


def test_shares_of_shares_become_ways_the_smallest_partition_first() -> None:
    """As goresctrl 0.3.0 does: 40% of 11 ways are 4, the rest is the other's, which has the lower name and ways."""
    classes = {each.name: each for each in read(SHARES).classes}
    masks = {name: each.masks["L3"][0] for name, each in classes.items()}
    assert masks == {"guaranteed": 0x7F, "burstable": 0x780, "besteffort": 0x180, "DEFAULT": 0x180}
    limits = {name: each.bandwidth["MB"][0] for name, each in classes.items()}
    assert limits == {"guaranteed": 100, "burstable": 50, "besteffort": 25, "DEFAULT": 50}
    assert [name for name, each in classes.items() if each.is_default] == ["DEFAULT"]


def test_a_class_is_the_request_of_a_guest() -> None:
    xml = convert(read(SHARES), SKYLAKE, "besteffort", {}).xml
    assert "<cache id='0' level='3' type='both' size='4608' unit='KiB'/>" in xml
    assert "<node id='0' bandwidth='25'/>" in xml


@pytest.mark.parametrize(
    ("allocation", "mask"),
    [
        ('"0x3"', 0x3),
        ('"0-3"', 0xF),
        ('"1,2"', 0x6),
        ('"100%"', 0x7FF),
        ('"1%"', 0x1),
        ('"50%"', 0x3F),
        ('"50-100%"', 0x7E0),
        ("{all: 30%}", 0xF),
        ("{all: 100%, 0: 0x1}", 0x1),
        ('{all: 100%, "0-1": 0x7}', 0x7),
        ("{unified: 0x1}", 0x1),
    ],
)
def test_forms_of_an_allocation(allocation: str, mask: int) -> None:
    assert one(allocation)["L3"][0] == mask


def test_a_mask_counts_from_the_lowest_way_of_its_partition() -> None:
    assert one('"0x3"', base='"0x7f0"') == {"L3": {0: 0x30, 1: 0x30}}


def test_code_and_data_are_separate_where_the_host_separates_them() -> None:
    text = '{all: {unified: "100%", code: "0x3", data: "0xc"}}'
    found = one(text, host=CDP)
    assert (found["L3CODE"][0], found["L3DATA"][0]) == (0x3, 0xC)
    assert one(text)["L3"][0] == 0x7FF


def test_mbps_are_the_lower_of_both_limits() -> None:
    text = "partitions: {p: {mbAllocation: [50%, 3000MBps], classes: {a: {mbAllocation: [10%, 5000MBps]}, b: }}}"
    assert [dict(each.bandwidth["MB"])[0] for each in read(text, MBPS).classes] == [3000, 3000]


def test_what_is_not_an_allocation_or_not_on_this_host_is_noted_with_its_place() -> None:
    text = """
partitions:
  p:
    l2Allocation: 50%
    mbAllocation: [50%]
    classes:
      web:
        kubernetes: {denyPodAnnotation: true}
"""
    assert read(text).notes == (
        "rdt.yaml:8:21: kubernetes is left out",
        "rdt.yaml:4:19: left out, because the host has no L2",
    )
    (note,) = read("partitions: {p: {mbAllocation: [50%], classes: {a: }}}", host_of("milan")).notes
    assert note == "rdt.yaml:1:32: left out, because the host's unit is 1/8 GB/s"


REFUSED = {
    "": "rdt.yaml: no partitions",
    "a: b": "rdt.yaml:1:1: no partitions",
    "- a": "rdt.yaml:1:1: expected a mapping",
    "a: [": "rdt.yaml:1:5: not YAML",
    "\x00": "rdt.yaml: not YAML",
    "partitions: x": "rdt.yaml:1:13: expected a mapping",
    "partitions: {a: &x {}, b: *x}": "rdt.yaml:1:27: aliases are not supported",
    "partitions: {a: {}, a: {}}": "rdt.yaml:1:13: 'a' occurs twice",
    "partitions: {p: {classes: {a: }}, q: {classes: {a: }}}": "class 'a' is defined twice",
    "partitions: {p: {classes: {a: {l3Allocation: 5%}}}}": "rdt.yaml:1:46: class 'a' has l3Allocation",
    "partitions: {p: {classes: {a: {mbAllocation: [5%]}}}}": "rdt.yaml:1:46: class 'a' has mbAllocation",
    "partitions: {p: {l3Allocation: 5%}, q: {}}": "partition 'q' has no l3Allocation, but others have",
    "partitions: {p: {l3Allocation: 60%}, q: {l3Allocation: 60%}}": "the partitions have more than 100% of L3",
    "partitions: {p: {l3Allocation: 60%}, q: {l3Allocation: 0x1}}": "must all have masks, or all have percentages",
    "partitions: {p: {l3Allocation: 5%}}": "no ways are left for partition 'p' on L3",
    "partitions: {p: {l3Allocation: 0x3}, q: {l3Allocation: 0x1}}": "0x1 on L3: overlaps another partition",
    "partitions: {p: {l3Allocation: 0x1000}}": "0x1000 on L3: the host has the ways 0x7ff",
    "partitions: {p: {l3Allocation: 0x5}}": "'0x5' is not a percentage or a mask without holes",
    "partitions: {p: {l3Allocation: 101%}}": "'101%' is not a percentage",
    "partitions: {p: {l3Allocation: x}}": "'x' is not a number",
    "partitions: {p: {l3Allocation: [x]}}": "expected a text",
    "partitions: {p: {l3Allocation: {code: 5%}}}": "no unified allocation",
    "partitions: {p: {l3Allocation: 0x3, classes: {a: {l3Allocation: 0x7}}}}": "0x7 does not fit into",
    "partitions: {p: {mbAllocation: [50], classes: {a: }}}": "'50' is not a bandwidth such as 50% or 2000MBps",
    "partitions: {p: {mbAllocation: [500%], classes: {a: }}}": "500% is more than 100%",
    "partitions: {p: {mbAllocation: [5MBps], classes: {a: }}}": "no value in percent, which this host needs",
    f"partitions: {'[' * 50}{']' * 50}": "nested too deeply",
    f"partitions: {'[' * 5000}": "rdt.yaml",
}


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=map(str, range(len(REFUSED))))
def test_what_goresctrl_would_refuse_is_refused(text: str, why: str) -> None:
    with pytest.raises(InputError) as refused:
        read(text)
    assert why in str(refused.value)


@given(st.text(max_size=60))
def test_any_document_is_read_or_refused(text: str) -> None:
    for document in (text, f"partitions: {text}", f"partitions: {{p: {{l3Allocation: {text}, classes: {{a: }}}}}}"):
        with contextlib.suppress(InputError):
            assert read(document) is not None


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(profile_names()), st.integers(0, 10**6))
def test_what_export_writes_is_read_with_the_values_of_the_groups(
    tmp_path_factory: pytest.TempPathFactory, profile: str, seed: int
) -> None:
    host, guests = host_with_guests(profile, seed, tmp_path_factory.mktemp("run"))
    (text,) = export_guests(guests, host, "goresctrl", default=False).texts
    found = goresctrl.read(text.text.encode(), "rdt.yaml", host)
    for each in found.classes:
        group = host.group(each.name)
        assert group
        assert each.masks == group.masks, each.name
        limits = each.bandwidth.row("MB")
        assert {i: v for i, v in group.bandwidth.row("MB").items() if i in limits} == limits


@pytest.mark.parametrize("case", json.loads((GOLDEN / "0.3.0-skylake-2s.json").read_text()))
def test_the_classes_have_the_values_that_goresctrl_wrote(case: dict[str, Any]) -> None:
    if isinstance(case["classes"], str):
        with pytest.raises(InputError):
            read(case["config"])
        return
    found = {
        each.name: {
            "L3": {str(i): f"{mask:x}" for i, mask in each.masks["L3"].items()},
            "MB": {str(i): min(-(-limit // 10) * 10, 100) for i, limit in each.bandwidth["MB"].items()},
        }
        for each in read(case["config"]).classes
    }
    assert found == case["classes"]
