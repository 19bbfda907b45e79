"""The libvirt that is installed still answers every case as recorded, and our plan knows its groups for its own.

What our answers have to do with these is the business of test_compared.
"""

import pytest

from tests.libvirt import answers
from tests.libvirt.bodies import CASES, HOSTS
from tests.libvirt.host import LibvirtHost
from tests.libvirt.theirs import ask

pytestmark = pytest.mark.libvirt


@pytest.mark.parametrize("name", HOSTS)
def test_libvirt_answers_as_recorded_and_its_groups_are_recognised(name: str, libvirt_here: None) -> None:  # noqa: ARG001
    cases = [case for case in CASES if case.host == name]
    with LibvirtHost(HOSTS[name]) as host:
        recorded = answers.load(host.libvirt_version())
        asked = [(case.key, answer, unknown) for case, answer, unknown in ask(host, cases)]
    assert {key: answer for key, answer, _ in asked} == {case.key: recorded[case.key] for case in cases}
    assert {key: unknown for key, _, unknown in asked if unknown} == {}
