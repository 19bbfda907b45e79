"""What a host keeps of a bandwidth: for MPAM compared with the kernel's registers, for all percentages and widths."""

import pytest

from cachetune.cbm import Bandwidth, Masks
from cachetune.host.bandwidth import as_written, kept, shows, to_write
from cachetune.host.model import BandwidthControl
from cachetune.host.resctrl.schemata import Schemata
from tests.mpam import Register, mpam_control

WIDTHS = range(1, 17)
INTEL = BandwidthControl("MB", "percent", 10, 10, 100, (0, 1))
AMD = BandwidthControl("MB", "1/8 GB/s", 0, 1, 2048, (0, 1))
MBPS = BandwidthControl("MB", "MiB/s", 0, 1, (1 << 32) - 1, (0, 1))


@pytest.mark.parametrize("bits", WIDTHS)
def test_what_is_kept_is_what_the_register_shows(bits: int) -> None:
    control, register = mpam_control(bits), Register(bits)
    for percent in range(control.min_bandwidth, 101):
        if not register.overflows(percent):
            assert kept(control, percent) == register.shows_after(percent), percent


def test_with_six_bits_ten_percent_reads_as_nine() -> None:
    control = mpam_control(6)
    assert [kept(control, percent) for percent in (2, 10, 20, 50, 90, 98, 100)] == [2, 9, 20, 50, 91, 98, 100]


@pytest.mark.parametrize("bits", WIDTHS)
def test_what_the_host_shows_can_be_written_back(bits: int) -> None:
    control, register = mpam_control(bits), Register(bits)
    for percent in range(control.min_bandwidth, 101):
        shown = kept(control, percent)
        again = to_write(control, shown)
        assert kept(control, again) == shown
        assert not register.overflows(again)
        assert register.shows_after(again) == shown


def test_a_shown_value_written_as_it_is_would_become_another() -> None:
    control, register = mpam_control(5), Register(5)
    assert kept(control, 12) == 13
    assert register.shows_after(13) == 16
    assert to_write(control, 13) == 12


def test_the_maximum_is_written_so_that_it_does_not_overflow_four_bits() -> None:
    control, register = mpam_control(4), Register(4)
    assert register.overflows(100)
    assert to_write(control, 100) == 98
    assert register.shows_after(98) == 100


@pytest.mark.parametrize("control", [INTEL, AMD, MBPS], ids=lambda control: control.unit)
def test_other_hosts_keep_every_value_exactly(control: BandwidthControl) -> None:
    for value in range(101):
        assert kept(control, value) == to_write(control, value) == value
        written = Schemata(bandwidth=Bandwidth({"MB": {0: value}}))
        for found in range(101):
            assert shows([control], Schemata(bandwidth=Bandwidth({"MB": {0: found}})), written) == (found == value)


def test_only_what_was_written_must_be_shown_and_masks_exactly() -> None:
    control = mpam_control(6)
    found = Schemata(Masks({"L3": {0: 0xF, 1: 0xFF}}), Bandwidth({"MB": {0: 9, 1: 100}}))
    assert shows([control], found, Schemata(Masks({"L3": {0: 0xF}}), Bandwidth({"MB": {0: 10}})))
    assert shows([control], found, Schemata(bandwidth=Bandwidth({"MB": {0: 9}})))
    assert not shows([control], found, Schemata(bandwidth=Bandwidth({"MB": {0: 12}})))
    assert not shows([control], found, Schemata(bandwidth=Bandwidth({"MB": {2: 10}})))
    assert not shows([control], found, Schemata(Masks({"L3": {0: 0x7}})))
    assert not shows([], found, Schemata(bandwidth=Bandwidth({"MB": {0: 10}})))


def test_only_resources_of_the_host_are_converted() -> None:
    both = Bandwidth({"MB": {0: 9}, "SMBA": {0: 9}})
    assert as_written([mpam_control(6)], both) == Bandwidth({"MB": {0: 10}, "SMBA": {0: 9}})
