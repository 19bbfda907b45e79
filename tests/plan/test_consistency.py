"""A saved plan is input: every contradiction is refused with a message that names it, and no plan of ours has any."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachetune import documents
from cachetune.apply.run import Connection
from cachetune.apply.state.ledger import Ledger
from cachetune.errors import DocumentError
from cachetune.plan import Plan
from cachetune.plan.consistency import plan_problems
from tests.effort import examples
from tests.samples import FAST_PROFILES, domains, host_with_guest, plan_for, web

Json = dict[str, Any]


@pytest.fixture
def saved(connection: Connection) -> Json:
    return msgspec.json.decode(documents.encode(plan_for(web("skylake-2s"), connection)))


def change(*path: str | int, to: object) -> Callable[[Json], None]:
    def apply(document: Json) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return apply


def repeat(*path: str | int) -> Callable[[Json], None]:
    def apply(document: Json) -> None:
        place: Any = document
        for step in path:
            place = place[step]
        place.append(place[-1])

    return apply


L3 = ("groups", 0, "schemata", "L3")
IMPOSSIBLE = {
    "a guest twice": (repeat("guests"), "machine name 'cachetune-web' occurs 2 times"),
    "a group twice": (repeat("groups"), "occurs 2 times"),
    "a resource twice": (repeat("resources"), "resource 'L3' occurs 2 times"),
    "a thread twice": (repeat("guests", 0, "threads"), "thread '4714' occurs 2 times"),
    "no process": (change("guests", 0, "pid", to=0), "0 is not the id of a thread"),
    "a thread beyond": (change("guests", 0, "threads", 0, "tid", to=1 << 31), "is not the id of a thread"),
    "the default group": (change("groups", 0, "path", to="."), "'.' is not the path of a control group of a guest"),
    "outside the root": (change("groups", 0, "path", to="../x"), "'../x' is not the path of a control group"),
    "the wrong kind": (change("groups", 1, "kind", to="control"), "is not the path of a control group"),
    "a vCPU beyond": (change("groups", 0, "vcpus", to="0-99999"), "is beyond the maximum"),
    "an iothread beyond": (
        lambda plan: plan["groups"][0].update(vcpus="", threads="iothreads:99999"),
        "iothread 99999 is beyond the maximum",
    ),
    "vCPUs and threads": (change("groups", 0, "threads", to="emulator"), "the vCPUs '0-1' and the threads 'emulator'"),
    "neither vCPUs nor threads": (
        change("groups", 0, "vcpus", to=""),
        "group 'cachetune-web-vcpus_0-1': a number is missing",
    ),
    "a thread of two kinds": (
        change("guests", 0, "threads", 0, "vhost", to="thread"),
        "thread 4711 is of two kinds",
    ),
    "a kernel thread as the process": (
        lambda plan: plan["guests"][0]["threads"][0].update(vcpu=None, vhost="kernel thread"),
        "kernel thread 4711 serves no process",
    ),
    "an unknown resource": (
        change(*L3[:-1], "L4", to={"0": "3"}),
        "a mask on L4 cache 0, which the host does not have",
    ),
    "an unknown cache": (change(*L3, "7", to="3"), "a mask on L3 cache 7, which the host does not have"),
    "a mask beyond": (change(*L3, "0", to="800"), "800 is not a mask of the 11 ways of L3"),
    "an unknown bandwidth": (change(*L3[:-1], "XB", to={"0": 10}), "XB 0=10 is not a bandwidth"),
    "a bandwidth below": (change(*L3[:-1], "MB", "0", to=-1), "MB 0=-1 is not a bandwidth"),
    "a node below": (change(*L3[:-1], "MB", "-1", to=10), "MB -1=10 is not a bandwidth"),
    "a request without values": (
        change("groups", 0, "requested", "L2", to={"0": 1}),
        "requests 1 of L2 0, but gets none",
    ),
    "a rounded value that is not requested": (
        change("groups", 0, "rounded_from", to={"L3": {"1": "30%"}}),
        "has L3 1 rounded, but does not request it",
    ),
    "a rounded value that is not a size": (
        change("groups", 0, "rounded_from", to={"L3": {"0": "\x1b[2Jmuch"}}),
        "L3 0 is rounded from '\\x1b[2Jmuch' is not a number with its unit",
    ),
    "a rounded value that is not a bandwidth": (
        change("groups", 0, "rounded_from", to={"MB": {"0": "3ways"}}),
        "MB 0 is rounded from '3ways'",
    ),
    "a host group outside": (change("host_groups", "../x", to=""), "'../x' is not the path of a group"),
    "a negative count": (change("summary", "tasks_moved", to=-1), "the summary counts -1 of something"),
    "negative use": (change("summary", "closids", "used", to=-1), "the summary counts -1 of something"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_contradiction_is_named(saved: Json, case: str) -> None:
    edit, message = IMPOSSIBLE[case]
    edit(saved)
    with pytest.raises(DocumentError) as caught:
        documents.decode(msgspec.json.encode(saved), Plan, "plan.json", plan_problems)
    assert message in str(caught.value)
    assert "plan.json" in str(caught.value)


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_plan_of_ours_contradicts_itself(data: st.DataObject, tmp_path: Path) -> None:
    connection = Connection(host_with_guest(data.draw(st.sampled_from(FAST_PROFILES))), tmp_path)
    plan = plan_for(data.draw(domains(connection.look(Ledger()))), connection)
    assert list(plan_problems(plan)) == []
