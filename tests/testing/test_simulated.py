"""cachetune.testing in memory: what another project's tests start from."""

import doctest
import errno
import importlib

import pytest

import cachetune.testing
from cachetune.errors import InputError, ResctrlError
from cachetune.host import read_host
from cachetune.testing import Clock, SimulatedResctrl, add_guest, load_profile, profile_names, simulate


@pytest.mark.parametrize("module", ["cachetune.testing", "cachetune.testing.guests"])
def test_the_examples_in_the_docstrings_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted
    assert not result.failed


def test_every_public_name_is_there() -> None:
    for name in cachetune.testing.__all__:
        assert getattr(cachetune.testing, name)


@pytest.mark.parametrize("kernel", [None, "6.1", "7.3"])
@pytest.mark.parametrize("profile", profile_names())
def test_every_profile_can_be_simulated(profile: str, kernel: str | None) -> None:
    if kernel == "6.1" and load_profile(profile).vendor == "arm":
        with pytest.raises(InputError, match="no resctrl on Arm"):
            simulate(profile, kernel=kernel)
    else:
        assert simulate(profile, kernel=kernel).profile.name == profile


def test_mount_options_replace_those_of_the_profile() -> None:
    assert simulate("sapphire-rapids-cdp").mount_options == ("cdp",)
    assert simulate("sapphire-rapids-cdp", options=()).mount_options == ()
    assert "L3CODE" in simulate(load_profile("skylake-2s"), options=("cdp",)).read("schemata")
    with pytest.raises(ResctrlError, match="mba_MBps"):
        simulate("atom-l2", options=("mba_MBps",))


def test_faults_are_written_as_on_the_command_line() -> None:
    resctrl = simulate(faults=["mkdir:ENOSPC:2"])
    resctrl.mkdir("a")
    with pytest.raises(ResctrlError) as caught:
        resctrl.mkdir("b")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(ValueError, match="errno"):
        simulate(faults=["mkdir:EWRONG"])


def test_an_unknown_profile_or_kernel_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        simulate("pentium")
    assert "skylake-2s" in caught.value.hint
    with pytest.raises(InputError) as caught:
        simulate(kernel="2.6")
    assert "6.12" in caught.value.hint


def test_counters_follow_the_clock() -> None:
    clock = Clock()
    resctrl = simulate(clock=clock)
    read = lambda: int(resctrl.read("mon_data/mon_L3_00/mbm_total_bytes"))  # noqa: E731
    before = read()
    assert read() == before
    clock.advance(1)
    assert read() > before


def test_a_guest_has_one_task_per_vcpu_in_the_default_group() -> None:
    resctrl = simulate()
    guest = add_guest(resctrl, vcpus=2, pid=100)
    assert [(thread.tid, thread.vcpu) for thread in guest.threads] == [(100, 0), (101, 1)]
    assert read_host(resctrl).groups[0].tids == (1, 100, 101)


@pytest.mark.resctrl(profile="milan", kernel="6.1")
class TestFixture:
    def test_it_is_what_the_marker_says(self, simulated_resctrl: SimulatedResctrl) -> None:
        assert (simulated_resctrl.profile.name, simulated_resctrl.kernel) == ("milan", "6.1")

    @pytest.mark.resctrl(kernel="6.12")
    def test_a_nearer_marker_adds_to_it(self, simulated_resctrl: SimulatedResctrl) -> None:
        assert (simulated_resctrl.profile.name, simulated_resctrl.kernel) == ("milan", "6.12")


@pytest.mark.parametrize("simulated_resctrl", ["haswell", "icelake"], indirect=True)
def test_the_fixture_takes_profiles_as_parameters(
    simulated_resctrl: SimulatedResctrl, request: pytest.FixtureRequest
) -> None:
    assert simulated_resctrl.profile.name == request.node.callspec.params["simulated_resctrl"]
