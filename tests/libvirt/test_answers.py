"""The libvirt that is installed still answers as recorded, and our plan knows its groups for its own.

Each host gets a third of the requests, so that three hosts in a row have all; in ``make soak`` the first host gets all
of them, and with CACHETUNE_LIBVIRT_ALL=1 every host. test_compared compares libvirt's answers with ours.
"""

import os

import pytest

from tests.libvirt import answers
from tests.libvirt.bodies import CASES, FIRST, HOSTS, Case
from tests.libvirt.host import LibvirtHost
from tests.libvirt.theirs import ask

pytestmark = pytest.mark.libvirt


def cases_of(name: str, *, every: bool) -> list[Case]:
    """The requests on a host: every one, or a third."""
    cases = [case for case in CASES if case.host == name]
    if every or os.environ.get("CACHETUNE_LIBVIRT_ALL"):
        return cases
    return cases[list(HOSTS).index(name) % 3 :: 3]


@pytest.mark.parametrize(
    ("name", "every"),
    [*((name, False) for name in HOSTS), pytest.param(FIRST, True, marks=pytest.mark.soak)],
)
@pytest.mark.usefixtures("libvirt_here")
def test_libvirt_answers_as_recorded_and_its_groups_are_recognised(name: str, every: bool) -> None:
    cases = cases_of(name, every=every)
    with LibvirtHost(HOSTS[name]) as host:
        recorded = answers.load(host.libvirt_version())
        asked = [(case.key, answer, unknown) for case, answer, unknown in ask(host, cases)]
    assert {key: answer for key, answer, _ in asked} == {case.key: recorded[case.key] for case in cases}
    assert {key: unknown for key, _, unknown in asked if unknown} == {}
