"""An EPYC with four counters for each L3, all given away: to the default group, and to a group of the operator."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cachetune.cli.main import command
from tests.host.trees import ALL_EVENTS, Tree, bandwidth, below, cache, group, make, monitoring

GUEST = """\
<domain type='kvm'>
  <name>web</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-3'>
      <monitor level='3' vcpus='0'/>
      <monitor level='3' vcpus='1'/>
      <monitor level='3' vcpus='2'/>
    </cachetune>
  </cputune>
</domain>
"""
ASSIGNED, UNASSIGNED = (f"mbm_total_bytes:0={e};1={e}\nmbm_local_bytes:0={e};1={e}" for e in "e_")


def readings(occupancy: int, total: str, local: str) -> Tree:
    """The same readings in both caches."""
    values = {"llc_occupancy": f"{occupancy}", "mbm_total_bytes": total, "mbm_local_bytes": local}
    return {f"mon_data/mon_L3_0{i}/{event}": value for i in (0, 1) for event, value in values.items()}


NONE_LEFT: Tree = {
    **below("info/L3", cache("ffff", 16, least=0, sparse_masks="1")),
    **below("info/MB", bandwidth(0, 1, 0, 16)),
    **below("info/L3_MON", monitoring(*ALL_EVENTS, rmids=4096)),
    "info/L3_MON/mbm_assign_mode": "[mbm_event]\ndefault",
    "info/L3_MON/mbm_assign_on_mkdir": "1",
    "info/L3_MON/num_mbm_cntrs": "0=4;1=4",
    "info/L3_MON/available_mbm_cntrs": "0=0;1=0",
    "size": "    MB:0=4096;1=4096\n    L3:0=16777216;1=16777216",
    "mon_groups/": "",
    **group("    MB:0=4096;1=4096\n    L3:0=ff00;1=ff00", "1", cpus_list="0-31"),
    "mbm_L3_assignments": ASSIGNED,
    **readings(1048576, "4096", "2048"),
    **below("batch", group("    MB:0=4096;1=4096\n    L3:0=f000;1=f000", "777")),
    **below("batch", {"mbm_L3_assignments": ASSIGNED, **readings(1048576, "4096", "2048")}),
    **below("qemu-2-web-vcpus_0-1", group("    MB:0=4096;1=4096\n    L3:0=000f;1=000f", "4711\n4712")),
    **below(
        "qemu-2-web-vcpus_0-1",
        {"mbm_L3_assignments": UNASSIGNED, **readings(2097152, "Unassigned", "Unassigned")},
    ),
}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """The options that name the host, and the guest."""
    (tmp_path / "guest.xml").write_text(GUEST)
    root = make(tmp_path / "resctrl", NONE_LEFT)
    return "--resctrl", str(root), "--sysfs", str(tmp_path), "--run", str(tmp_path / "run"), str(tmp_path / "guest.xml")


def test_the_plan_warns_names_the_holders_and_recommends_what_helps(files: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(command, ["plan", "--json", *files])
    assert ran.exit_code == 0, ran.stderr
    (found,) = (one for one in json.loads(ran.stdout)["warnings"] if one["rule"] == "CT230")
    assert found["line"] == 6
    assert found["message"] == (
        "monitors cachetune-web-vcpus_0, cachetune-web-vcpus_1 and cachetune-web-vcpus_2 will read 'Unassigned' for "
        "mbm_total_bytes and mbm_local_bytes: 0 of 4 counters left on L3 caches 0-1, held by the default group and "
        "batch (unknown)"
    )
    assert found["hint"] == (
        "write 'EVENT:*=_' to mbm_L3_assignments of a group that does not need its counters, or write 'default' to "
        "info/L3_MON/mbm_assign_mode, which restarts every count on this host"
    )


def test_the_option_takes_no_counter_from_others(files: tuple[str, ...]) -> None:
    plain, made = (
        CliRunner().invoke(command, ["plan", "--json", *options, *files]) for options in ([], ["--assign-counters"])
    )
    assert made.stdout == plain.stdout, "there is nothing to assign, so the plan and its warning are the same"


def test_the_group_without_counters_reads_unassigned(files: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(command, ["monitor", "--json", *files[:2], *files[4:6], "--machine-name", "qemu-2-web"])
    assert ran.exit_code == 0, ran.stderr
    (reading,) = json.loads(ran.stdout)["monitors"]
    states = {(counter["event"], counter["state"]) for counter in reading["counters"]}
    assert states == {
        ("llc_occupancy", "ok"),
        ("mbm_total_bytes", "Unassigned"),
        ("mbm_local_bytes", "Unassigned"),
    }
