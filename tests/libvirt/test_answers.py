"""The libvirt that is installed still answers as recorded, and our plan knows its groups for its own.

The first host gets all requests, each of the others a different third; with CACHETUNE_LIBVIRT_ALL=1 all hosts get all
requests. test_compared compares libvirt's answers with ours.
"""

import os

import pytest

from tests.libvirt import answers
from tests.libvirt.bodies import CASES, FIRST, HOSTS, Case
from tests.libvirt.host import LibvirtHost
from tests.libvirt.theirs import ask

pytestmark = pytest.mark.libvirt


def cases_of(name: str) -> list[Case]:
    """The requests on a host."""
    cases = [case for case in CASES if case.host == name]
    if name == FIRST or os.environ.get("CACHETUNE_LIBVIRT_ALL"):
        return cases
    return cases[list(HOSTS).index(name) % 3 :: 3]


@pytest.mark.parametrize("name", HOSTS)
def test_libvirt_answers_as_recorded_and_its_groups_are_recognised(name: str, libvirt_here: None) -> None:  # noqa: ARG001
    cases = cases_of(name)
    with LibvirtHost(HOSTS[name]) as host:
        recorded = answers.load(host.libvirt_version())
        asked = [(case.key, answer, unknown) for case, answer, unknown in ask(host, cases)]
    assert {key: answer for key, answer, _ in asked} == {case.key: recorded[case.key] for case in cases}
    assert {key: unknown for key, _, unknown in asked if unknown} == {}
