"""CLOSIDs and RMIDs on hosts as people reported them: who holds them, and limits that do not apply."""

import errno
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import Ledger
from cachetune.errors import ResctrlError
from cachetune.host.model import Group
from cachetune.plan.render import summary_sentence
from cachetune.plan.steps import CreateGroup
from cachetune.sim import simulate_host
from tests.field.hosts import (
    CADVISOR_ORPHANS,
    MPAM_WITH_ONE_RMID,
    SHRINK,
    guest,
    host,
    node,
    planned,
    refused,
    rules,
    warning,
)
from tests.rules.scenes import mpam
from tests.samples import GUEST, host_with_guest

THREE_MONITORS = """<cachetune vcpus='0-3'>
<monitor level='3' vcpus='0'/>
<monitor level='3' vcpus='1'/>
<monitor level='3' vcpus='2'/>
</cachetune>"""


def test_who_holds_the_rmids_is_said_and_where_they_run_out(tmp_path: Path) -> None:
    found = refused(guest(THREE_MONITORS), host(CADVISOR_ORPHANS, tmp_path))
    assert found.rule == "CT213"
    assert found.message == (
        "cannot create 3 groups: 1 of 32 RMIDs free; 30 held by cadvisor (mon_groups/cadvisor-container-00, "
        "mon_groups/cadvisor-container-01 and 28 more), 1 by the default group"
    )
    assert found.hint == (
        "request fewer monitors, or remove groups that are no longer needed; 30 of them have no tasks and no CPUs"
    )
    assert found.line == 6, "the second monitor is the first that finds none"


def test_an_mpam_host_that_reports_one_rmid_gets_a_plan_and_a_warning(tmp_path: Path) -> None:
    made = planned(guest(node(0)), host(MPAM_WITH_ONE_RMID, tmp_path))
    assert CreateGroup("cachetune-web-vcpus_0-3") in made.steps
    assert rules(made) == ["CT224"]
    assert warning(made, "CT224").message.endswith(": num_rmids is 1, less than the 64 CLOSIDs")
    assert summary_sentence(made) == "1 control group to create. 3 of 64 CLOSIDs used afterwards."


def test_a_fresh_mpam_host_with_one_rmid_gets_a_plan_too(tmp_path: Path) -> None:
    fresh = {path: text for path, text in MPAM_WITH_ONE_RMID.items() if not path.startswith("batch")}
    assert rules(planned(guest(node(0)), host(fresh, tmp_path))) == ["CT224"]


def test_on_mpam_each_control_group_has_its_own_rmids() -> None:
    made = planned(guest(THREE_MONITORS), mpam(num_rmids=32), GUEST)
    assert summary_sentence(made).endswith(
        "1 of 8 CLOSIDs and at most 4 of 4 RMIDs of a control group used afterwards."
    )
    found = refused(guest(THREE_MONITORS), mpam(num_rmids=24))
    assert found.message == (
        "cannot create 3 monitor groups in the default group: 2 of 3 RMIDs free; 1 held by the default group"
    )
    assert found.line == 7, "the third monitor"


def test_a_control_group_with_more_monitor_groups_than_rmids_shows_that_the_limit_is_wrong() -> None:
    on = mpam(num_rmids=8)
    crowded = Group(path="mon_groups/a", kind="monitor", owner="unknown")
    made = planned(guest(THREE_MONITORS), msgspec.structs.replace(on, groups=(*on.groups, crowded)), GUEST)
    assert warning(made, "CT224").message.endswith("num_rmids is 8, but there are more groups in one control group")
    assert summary_sentence(made).endswith("1 of 8 CLOSIDs used afterwards.")


def test_monitor_groups_of_one_control_group_do_not_count_for_another() -> None:
    two = "".join(
        f"<memorytune vcpus='{n}-{n + 1}'><node id='0' bandwidth='50'/><monitor vcpus='{n}'/></memorytune>"
        for n in (0, 2)
    )
    assert rules(planned(guest(two), mpam(num_rmids=16), GUEST)) == []
    one = two.partition("</memorytune>")[0] + "</memorytune>"
    found = refused(guest(one), mpam(num_rmids=8))
    assert found.message == (
        "cannot create 1 monitor group in control group 'cachetune-web-vcpus_0-1': 0 of 1 RMID free; "
        "1 held by the control group itself"
    )
    assert found.hint == "request fewer monitors in it: every control group has 1 RMID"


@pytest.mark.parametrize(("monitors", "outcome"), [(3, "done"), (4, "refused")])
def test_a_plan_has_as_many_monitor_groups_as_a_control_group_has_rmids(
    monitors: int, outcome: str, tmp_path: Path
) -> None:
    sim = host_with_guest("kunpeng-920-mpam", kernel="7.3")
    connection = Connection(sim, tmp_path)
    inside = "".join(f"<monitor level='3' vcpus='{vcpu}'/>" for vcpu in range(monitors))
    size = "<cache id='1' level='3' type='both' size='4' unit='MiB'/>"
    asked = guest(f"<cachetune vcpus='0-3'>{size}{inside}</cachetune>")
    on = connection.look(Ledger())
    if outcome == "refused":
        assert refused(asked, on, SHRINK).message.startswith(
            "cannot create 4 monitor groups in control group 'cachetune-web-vcpus_0-3': 3 of 4 RMIDs free"
        )
        for number in range(3):
            sim.mkdir(f"mon_groups/{number}")
        with pytest.raises(ResctrlError, match="Out of RMIDs"):
            sim.mkdir("mon_groups/3")
        return
    made = planned(asked, on, GUEST, SHRINK)
    assert summary_sentence(made).endswith("at most 4 of 4 RMIDs of a control group used afterwards.")
    assert apply(made, connection).outcome == outcome


def test_if_mkdir_finds_no_rmid_the_plan_is_undone_with_the_kernels_reason(tmp_path: Path) -> None:
    sim = simulate_host(host(MPAM_WITH_ONE_RMID, tmp_path))
    sim.fail(errno.ENOSPC, operation="mkdir", kernel_says="Out of RMIDs")
    connection = Connection(sim, tmp_path / "run")
    before = connection.look(Ledger())
    report = apply(planned(guest(node(0)), before), connection)
    assert report.outcome == "rolled back"
    assert "Out of RMIDs" in report.error
    assert connection.look(Ledger()) == before
