from pathlib import Path

import pytest

from cachetune.host import SysfsResctrl, read_host
from cachetune.host.diagnosis import Diagnosis, missing_l3_control
from tests.host.trees import ALL_EVENTS, Tree, bandwidth, below, cache, group, make, monitoring

ONLY_MB = {**below("info/MB", bandwidth()), **group("MB:0=100;1=100")}
CASCADE_LAKE_WITHOUT_RDT_L3CAT = {**ONLY_MB, **below("info/L3_MON", monitoring(*ALL_EVENTS))}
ONLY_L2 = {**below("info/L2", cache("ff", 8)), **group("L2:0=ff")}
MPAM_WITHOUT_PORTIONS = {**below("info/MB", bandwidth(1, 2)), **group("MB:0=100;1=100")}
MPAM_WITH_L2 = {**below("info/L2", cache("ffff", 32, shareable="ffff")), **group("L2:0=ffff")}


def diagnose(root: Path, tree: Tree) -> Diagnosis:
    found = missing_l3_control(read_host(SysfsResctrl(make(root, tree))))
    assert found is not None
    return found


def test_a_host_with_l3_control_lacks_nothing(tmp_path: Path) -> None:
    tree = {**below("info/L3", cache("7ff", 16)), **group("L3:0=7ff")}
    assert missing_l3_control(read_host(SysfsResctrl(make(tmp_path, tree)))) is None


def test_code_and_data_of_l3_are_control(tmp_path: Path) -> None:
    tree = {**below("info/L3CODE", cache("7ff", 8)), **below("info/L3DATA", cache("7ff", 8))}
    root = make(tmp_path, {**tree, **group("L3CODE:0=7ff\nL3DATA:0=7ff")})
    assert missing_l3_control(read_host(SysfsResctrl(root))) is None


def test_l3_that_is_only_monitored_is_called_so(tmp_path: Path) -> None:
    assert "monitored but not allocated" in diagnose(tmp_path, CASCADE_LAKE_WITHOUT_RDT_L3CAT).what


@pytest.mark.parametrize("tree", [ONLY_MB, ONLY_L2])
def test_l3_that_is_not_monitored_is_not_said_to_be(tree: Tree, tmp_path: Path) -> None:
    assert "monitored" not in diagnose(tmp_path, tree).what


@pytest.mark.parametrize("tree", [ONLY_MB, ONLY_L2, CASCADE_LAKE_WITHOUT_RDT_L3CAT])
def test_on_x86_the_remedy_depends_on_the_flag(tree: Tree, tmp_path: Path) -> None:
    remedy = diagnose(tmp_path, tree).remedy
    assert remedy.index("cat_l3") < remedy.index("rdt=l3cat") < remedy.index("BIOS") < remedy.index("virtual machine")


@pytest.mark.parametrize("tree", [MPAM_WITHOUT_PORTIONS, MPAM_WITH_L2])
def test_on_arm_there_is_no_rdt_to_boot_with(tree: Tree, tmp_path: Path) -> None:
    remedy = diagnose(tmp_path, tree).remedy
    assert "rdt=" not in remedy
    assert "firmware" in remedy
