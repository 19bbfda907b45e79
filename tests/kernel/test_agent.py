"""The agent on a real kernel, as its service runs it: root with one capability, for another user's guest."""

import re

import pytest

from cachetune import documents
from cachetune.host.model import Host
from tests.kernel import vm
from tests.kernel.conftest import ROOT, Scenario
from tests.kernel.scenarios.bare_agent import KEPT, USER, Outcome

pytestmark = pytest.mark.kernel
GROUP = "cachetune-web-vcpus_0-1"
WAY_KIB = 3840


@pytest.fixture(scope="module")
def outcome(scenario: Scenario) -> Outcome:
    found: Outcome = scenario("bare_agent", Outcome, str(WAY_KIB), machine=vm.Machine(registers=False))[0]
    return found


def test_the_agent_has_one_capability_and_the_guest_belongs_to_another_user(outcome: Outcome) -> None:
    (kept,) = KEPT
    assert re.findall(r"^Cap(?:Eff|Prm|Bnd):\s*(\w+)$", outcome.process, re.MULTILINE) == [f"{1 << kept:016x}"] * 3
    assert re.findall(r"^(Uid|NoNewPrivs):\s*(\w+)", outcome.process, re.MULTILINE) == [
        ("Uid", "0"),
        ("NoNewPrivs", "1"),
    ]
    assert outcome.user == USER


def test_the_service_leaves_the_agent_exactly_that_capability() -> None:
    service = (ROOT / "cachetune/install/files/cachetune-agent.service").read_text()
    assert re.findall(r"^CapabilityBoundingSet=(.*)$", service, re.MULTILINE) == ["CAP_DAC_OVERRIDE"]


def test_without_the_capability_no_group_can_be_made(outcome: Outcome) -> None:
    assert outcome.without.code == 1
    assert f"cannot mkdir {GROUP}: EACCES" in outcome.without.err


def test_with_the_capability_threads_of_another_user_are_moved(outcome: Outcome) -> None:
    assert (outcome.placed.code, outcome.placed.err.splitlines()) == (
        0,
        [
            f"warning: web: unverified: only process {outcome.guest.pid} (user {USER}) claims to be this guest",
            "notice: web: 1 group created, 2 groups written, 2 threads moved",
        ],
    )
    assert set(map(int, outcome.during[GROUP]["tasks"].split())) == set(outcome.guest.vcpus.values())


def test_a_snapshot_of_the_kernels_resctrl_says_which_machine_it_is(outcome: Outcome) -> None:
    identity = documents.decode(outcome.snapshot.out.encode(), Host, "the snapshot").identity
    assert identity is not None, outcome.snapshot.err
    assert identity.hostname
    assert identity.kernel == outcome.release
    assert identity.cpu_model
    assert identity.taken > 1.7e9


def test_removing_the_file_restores_the_kernel(outcome: Outcome) -> None:
    assert outcome.removed.code == 0, outcome.removed.err
    assert outcome.differences == ()
