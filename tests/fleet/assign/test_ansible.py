"""The variables for Ansible: what YAML readers get is what the assignment says, whatever the names are."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune.errors import InputError
from cachetune.fleet.assign.ansible import ansible_vars
from cachetune.fleet.assign.model import AssignedGuest, AssignedHost, FleetAssignment
from cachetune.plan.request import Options


def assignment(*places: tuple[str, str, str]) -> FleetAssignment:
    """Guests, each with its file and its host."""
    hosts: dict[str, list[str]] = {}
    for guest, _, host in places:
        hosts.setdefault(host, []).append(guest)
    return FleetAssignment(
        solver="greedy",
        placed=len(places),
        hosts_used=len(hosts),
        seconds=0.0,
        budget_seconds=0.0,
        guests=tuple(AssignedGuest(guest, file, host) for guest, file, host in places),
        hosts=tuple(AssignedHost(host, "", tuple(guests), (), None, None) for host, guests in sorted(hosts.items())),
        candidates=(),
    )


def test_the_file_has_guests_and_hosts_as_documented() -> None:
    found = assignment(("web", "guest-web.xml", "node-1"), ("db", "db.xml", "node-1"))
    options = Options(shrink_default=True, compact=True, rounding="up")
    flags = ["--shrink-default", "--compact", "--round=up"]
    means = {"shrink_default": True, "compact": True, "round": "up"}
    assert yaml.safe_load(ansible_vars(found, options)) == {
        "cachetune_assignment": {
            "db": {"host": "node-1", "domain": "db.xml", "options": flags},
            "web": {"host": "node-1", "domain": "guest-web.xml", "options": flags},
        },
        "cachetune_guests": {
            "node-1": [
                {"name": "web", "domain": "guest-web.xml", **means},
                {"name": "db", "domain": "db.xml", **means},
            ]
        },
    }


def test_without_options_nothing_may_be_done_and_without_guests_both_are_empty() -> None:
    loaded = yaml.safe_load(ansible_vars(assignment(("web", "web.xml", "a")), Options()))
    assert loaded["cachetune_guests"]["a"] == [
        {"name": "web", "domain": "web.xml", "shrink_default": False, "compact": False, "round": None}
    ]
    assert loaded["cachetune_assignment"]["web"]["options"] == []
    assert yaml.safe_load(ansible_vars(assignment(), Options())) == {"cachetune_assignment": {}, "cachetune_guests": {}}


HOSTILE = ["yes", "NO", "null", "~", "1e3", "0x10", "- a", "a: b", "a #b", "*a", "!unsafe x", "'", '"', "\\", "{a}",
           "", "\n", "a\nb: c", "\x1b[2J", "\x85", "\u2028", "\ufeff", "\U0001f600", "ä", "%x", "a,b"]  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.sampled_from(HOSTILE) | st.text(max_size=8)] * 3), unique_by=lambda each: each[0]))
def test_any_names_are_read_back_as_they_are(places: list[tuple[str, str, str]]) -> None:
    places = [each for each in places if not any(start in "\0".join(each) for start in ("{{", "{%", "{#"))]
    data = ansible_vars(assignment(*places), Options())
    assert data.isascii()
    loaded = yaml.safe_load(data)
    assert {name: (each["domain"], each["host"]) for name, each in loaded["cachetune_assignment"].items()} == {
        name: (file, host) for name, file, host in places
    }
    assert {(host, each["name"]) for host, guests in loaded["cachetune_guests"].items() for each in guests} == {
        (host, name) for name, _, host in places
    }


@pytest.mark.parametrize("template", ["{{ lookup('pipe', 'id') }}", "{% if x %}", "{# c #}"])
@pytest.mark.parametrize("place", range(3))
def test_what_ansible_would_run_as_a_template_is_refused(template: str, place: int) -> None:
    names = ["web", "web.xml", "node-1"]
    names[place] += template
    with pytest.raises(InputError, match="a template for Ansible"):
        ansible_vars(assignment((names[0], names[1], names[2])), Options())


def test_a_guest_from_standard_input_is_refused() -> None:
    with pytest.raises(InputError, match="standard input"):
        ansible_vars(assignment(("web", "<stdin>", "node-1")), Options())
