"""The table of kernels and their differences."""

import itertools
import re
from pathlib import Path

import msgspec
import pytest

from cachetune.errors import UnknownVersionError
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.sim.rules import KERNELS, KernelRules, rules_of

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "simulation.md"
FIELDS = [field for field in KernelRules.__struct_fields__ if field != "version"]


def test_a_later_kernel_keeps_every_difference_of_an_earlier_one() -> None:
    for earlier, later in itertools.pairwise(KERNELS.values()):
        assert {name for name in FIELDS if getattr(earlier, name)} < {name for name in FIELDS if getattr(later, name)}


def test_the_oldest_kernel_has_none_of_the_differences_and_the_newest_has_all() -> None:
    oldest, *_, newest = KERNELS.values()
    assert oldest == KernelRules(version="6.1")
    assert all(getattr(newest, name) for name in FIELDS)


def test_the_page_has_every_difference_with_the_kernel_that_brought_it() -> None:
    rows = re.findall(r"^\| (\S+) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    first = {name: next(v for v, rules in KERNELS.items() if getattr(rules, name)) for name in FIELDS}
    assert rows == [(first[name], name) for name in FIELDS]


def test_an_unknown_kernel_is_refused_with_those_that_exist() -> None:
    with pytest.raises(UnknownVersionError) as caught:
        rules_of("5.15")
    assert caught.value.hint == "supported: 6.1, 6.12, 6.18, 7.3"
    with pytest.raises(UnknownVersionError):
        load_profile("milan").mounted("cdp", kernel="5.15")


def test_a_profile_names_the_kernel_that_its_host_runs() -> None:
    profile = msgspec.structs.replace(load_profile("cascade-lake"), kernel="7.3")
    assert SimulatedResctrl(profile).kernel == "7.3"
    assert SimulatedResctrl(profile, kernel="6.1").kernel == "6.1"
