"""What a plan remembers of the host's groups, and its allocations: values in Python, today's text in JSON."""

import msgspec
import pytest

from cachetune import documents
from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.errors import DocumentError
from cachetune.host.model import Group
from cachetune.host.read import read_host
from cachetune.plan.allocation import Allocation
from cachetune.plan.group_state import GroupState, group_states
from tests.samples import FAST_PROFILES, host_with_guest


@pytest.mark.parametrize("profile", FAST_PROFILES)
def test_the_state_of_every_group_reads_back_from_its_text(profile: str) -> None:
    host = read_host(host_with_guest(profile))
    for path, state in group_states(host).items():
        again = GroupState.from_json(state.to_json())
        group = host.group(path)
        assert group
        assert (again, again.masks, again.bandwidth) == (state, group.masks, group.bandwidth)
        assert (again.mode, again.cpus) == (group.mode, group.cpus)


def test_lines_that_are_not_known_are_kept_as_they_are() -> None:
    group = Group(".", "control", "default", masks=Masks({"L3": {0: Cbm(3)}}), other_lines=("XY:0= 1;1=2", "odd"))
    state = GroupState.of(group)
    assert state.to_json() == "L3:0=3 XY:0= 1;1=2 odd shareable"
    assert GroupState.from_json(state.to_json()) == state


def test_counters_are_part_of_the_state() -> None:
    counters = {"mbm_total_bytes": {0: True, 1: False}, "mbm_local_bytes": {0: False, 1: False}}
    group = Group("web", "control", "unknown", cpus="2-3", assignments=counters)
    state = GroupState.of(group)
    assert state.to_json() == "shareable cpus 2-3 counters mbm_total_bytes:0=e;1=_ mbm_local_bytes:0=_;1=_"
    again = GroupState.from_json(state.to_json())
    assert (again, again.assignments, again.cpus) == (state, counters, "2-3")


def test_a_line_that_is_not_known_and_says_counters_is_kept() -> None:
    state = GroupState.of(
        Group(".", "control", "default", other_lines=("XY: counters 1",), assignments={"a": {0: True}})
    )
    assert GroupState.from_json(state.to_json()) == state
    assert GroupState.from_json(state.to_json()).assignments == {"a": {0: True}}


TEXTS = ["", "cpus", "cpus 0", "nonsense", "L3:0=zz shareable", "exclusive cpus 0-3"]
TEXTS += [
    "shareable counters",
    "shareable counters odd",
    "shareable counters a:0=x",
    "counters a:00=e",
    "x counters a:00=e",
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_of_an_older_plan_is_accepted(text: str) -> None:
    assert GroupState.from_json(text).to_json() == text


class Document(msgspec.Struct):
    schemata: Allocation


def test_an_allocation_is_one_object_in_json() -> None:
    document = Document(Allocation(Masks({"L3": {0: Cbm(7), 1: Cbm(0x7FF)}}), Bandwidth({"MB": {0: 50}})))
    text = documents.encode_line(document)
    assert text == b'{"schemata":{"L3":{"0":"7","1":"7ff"},"MB":{"0":50}}}\n'
    assert documents.decode(text, Document, "x") == document


@pytest.mark.parametrize("value", ["[]", '{"L3": {"0": "g"}}', '{"MB": {"0": null}}', '{"MB": {"a": 1}}'])
def test_an_allocation_of_another_form_is_refused(value: str) -> None:
    with pytest.raises(DocumentError):
        documents.decode(f'{{"schemata": {value}}}'.encode(), Document, "x")
